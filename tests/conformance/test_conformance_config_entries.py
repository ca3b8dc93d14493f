"""Config entries: written, read back, and refused."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import httpx


async def write(http: httpx.AsyncClient, kind: str, name: str, **more: Any) -> httpx.Response:
    return await http.put("config", json={"Kind": kind, "Name": name, **more})


async def accepted(http: httpx.AsyncClient, kind: str, name: str, **more: Any) -> None:
    answer = await write(http, kind, name, **more)
    assert (answer.status_code, answer.text.strip()) == (200, "true"), answer.text


async def refused(http: httpx.AsyncClient, kind: str, name: str, **more: Any) -> str:
    answer = await write(http, kind, name, **more)
    assert answer.status_code == 500, answer.text
    return answer.text


async def read(http: httpx.AsyncClient, kind: str, name: str) -> dict[str, Any]:
    answer = await http.get(f"config/{kind}/{name}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return {key: value for key, value in found.items() if not key.endswith("Index")}


async def http_service(http: httpx.AsyncClient, *names: str) -> None:
    for name in names:
        await accepted(http, "service-defaults", name, Protocol="http")


async def test_defaults_are_read_back_tidied(http: httpx.AsyncClient, name: str) -> None:
    await accepted(http, "service-defaults", name, Protocol="HTTP", MeshGateway={"Mode": "local"}, ExternalSNI="x.y")
    assert await read(http, "service-defaults", name) == {
        "Kind": "service-defaults",
        "Name": name,
        "Protocol": "http",
        "MeshGateway": {"Mode": "local"},
        "Expose": {},
        "ExternalSNI": "x.y",
    }


async def test_a_resolver_is_read_back(http: httpx.AsyncClient, name: str) -> None:
    body = {
        "connect_timeout": "90s",
        "default_subset": "v1",
        "subsets": {"v1": {"filter": "Service.Meta.version == v1"}, "v2": {"only_passing": True}},
        "failover": {"*": {"datacenters": ["dc2"]}, "v1": {"service_subset": "v2"}},
    }
    await accepted(http, "service-resolver", name, **body)
    assert await read(http, "service-resolver", name) == {
        "ConnectTimeout": "1m30s",
        "Kind": "service-resolver",
        "Name": name,
        "DefaultSubset": "v1",
        "Subsets": {"v1": {"Filter": "Service.Meta.version == v1"}, "v2": {"OnlyPassing": True}},
        "Failover": {"*": {"Datacenters": ["dc2"]}, "v1": {"ServiceSubset": "v2"}},
    }


async def test_a_router_is_read_back(http: httpx.AsyncClient, name: str) -> None:
    await http_service(http, name)
    routes = [
        {
            "match": {"http": {"path_exact": "/x", "methods": ["get"]}},
            "destination": {"request_timeout": "1500ms", "num_retries": 3, "retry_on_status_codes": [503]},
        },
        {
            "Match": {
                "HTTP": {
                    "PathRegex": "/a.*",
                    "Header": [{"Name": "h", "Exact": "1", "Invert": True}],
                    "QueryParam": [{"Name": "q", "Present": True}],
                }
            }
        },
        {},
    ]
    await accepted(http, "service-router", name, Routes=routes)
    assert (await read(http, "service-router", name))["Routes"] == [
        {
            "Match": {"HTTP": {"PathExact": "/x", "Methods": ["GET"]}},
            "Destination": {
                "RequestTimeout": "1.5s",
                "Namespace": "default",
                "NumRetries": 3,
                "RetryOnStatusCodes": [503],
            },
        },
        routes[1],
        {},
    ]


async def test_weights_are_kept_to_a_hundredth(http: httpx.AsyncClient, name: str) -> None:
    await http_service(http, name)
    splits = [{"Weight": 33.333, "Service": "a-" + name}, {"Weight": "66.67", "Service": "b-" + name}]
    await http_service(http, "a-" + name, "b-" + name)
    await accepted(http, "service-splitter", name, Splits=splits)
    found = (await read(http, "service-splitter", name))["Splits"]
    assert [split["Weight"] for split in found] == [33.33, 66.67]


async def test_entries_are_listed_by_kind_and_deleted(http: httpx.AsyncClient, name: str) -> None:
    await accepted(http, "service-resolver", name)
    names = [entry["Name"] for entry in (await http.get("config/service-resolver")).json()]
    assert name in names
    assert (await http.delete(f"config/service-resolver/{name}")).json() == {}
    answer = await http.get(f"config/service-resolver/{name}")
    assert (answer.status_code, answer.text) == (404, f'Config entry not found for "service-resolver" / "{name}"')
    assert int(answer.headers["X-Consul-Index"]) > 0
    assert (await http.delete(f"config/service-resolver/{name}")).status_code == 200


async def test_check_and_set_writes_only_what_was_seen(http: httpx.AsyncClient, name: str) -> None:
    async def put(cas: Any, protocol: str) -> Any:
        body = {"Kind": "service-defaults", "Name": name, "Protocol": protocol}
        return (await http.put(f"config?cas={cas}", json=body)).json()

    assert await put(0, "http") is True
    assert await put(0, "tcp") is False
    index = (await http.get(f"config/service-defaults/{name}")).json()["ModifyIndex"]
    assert await put(index + 1, "tcp") is False
    assert await put(index, "grpc") is True
    assert (await read(http, "service-defaults", name))["Protocol"] == "grpc"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("", "EOF"),
        ("{bad", "invalid character 'b' looking for beginning of object key string"),
        ("[]", "'' expected a map, got 'slice'"),
        ('{"Name":"x"}', "Payload does not contain a kind/Kind key at the top level"),
        ('{"Kind":"foo","Name":"x"}', "invalid config entry kind: foo"),
        ('{"Kind":"service-defaults","Name":"x","Foo":1}', 'invalid config key "Foo"'),
        ('{"Kind":"service-router","Name":"x","Routes":[{"Foo":1}]}', 'invalid config key "Routes[0].Foo"'),
        ('{"Kind":"service-resolver","Name":"x","LoadBalancer":{}}', 'invalid config key "LoadBalancer"'),
        (
            '{"Kind":"service-resolver","Name":"x","ConnectTimeout":"x"}',
            "error decoding 'ConnectTimeout': time: invalid",
        ),
        ('{"Kind":"service-router","Name":"x","Routes":"x"}', "'Routes[0]' expected a map, got 'string'"),
    ],
)
async def test_what_cannot_be_decoded_is_400(http: httpx.AsyncClient, body: str, text: str) -> None:
    answer = await http.put("config", content=body)
    assert answer.status_code == 400
    assert answer.text.startswith("Bad request: Request decoding failed: ")
    assert text in answer.text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"DefaultSubset": "v9", "Subsets": {"v1": {}}}, 'DefaultSubset "v9" is not a valid subset'),
        ({"Subsets": {"V_1": {}}}, 'Subset "V_1" is invalid: must be 63 characters or fewer'),
        ({"Subsets": {"": {}}}, "Subset defined with empty name"),
        ({"Redirect": {}}, "Redirect is empty"),
        ({"Redirect": {"ServiceSubset": "x"}}, "Redirect.ServiceSubset defined without Redirect.Service"),
        (
            {"Redirect": {"Service": "b"}, "Failover": {"*": {"Service": "b"}}},
            "Redirect and Failover cannot both be set",
        ),
        ({"Redirect": {"Service": "b", "ServiceSubset": "x"}}, 'service "b" does not have a subset named "x"'),
        ({"Failover": {"*": {}}}, 'Bad Failover["*"] one of Service, ServiceSubset, Namespace, or Datacenters'),
        ({"Failover": {"x": {"Service": "b"}}}, 'Bad Failover["x"]: not a valid subset'),
        (
            {"Failover": {"*": {"ServiceSubset": "x"}}},
            'Bad Failover["*"].ServiceSubset "x" is not a valid subset of ""',
        ),
        ({"Failover": {"*": {"Datacenters": [""]}}}, 'Bad Failover["*"].Datacenters: found empty datacenter'),
        ({"ConnectTimeout": "-1s"}, "Bad ConnectTimeout '-1s', must be >= 0"),
    ],
)
async def test_a_resolver_that_means_nothing_is_refused(
    http: httpx.AsyncClient, name: str, body: dict[str, Any], text: str
) -> None:
    assert text in await refused(http, "service-resolver", name, **body)


@pytest.mark.parametrize(
    ("splits", "text"),
    [
        ([], "no splits configured"),
        ([{"Weight": 90}], "the sum of all split weights must be 100, not 90.000000"),
        ([{"Weight": 50}, {"Weight": 50}], "split destination occurs more than once: service="),
        ([{"Weight": 100, "ServiceSubset": "v3"}], 'does not have a subset named "v3"'),
    ],
)
async def test_a_splitter_that_means_nothing_is_refused(
    http: httpx.AsyncClient, name: str, splits: list[Any], text: str
) -> None:
    await http_service(http, name)
    assert text in await refused(http, "service-splitter", name, Splits=splits)


@pytest.mark.parametrize(
    ("route", "text"),
    [
        ({"Match": {"HTTP": {"PathExact": "x"}}}, "Route[0] PathExact doesn't start with '/': \"x\""),
        ({"Match": {"HTTP": {"PathPrefix": "x"}}}, "Route[0] PathPrefix doesn't start with '/': \"x\""),
        (
            {"Match": {"HTTP": {"PathExact": "/x", "PathRegex": "y"}}},
            "Route[0] should only contain at most one of PathExact, PathPrefix, or PathRegex",
        ),
        ({"Match": {"HTTP": {"Header": [{"Exact": "x"}]}}}, "Route[0] Header[0] missing required Name field"),
        (
            {"Match": {"HTTP": {"Header": [{"Name": "x", "Exact": "1", "Prefix": "2"}]}}},
            "Route[0] Header[0] should only contain one of Present, Exact, Prefix, Suffix, or Regex",
        ),
        (
            {"Match": {"HTTP": {"QueryParam": [{"Name": "x"}]}}},
            "Route[0] QueryParam[0] should only contain one of Present, Exact, or Regex",
        ),
        ({"Match": {"HTTP": {"Methods": ["GET", "get"]}}}, 'Route[0] Methods contains "GET" more than once'),
        (
            {"Destination": {"PrefixRewrite": "/"}},
            "Route[0] cannot make use of PrefixRewrite without configuring either PathExact or PathPrefix",
        ),
        ({"Destination": {"ServiceSubset": "v3"}}, 'does not have a subset named "v3"'),
    ],
)
async def test_a_router_that_means_nothing_is_refused(
    http: httpx.AsyncClient, name: str, route: dict[str, Any], text: str
) -> None:
    await http_service(http, name)
    assert text in await refused(http, "service-router", name, Routes=[route])


async def test_routers_and_splitters_need_a_protocol_that_has_requests(http: httpx.AsyncClient, name: str) -> None:
    await accepted(http, "service-defaults", name, Protocol="tcp")
    text = await refused(http, "service-splitter", name, Splits=[{"Weight": 100}])
    assert 'uses a protocol "tcp" that does not permit advanced routing or splitting behavior' in text
    await accepted(http, "service-defaults", name, Protocol="grpc")
    await accepted(http, "service-splitter", name, Splits=[{"Weight": 100}])


async def test_a_chain_may_not_mix_protocols(http: httpx.AsyncClient, name: str) -> None:
    await http_service(http, name)
    await accepted(http, "service-defaults", f"{name}-g", Protocol="grpc")
    text = await refused(http, "service-resolver", name, Redirect={"Service": f"{name}-g"})
    assert f'discovery chain "{name}" uses inconsistent protocols; service "{name}-g" has "grpc"' in text


async def test_a_refused_entry_leaves_the_one_before_in_force(http: httpx.AsyncClient, name: str) -> None:
    await http_service(http, name)
    good = [{"Weight": 100, "Service": name}]
    await accepted(http, "service-splitter", name, Splits=good)
    before = await read(http, "service-splitter", name)
    chain = (await http.get(f"discovery-chain/{name}")).json()["Chain"]
    assert "the sum of all split weights must be 100, not 90" in (
        await refused(http, "service-splitter", name, Splits=[{"Weight": 90, "Service": name}])
    )
    assert await read(http, "service-splitter", name) == before
    assert (await http.get(f"discovery-chain/{name}")).json()["Chain"] == chain


async def test_circles_are_refused(http: httpx.AsyncClient, name: str) -> None:
    a, b = name, f"{name}-b"
    await http_service(http, a, b)
    await accepted(http, "service-resolver", a, Redirect={"Service": b})
    assert "detected circular resolver redirect" in await refused(http, "service-resolver", b, Redirect={"Service": a})
    await http.delete(f"config/service-resolver/{a}")

    await accepted(http, "service-splitter", a, Splits=[{"Weight": 50}, {"Weight": 50, "Service": b}])
    text = await refused(http, "service-splitter", b, Splits=[{"Weight": 50}, {"Weight": 50, "Service": a}])
    assert "detected circular reference" in text


async def test_what_a_chain_needs_cannot_be_taken_away(http: httpx.AsyncClient, name: str) -> None:
    await http_service(http, name)
    await accepted(http, "service-resolver", name, Subsets={"v1": {}})
    await accepted(http, "service-splitter", name, Splits=[{"Weight": 100, "ServiceSubset": "v1"}])

    answer = await http.delete(f"config/service-resolver/{name}")
    assert answer.status_code == 500
    assert f'service "{name}" does not have a subset named "v1"' in answer.text
    answer = await http.delete(f"config/service-defaults/{name}")
    assert answer.status_code == 500
    assert "does not permit advanced routing" in answer.text
    assert "does not have a subset" in await refused(http, "service-resolver", name, Subsets={"v2": {}})

    assert (await http.delete(f"config/service-splitter/{name}")).status_code == 200
    assert (await http.delete(f"config/service-resolver/{name}")).status_code == 200


async def test_an_external_service_takes_no_subsets(http: httpx.AsyncClient, name: str) -> None:
    await accepted(http, "service-defaults", name, Protocol="http", ExternalSNI="example.org")
    text = await refused(http, "service-resolver", name, Subsets={"v1": {}})
    assert "has an external SNI set; cannot define subsets for external services" in text


async def test_proxy_defaults_give_a_protocol_to_all_who_have_none(http: httpx.AsyncClient) -> None:
    name = f"svc-{uuid.uuid4().hex[:10]}"
    await accepted(http, "proxy-defaults", "global", Config={"protocol": "http", "a": {"b": [1, 2.5, "x", True]}})
    try:
        found = await read(http, "proxy-defaults", "global")
        assert found["Config"] == {"protocol": "http", "a": {"b": [1, 2.5, "x", True]}}
        await accepted(http, "service-splitter", name, Splits=[{"Weight": 100}])
        assert (await http.delete("config/proxy-defaults/global")).status_code == 500
    finally:
        await http.delete(f"config/service-splitter/{name}")
        assert (await http.delete("config/proxy-defaults/global")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "config/foo", 500, "invalid config entry kind: foo"),
        ("DELETE", "config/foo/x", 400, "invalid config entry kind: foo"),
        ("DELETE", "config/service-resolver", 404, "Must provide both a kind and name to delete"),
        ("GET", "discovery-chain/", 400, "Bad request: Missing chain name"),
    ],
)
async def test_what_a_path_misses_is_said(
    http: httpx.AsyncClient, method: str, path: str, status: int, text: str
) -> None:
    answer = await http.request(method, path)
    assert (answer.status_code, answer.text) == (status, text)


async def test_the_configuration_of_a_proxy_is_a_map(http: httpx.AsyncClient) -> None:
    answer = await http.put("config", json={"Kind": "proxy-defaults", "Name": "global", "Config": 5})
    assert answer.status_code == 400
    assert "'Config' expected a map, got 'float64'" in answer.text


async def test_an_empty_cas_is_none(http: httpx.AsyncClient, name: str) -> None:
    body = {"Kind": "service-resolver", "Name": name}
    for _ in range(2):
        answer = await http.put("config?cas=", json=body)
        assert (answer.status_code, answer.json()) == (200, True)
    await http.delete(f"config/service-resolver/{name}")


async def test_overrides_are_json_or_null(http: httpx.AsyncClient, name: str) -> None:
    empty = await http.post(f"discovery-chain/{name}", content=b"")
    assert (empty.status_code, empty.text) == (400, "Bad request: Request decoding failed: EOF")
    assert (await http.post(f"discovery-chain/{name}", content=b"null")).status_code == 200
