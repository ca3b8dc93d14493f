"""The catalog, written past the agent and read back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import httpx


async def register(http: httpx.AsyncClient, name: str, **more: Any) -> None:
    body = {"Node": f"node-{name}", "Address": "10.0.0.1", **more}
    answer = await http.put("catalog/register", json=body)
    assert (answer.status_code, answer.json()) == (200, True), answer.text


async def test_a_node_with_service_and_check_is_read_back_whole(http: httpx.AsyncClient, name: str) -> None:
    await register(
        http,
        name,
        NodeMeta={"rack": "7"},
        Service={"Service": name, "ID": f"{name}-1", "Port": 80, "Tags": ["m"], "Meta": {"version": "v2"}},
        Check={"Name": "c", "CheckID": "c1", "Status": "passing", "ServiceID": f"{name}-1", "Output": "fine"},
    )

    [entry] = (await http.get(f"health/service/{name}")).json()

    assert entry["Node"]["Meta"] == {"rack": "7"}
    assert entry["Node"]["TaggedAddresses"] is None
    service = {key: value for key, value in entry["Service"].items() if not key.endswith("Index")}
    assert service == {
        "ID": f"{name}-1",
        "Service": name,
        "Tags": ["m"],
        "Address": "",
        "Meta": {"version": "v2"},
        "Port": 80,
        "Weights": {"Passing": 1, "Warning": 1},
        "EnableTagOverride": False,
        "Proxy": {"MeshGateway": {}, "Expose": {}},
        "Connect": {},
    }
    [check] = entry["Checks"]
    assert (check["ServiceName"], check["ServiceTags"], check["Output"]) == (name, ["m"], "fine")

    [flat] = (await http.get(f"catalog/service/{name}")).json()
    assert (flat["Node"], flat["ServiceID"], flat["ServicePort"]) == (f"node-{name}", f"{name}-1", 80)
    assert (flat["NodeMeta"], flat["ServiceMeta"]) == ({"rack": "7"}, {"version": "v2"})


async def test_services_are_listed_with_the_tags_of_all_instances(http: httpx.AsyncClient, name: str) -> None:
    for number, tag in enumerate(("a", "b")):
        await register(http, name, Service={"Service": name, "ID": f"{name}-{number}", "Tags": [tag]})
    assert sorted((await http.get("catalog/services")).json()[name]) == ["a", "b"]


async def test_a_service_disappears_with_its_last_instance(http: httpx.AsyncClient, name: str) -> None:
    await register(http, name, Service={"Service": name})
    await http.put("catalog/deregister", json={"Node": f"node-{name}", "ServiceID": name})
    assert name not in (await http.get("catalog/services")).json()
    assert (await http.get(f"catalog/service/{name}")).json() == []


@pytest.mark.parametrize("where", ["register", "deregister"])
@pytest.mark.parametrize(
    "field",
    [
        *({"Address": "10.0.0.1"}, {"Address": 1}, {"Token": "t"}, {"Datacenter": "dc1"}, {"Namespace": "default"}),
        *({"WriteRequest": {"Token": "t"}}, {"PeerName": ""}, {"TaggedAddresses": {}}, {"Bogus": 1}),
    ],
)
async def test_the_catalog_takes_the_fields_that_it_has(
    http: httpx.AsyncClient, name: str, where: str, field: dict[str, Any]
) -> None:
    answer = await http.put(f"catalog/{where}", json={"Node": f"node-{name}", "Address": "10.0.0.1"} | field)
    known = {"Address", "Datacenter", "Token"} | ({"TaggedAddresses"} if where == "register" else set())
    (key,) = field
    if key == "Address" and field[key] == 1:
        assert (answer.status_code, "cannot unmarshal number" in answer.text) == (400, True), answer.text
    elif key in known:
        assert (answer.status_code, answer.json()) == (200, True), answer.text
    else:
        assert answer.status_code == 400
        assert answer.text.startswith(f'Request decode failed: json: unknown field "{key}"')
        assert answer.text.endswith("Enterprise feature") == (key == "Namespace"), answer.text


async def test_a_node_lists_its_services_and_takes_them_along(http: httpx.AsyncClient, name: str) -> None:
    await register(http, name, Service={"Service": name})
    assert list((await http.get(f"catalog/node/node-{name}")).json()["Services"]) == [name]

    await http.put("catalog/deregister", json={"Node": f"node-{name}"})

    answer = await http.get(f"catalog/node/node-{name}")
    assert (answer.status_code, answer.json()) == (200, None)
    assert (await http.get(f"health/service/{name}")).json() == []


async def test_nodes_are_selected_by_their_meta(http: httpx.AsyncClient, name: str) -> None:
    await register(http, name, NodeMeta={"of": name})
    nodes = (await http.get("catalog/nodes", params={"node-meta": f"of:{name}"})).json()
    assert [node["Node"] for node in nodes] == [f"node-{name}"]


async def test_instances_are_selected_by_tag_and_passing(http: httpx.AsyncClient, name: str) -> None:
    for number, status in enumerate(("passing", "warning", "critical")):
        service = {"Service": name, "ID": f"{name}-{number}", "Tags": ["all", status]}
        check = {"Name": "c", "CheckID": f"c{number}", "Status": status, "ServiceID": f"{name}-{number}"}
        await register(http, name, Service=service, Check=check)

    async def ids(query: str) -> list[str]:
        return sorted(row["Service"]["ID"] for row in (await http.get(f"health/service/{name}?{query}")).json())

    assert await ids("") == [f"{name}-0", f"{name}-1", f"{name}-2"]
    assert await ids("passing") == [f"{name}-0"]
    assert await ids("passing=false") == [f"{name}-0", f"{name}-1", f"{name}-2"]
    assert await ids("tag=warning") == [f"{name}-1"]
    assert await ids("tag=ALL&tag=critical") == [f"{name}-2"]


async def test_checks_are_listed_by_service_node_and_state(http: httpx.AsyncClient, name: str) -> None:
    service = {"Service": name}
    check = {"Name": "c", "CheckID": f"c-{name}", "Status": "warning", "ServiceID": name}
    await register(http, name, Service=service, Check=check)
    for path in (f"health/checks/{name}", f"health/node/node-{name}", "health/state/warning", "health/state/any"):
        assert f"c-{name}" in [row["CheckID"] for row in (await http.get(path)).json()], path
    passing = (await http.get("health/state/passing")).json()
    assert f"c-{name}" not in [row["CheckID"] for row in passing]


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"Node": "x"}, 500, "Must provide address if SkipNodeUpdate is not set"),
        ({"Address": "x"}, 500, "Must provide node"),
        ({"Node": "x", "Address": "x", "Datacenter": "nowhere"}, 500, "No path to datacenter"),
        ({"Node": "x", "Address": "x", "Check": {"Name": "c", "ServiceID": "not-there"}}, 500, "Missing service"),
    ],
)
async def test_what_a_catalog_registration_misses_is_said(
    http: httpx.AsyncClient, body: dict[str, object], status: int, text: str
) -> None:
    answer = await http.put("catalog/register", json=body)
    assert answer.status_code == status
    assert text in answer.text


@pytest.mark.parametrize("path", ["health/service/", "catalog/service/", "health/checks/"])
async def test_a_missing_service_name_is_said(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(path)
    assert (answer.status_code, answer.text) == (400, "Missing service name")


async def test_the_nearest_node_comes_first(http: httpx.AsyncClient, name: str) -> None:
    await register(http, name)
    nodes = (await http.get("catalog/nodes", params={"near": f"node-{name}"})).json()
    assert f"node-{name}" in [node["Node"] for node in nodes]


@pytest.mark.parametrize(
    ("more", "status", "text"),
    [
        ({"Check": {"Name": "c", "ServiceID": "not-there"}}, 500, "Missing service registration"),
        ({"Check": {"Name": "c", "Node": "elsewhere"}}, 500, 'check node "elsewhere" does not match node'),
        ({"Check": {}}, 500, "object missing primary index"),
        ({"Check": {"Name": "c", "Definition": "x"}}, 400, "Request decode failed"),
        ({"Service": {"Service": "x", "TaggedAddresses": {"lan": "x"}}}, 400, "Request decode failed"),
        ({"Service": {"Service": "x", "Port": 2**70}}, 400, "Request decode failed"),
        ({"ID": "short"}, 500, "Bad node ID"),
    ],
)
async def test_a_registration_is_written_whole_or_not_at_all(
    http: httpx.AsyncClient, name: str, more: dict[str, Any], status: int, text: str
) -> None:
    body = {"Node": name, "Address": "10.0.0.1", "Service": {"Service": name}, **more}
    answer = await http.put("catalog/register", json=body)
    assert (answer.status_code, text in answer.text) == (status, True), answer.text
    assert (await http.get(f"catalog/node/{name}")).json() is None
    assert (await http.get(f"catalog/service/{name}")).json() == []


async def test_half_a_surrogate_pair_in_a_name_does_not_break_the_lists(http: httpx.AsyncClient, name: str) -> None:
    await http.put("catalog/register", content=f'{{"Node":"{name}","Address":"1.2.3.4","NodeMeta":{{"a":"\\ud800"}}}}')
    answer = await http.get("catalog/nodes?pretty")
    assert answer.status_code == 200
    [node] = [row for row in answer.json() if row["Node"] == name]
    assert node["Meta"] == {"a": "\ufffd"}
    await http.put("catalog/deregister", json={"Node": name})


@pytest.mark.parametrize("index", ["x", "-1", "1.5", "99999999999999999999999"])
async def test_an_index_that_is_none_is_refused(http: httpx.AsyncClient, index: str) -> None:
    answer = await http.get("catalog/nodes", params={"index": index})
    assert (answer.status_code, answer.text) == (400, "Invalid index")


async def test_head_is_not_get(http: httpx.AsyncClient) -> None:
    assert (await http.head("catalog/nodes")).status_code == 405
