"""Names that differ by case: one to the catalog and the config entries, two to the agent and the KV store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import httpx

TTL = {"TTL": "100s", "Status": "passing"}


async def put(http: httpx.AsyncClient, path: str, body: Any = None) -> None:
    answer = await http.put(path, json=body) if body is not None else await http.put(path)
    assert answer.status_code == 200, answer.text


async def ids(http: httpx.AsyncClient, service: str) -> list[str]:
    return [entry["Service"]["ID"] for entry in (await http.get(f"health/service/{service}")).json()]


@pytest.mark.parametrize("spelled", [str, str.upper, str.title])
async def test_a_service_is_found_in_any_case_with_all_its_spellings(
    http: httpx.AsyncClient, name: str, spelled: Any
) -> None:
    await put(http, "agent/service/register", {"Name": name, "ID": f"{name}-1", "Check": TTL})
    await put(http, "agent/service/register", {"Name": name.upper(), "ID": f"{name}-2", "Check": TTL})

    listed = (await http.get("catalog/services")).json()
    assert {name, name.upper()} <= listed.keys()
    asked = spelled(name)
    assert await ids(http, asked) == [f"{name}-1", f"{name}-2"]
    rows = (await http.get(f"catalog/service/{asked}")).json()
    assert [row["ServiceName"] for row in rows] == [name, name.upper()]
    checks = (await http.get(f"health/checks/{asked}")).json()
    assert [check["ServiceName"] for check in checks] == [name, name.upper()]


@pytest.mark.parametrize(
    ("registered", "asked", "found"),
    [
        ("\N{GREEK CAPITAL LETTER SIGMA}", "\N{GREEK SMALL LETTER SIGMA}", 1),
        ("X\N{GREEK CAPITAL LETTER SIGMA}", "x\N{GREEK SMALL LETTER FINAL SIGMA}", 0),
        ("\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}", "i", 1),
        ("\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}", "i\N{COMBINING DOT ABOVE}", 0),
    ],
)
async def test_each_character_is_compared_by_itself(
    http: httpx.AsyncClient, name: str, registered: str, asked: str, found: int
) -> None:
    await put(http, "agent/service/register", {"Name": f"{name}-{registered}", "ID": f"{name}-1"})
    assert len(await ids(http, f"{name}-{asked}")) == found


async def test_a_filter_compares_as_it_is_written(http: httpx.AsyncClient, name: str) -> None:
    for number, spelled in enumerate((name, name.upper())):
        await put(http, "agent/service/register", {"Name": spelled, "ID": f"{name}-{number}"})
    answer = await http.get(f"health/service/{name}", params={"filter": f'Service.Service == "{name}"'})
    assert [entry["Service"]["ID"] for entry in answer.json()] == [f"{name}-0"]


async def test_a_reader_of_one_spelling_is_woken_by_another(http: httpx.AsyncClient, name: str) -> None:
    await put(http, "agent/service/register", {"Name": name, "ID": f"{name}-1", "Check": TTL})
    index = (await http.get(f"health/service/{name}")).headers["X-Consul-Index"]
    await put(http, "agent/service/register", {"Name": name.upper(), "ID": f"{name}-2", "Check": TTL})
    answer = await http.get(f"health/service/{name}", params={"index": index, "wait": "10s"})
    assert len(answer.json()) == 2
    assert int(answer.headers["X-Consul-Index"]) > int(index)


async def test_ids_are_two_at_the_agent_and_one_in_the_catalog(http: httpx.AsyncClient, name: str) -> None:
    for spelled in (f"{name}-A", f"{name}-a"):
        await put(http, "agent/service/register", {"Name": name, "ID": spelled, "Check": TTL})
    assert {f"{name}-A", f"{name}-a"} <= (await http.get("agent/services")).json().keys()
    assert await ids(http, name) == [f"{name}-a"]
    await put(http, f"agent/service/deregister/{name}-A")
    assert await ids(http, name) == []
    assert f"{name}-a" in (await http.get("agent/services")).json()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "agent/service/{name}-A", 404),
        ("GET", "agent/health/service/id/{name}-A", 404),
        ("GET", "agent/health/service/name/{upper}", 404),
        ("PUT", "agent/service/maintenance/{name}-A?enable=true", 404),
        ("PUT", "agent/check/pass/service:{name}-A", 500),
    ],
)
async def test_the_agent_goes_by_the_spelling(
    http: httpx.AsyncClient, name: str, method: str, path: str, status: int
) -> None:
    await put(http, "agent/service/register", {"Name": name, "ID": f"{name}-a", "Check": TTL})
    answer = await http.request(method, path.format(name=name, upper=name.upper()))
    assert answer.status_code == status
    await put(http, f"agent/service/deregister/{name}-A")
    assert await ids(http, name) == [f"{name}-a"]


async def test_a_node_and_what_is_on_it_are_found_in_any_case_and_shown_as_last_written(
    http: httpx.AsyncClient, name: str
) -> None:
    node, upper = f"node-{name}", f"node-{name}".upper()
    body = {"Node": node, "Address": "10.0.0.1", "Service": {"Service": name, "ID": "one", "Port": 1}}
    await put(http, "catalog/register", body)
    body = {"Node": upper, "Address": "10.0.0.2", "Service": {"Service": name.upper(), "ID": "ONE", "Port": 2}}
    await put(http, "catalog/register", body)
    check = {"Node": upper, "CheckID": "c", "Name": "c", "Status": "passing", "ServiceID": "one"}
    await put(http, "catalog/register", {"Node": upper, "Address": "10.0.0.2", "Check": check})

    [row] = (await http.get(f"catalog/service/{name}")).json()
    assert (row["Node"], row["Address"], row["ServiceID"], row["ServicePort"]) == (upper, "10.0.0.2", "ONE", 2)
    [entry] = (await http.get(f"health/service/{name}")).json()
    assert [(check["Node"], check["ServiceID"], check["ServiceName"]) for check in entry["Checks"]] == [
        (upper, "one", name.upper())
    ]
    assert (await http.get(f"catalog/node/{node}")).json()["Node"]["Node"] == upper
    assert len((await http.get(f"health/node/{node}")).json()) == 1

    await put(http, "catalog/deregister", {"Node": node, "CheckID": "C"})
    assert (await http.get(f"health/node/{node}")).json() == []
    await put(http, "catalog/deregister", {"Node": node, "ServiceID": "one"})
    assert (await http.get(f"catalog/service/{name}")).json() == []
    await put(http, "catalog/deregister", {"Node": node.title()})
    assert (await http.get(f"catalog/node/{node}")).json() is None


async def test_a_check_must_spell_its_node_as_the_registration_does(http: httpx.AsyncClient, name: str) -> None:
    check = {"Node": f"NODE-{name}", "CheckID": "c", "Name": "c"}
    answer = await http.put("catalog/register", json={"Node": f"node-{name}", "Address": "10.0.0.1", "Check": check})
    assert answer.status_code == 500
    assert answer.text == f'check node "NODE-{name}" does not match node "node-{name}"'


async def test_a_session_finds_its_node_in_any_case(http: httpx.AsyncClient, name: str) -> None:
    await put(http, "catalog/register", {"Node": f"node-{name}", "Address": "10.0.0.1"})
    body = {"Node": f"NODE-{name}".upper(), "Checks": []}
    session = (await http.put("session/create", json=body)).json()["ID"]
    assert [row["ID"] for row in (await http.get(f"session/node/node-{name}")).json()] == [session]


async def test_config_entries_are_one_in_any_case(http: httpx.AsyncClient, name: str) -> None:
    await put(http, "config", {"Kind": "service-defaults", "Name": name, "Protocol": "grpc"})
    created = (await http.get(f"config/service-defaults/{name}")).json()["CreateIndex"]
    await put(http, "config", {"Kind": "service-defaults", "Name": name.upper(), "Protocol": "http"})
    found = (await http.get(f"config/service-defaults/{name.title()}")).json()
    assert (found["Name"], found["Protocol"], found["CreateIndex"]) == (name.upper(), "http", created)
    listed = [entry["Name"] for entry in (await http.get("config/service-defaults")).json()]
    assert [entry for entry in listed if entry.lower() == name] == [name.upper()]
    assert (await http.get(f"discovery-chain/{name}")).json()["Chain"]["Protocol"] == "http"
    assert (await http.delete(f"config/service-defaults/{name}")).status_code == 200
    assert (await http.get(f"config/service-defaults/{name.upper()}")).status_code == 404


async def test_cas_compares_with_the_entry_of_any_spelling(http: httpx.AsyncClient, name: str) -> None:
    await put(http, "config", {"Kind": "service-defaults", "Name": name, "Protocol": "grpc"})
    entry = {"Kind": "service-defaults", "Name": name.upper(), "Protocol": "http"}
    index = (await http.get(f"config/service-defaults/{name}")).json()["ModifyIndex"]
    assert (await http.put("config?cas=0", json=entry)).json() is False
    assert (await http.put(f"config?cas={index}", json=entry)).json() is True


async def test_the_kind_of_an_entry_is_spelled_as_it_is(http: httpx.AsyncClient, name: str) -> None:
    assert (await http.get(f"config/Service-Defaults/{name}")).status_code == 500
    assert (await http.put("config", json={"Kind": "Service-Defaults", "Name": name})).status_code == 400


async def test_a_chain_keeps_the_spellings_of_what_it_was_made_of(http: httpx.AsyncClient, name: str) -> None:
    for service in (name, f"{name}-b"):
        await put(http, "config", {"Kind": "service-defaults", "Name": service, "Protocol": "grpc"})
    resolver = {"Kind": "service-resolver", "Name": f"{name}-B", "ConnectTimeout": "9s"}
    await put(http, "config", resolver)
    splits = [{"Weight": 50}, {"Weight": 50, "Service": f"{name}-B"}]
    await put(http, "config", {"Kind": "service-splitter", "Name": name, "Splits": splits})
    chain = (await http.get(f"discovery-chain/{name.upper()}")).json()["Chain"]
    assert chain["ServiceName"] == name.upper()
    assert chain["StartNode"] == f"splitter:{name.upper()}.default"
    assert sorted(chain["Targets"]) == sorted([f"{name.upper()}.default.dc1", f"{name}-B.default.dc1"])
    assert chain["Nodes"][f"resolver:{name}-B.default.dc1"]["Resolver"]["ConnectTimeout"] == "9s"


async def test_a_chain_reader_of_one_spelling_is_woken_by_another(http: httpx.AsyncClient, name: str) -> None:
    await put(http, "config", {"Kind": "service-defaults", "Name": name, "Protocol": "grpc"})
    index = (await http.get(f"discovery-chain/{name}")).headers["X-Consul-Index"]
    await put(http, "config", {"Kind": "service-defaults", "Name": name.upper(), "Protocol": "http"})
    answer = await http.get(f"discovery-chain/{name}", params={"index": index, "wait": "10s"})
    assert answer.json()["Chain"]["Protocol"] == "http"


async def test_keys_are_two(http: httpx.AsyncClient, name: str) -> None:
    await http.put(f"kv/{name}/a", content=b"1")
    await http.put(f"kv/{name}/A", content=b"2")
    assert (await http.get(f"kv/{name}/?keys")).json() == [f"{name}/A", f"{name}/a"]
    assert (await http.get(f"kv/{name.upper()}/?keys")).status_code == 404


async def test_checks_of_the_node_come_before_those_of_the_instance(http: httpx.AsyncClient, name: str) -> None:
    node = f"node-{name}"
    own = [{"CheckID": check_id, "Name": check_id, "ServiceID": name, "Node": node} for check_id in ("b", "A", "z")]
    whole = [{"CheckID": check_id, "Name": check_id, "Node": node} for check_id in ("y", "B1")]
    await put(
        http,
        "catalog/register",
        {"Node": node, "Address": "10.0.0.1", "Service": {"Service": name}, "Checks": [*own, *whole]},
    )
    [entry] = (await http.get(f"health/service/{name}")).json()
    assert [check["CheckID"] for check in entry["Checks"]] == ["B1", "y", "A", "b", "z"]
    checks = (await http.get(f"health/node/{node}")).json()
    assert [check["CheckID"] for check in checks] == ["A", "b", "B1", "y", "z"]


async def test_instances_are_listed_by_node_and_id_in_any_case(http: httpx.AsyncClient, name: str) -> None:
    for node, instance in (("b", "x"), ("C", "x"), ("a", "2"), ("a", "1")):
        service = {"Service": name, "ID": f"{instance}-{name}"}
        await put(http, "catalog/register", {"Node": f"{node}-{name}", "Address": "10.0.0.1", "Service": service})
    rows = (await http.get(f"catalog/service/{name}")).json()
    found = [(row["Node"][0], row["ServiceID"][0]) for row in rows]
    assert found == [("a", "1"), ("a", "2"), ("b", "x"), ("C", "x")]


async def test_the_services_of_a_node_as_a_list(http: httpx.AsyncClient, name: str) -> None:
    for instance in ("two", "one"):
        service = {"Service": name, "ID": instance, "Port": 7}
        await put(http, "catalog/register", {"Node": f"node-{name}", "Address": "10.0.0.1", "Service": service})
    found = (await http.get(f"catalog/node-services/NODE-{name}")).json()
    assert found["Node"]["Node"] == f"node-{name}"
    assert [(row["ID"], row["Service"], row["Port"]) for row in found["Services"]] == [
        ("one", name, 7),
        ("two", name, 7),
    ]
    only = (await http.get(f"catalog/node-services/node-{name}", params={"filter": "ID == two"})).json()
    assert [row["ID"] for row in only["Services"]] == ["two"]
    nothing = await http.get(f"catalog/node-services/nobody-{name}")
    assert (nothing.status_code, nothing.json()) == (200, {"Node": None, "Services": None})
    missing = await http.get("catalog/node-services/")
    assert (missing.status_code, missing.text) == (400, "Missing node name")
