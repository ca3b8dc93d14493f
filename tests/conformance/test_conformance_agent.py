"""Registering with the agent, and what it refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.waiting import eventually

if TYPE_CHECKING:
    import httpx


async def test_a_registered_service_is_listed_with_all_that_it_said(http: httpx.AsyncClient, name: str) -> None:
    answer = await http.put(
        "agent/service/register",
        json={
            "Name": name,
            "ID": f"{name}-1",
            "Address": "127.0.0.1",
            "Port": 20001,
            "Tags": ["a", "b"],
            "Meta": {"version": "v1"},
            "Weights": {"Passing": 10, "Warning": 2},
            "EnableTagOverride": True,
        },
    )
    assert (answer.status_code, answer.content) == (200, b"")

    listed = (await http.get("agent/services")).json()[f"{name}-1"]

    address = {"Address": "127.0.0.1", "Port": 20001}
    assert listed == {
        "ID": f"{name}-1",
        "Service": name,
        "Tags": ["a", "b"],
        "Meta": {"version": "v1"},
        "Port": 20001,
        "Address": "127.0.0.1",
        "TaggedAddresses": {"lan_ipv4": address, "wan_ipv4": address},
        "Weights": {"Passing": 10, "Warning": 2},
        "EnableTagOverride": True,
    }


async def test_keys_match_whatever_their_case_and_some_in_snake_case(http: httpx.AsyncClient, name: str) -> None:
    answer = await http.put(
        "agent/service/register",
        json={
            "name": name,
            "enable_tag_override": True,
            "tagged_addresses": {"lan": {"address": "10.0.0.1", "port": 80}},
            "check": {"ttl": "10s", "deregister_critical_service_after": "90m"},
        },
    )
    assert answer.status_code == 200, answer.text
    listed = (await http.get(f"agent/service/{name}")).json()
    assert listed["EnableTagOverride"] is True
    assert listed["TaggedAddresses"] == {"lan": {"Address": "10.0.0.1", "Port": 80}}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("", "Request decode failed: EOF"),
        ("{bad", "Request decode failed: invalid character 'b' looking for beginning of object key string"),
        ('{"Name":"x"', "Request decode failed: unexpected EOF"),
        ('{"Name":"x","Foo":1}', 'Request decode failed: json: unknown field "Foo"'),
        ('{"Name":"x","Port":"1"}', "json: cannot unmarshal string into Go struct field .Port of type int"),
        ('{"ID":"x"}', "Missing service name"),
        ('{"Name":"x","Address":"0.0.0.0"}', "Invalid service address"),
        ('{"Name":"x","Meta":{"a b":"c"}}', "Key contains invalid characters"),
        ('{"Name":"x","Meta":{"consul-a":"c"}}', "is reserved for internal use"),
        ('{"Name":"x","Address":"[::]"}', "Invalid service address"),
        ('{"Name":"x","Connect":"y"}', "Request decode failed: json: cannot unmarshal string into Go"),
        ('{"Name":"x","Connect":{"Native":"y"}}', "Request decode failed: json: cannot unmarshal string into Go"),
        ('{"Name":"x","Port":NaN}', "Request decode failed: invalid character 'N' looking for beginning of value"),
        ('{"Name":"x","Port":1e400}', "Request decode failed: json: cannot unmarshal number"),
        ('{"Name":"x","Weights":{}}', "Invalid Weights: Passing must be greater than 0"),
        ('{"Name":"x","Check":{"TTL":"1h","OutputMaxSize":-1}}', "MaxOutputMaxSize must be positive"),
        ('{"Name":"x","Check":{"TTL":"99999999999h"}}', 'time: invalid duration "99999999999h"'),
        ('{"Name":"x","Weights":{"Passing":-1}}', "Invalid Weights: Passing must be greater than 0"),
        ('{"Name":"x","Weights":{"Passing":70000}}', "Invalid Weights: DNS Weight must be between 0 and 65535"),
        ('{"Name":"x","Check":{"TTL":"x"}}', 'Request decode failed: time: invalid duration "x"'),
        ('{"Name":"x","Check":{"TTL":"5"}}', 'time: missing unit in duration "5"'),
        ('{"Name":"x","Check":{"HTTP":"x"}}', "Invalid check: Interval must be > 0 for Script, HTTP, or TCP checks"),
        ('{"Name":"x","Check":{"Interval":"1s"}}', "Invalid check: TTL must be > 0 for TTL checks"),
        ('{"Name":"x","Check":{"TCP":"x","Interval":"1s","TTL":"1s"}}', "Interval and TTL cannot both be specified"),
        ('{"Name":"x","Check":{"TTL":"9s","Status":"foo"}}', "Status for checks must 'passing', 'warning', 'critical'"),
    ],
)
async def test_what_is_wrong_with_a_registration_is_said(http: httpx.AsyncClient, body: str, text: str) -> None:
    answer = await http.put("agent/service/register", content=body)
    assert answer.status_code == 400
    assert text in answer.text


async def test_a_deregistered_service_is_gone_with_its_checks(http: httpx.AsyncClient, name: str) -> None:
    await http.put("agent/service/register", json={"Name": name, "Check": {"TTL": "1h", "Status": "passing"}})
    assert f"service:{name}" in (await http.get("agent/checks")).json()

    assert (await http.put(f"agent/service/deregister/{name}")).status_code == 200

    assert name not in (await http.get("agent/services")).json()
    assert f"service:{name}" not in (await http.get("agent/checks")).json()
    await eventually(lambda: _is_empty(http, f"health/service/{name}"))


async def _is_empty(http: httpx.AsyncClient, path: str) -> bool:
    return bool((await http.get(path)).json() == [])


async def test_deregistering_what_is_not_there_is_no_error(http: httpx.AsyncClient, name: str) -> None:
    assert (await http.put(f"agent/service/deregister/{name}")).status_code == 200
    assert (await http.put(f"agent/check/deregister/{name}")).status_code == 200


async def test_an_unknown_service_is_not_found(http: httpx.AsyncClient, name: str) -> None:
    answer = await http.get(f"agent/service/{name}")
    assert (answer.status_code, answer.text) == (404, f"unknown service ID: {name}")


async def test_several_checks_are_numbered_and_named_after_their_service(http: httpx.AsyncClient, name: str) -> None:
    checks = [{"TTL": "1h", "Name": "mine"}, {"TTL": "1h", "CheckID": f"{name}-own", "Notes": "n"}]
    await http.put("agent/service/register", json={"Name": name, "Checks": checks})

    found = {key: row for key, row in (await http.get("agent/checks")).json().items() if row["ServiceID"] == name}

    assert {key: row["Name"] for key, row in found.items()} == {
        f"service:{name}:1": "mine",
        f"{name}-own": f"Service '{name}' check",
    }
    assert found[f"{name}-own"]["Notes"] == "n"
    assert {row["Type"] for row in found.values()} == {"ttl"}


async def test_a_repeated_registration_keeps_what_the_checks_have_seen(http: httpx.AsyncClient, name: str) -> None:
    body = {"Name": name, "Check": {"TTL": "1h"}}
    await http.put("agent/service/register", json=body)
    await http.put(f"agent/check/pass/service:{name}", params={"note": "fine"})

    await http.put("agent/service/register", json=body)

    row = (await http.get("agent/checks")).json()[f"service:{name}"]
    assert (row["Status"], row["Output"]) == ("passing", "fine")


async def test_old_checks_stay_unless_they_are_to_be_replaced(http: httpx.AsyncClient, name: str) -> None:
    async def ids() -> set[str]:
        rows = (await http.get("agent/checks")).json()
        return {key for key, row in rows.items() if row["ServiceID"] == name}

    await http.put("agent/service/register", json={"Name": name, "Check": {"TTL": "1h", "CheckID": f"{name}-a"}})
    second = {"Name": name, "Check": {"TTL": "1h", "CheckID": f"{name}-b"}}

    await http.put("agent/service/register", json=second)
    assert await ids() == {f"{name}-a", f"{name}-b"}

    await http.put("agent/service/register", params={"replace-existing-checks": "true"}, json=second)
    assert await ids() == {f"{name}-b"}


async def test_a_ttl_check_reports_itself(http: httpx.AsyncClient, name: str) -> None:
    await http.put("agent/check/register", json={"Name": name, "TTL": "1h", "Notes": "n"})

    async def state() -> tuple[str, str]:
        row = (await http.get("agent/checks")).json()[name]
        return row["Status"], row["Output"]

    assert await state() == ("critical", "")
    await http.put(f"agent/check/pass/{name}", params={"note": "good"})
    assert await state() == ("passing", "good")
    await http.put(f"agent/check/warn/{name}")
    assert await state() == ("warning", "")
    await http.put(f"agent/check/fail/{name}", params={"note": "bad"})
    assert await state() == ("critical", "bad")
    await http.put(f"agent/check/update/{name}", json={"Status": "passing", "Output": "again"})
    assert await state() == ("passing", "again")
    await http.put(f"agent/check/deregister/{name}")
    assert name not in (await http.get("agent/checks")).json()


async def test_only_ttl_checks_can_be_told_their_state(http: httpx.AsyncClient, name: str) -> None:
    answer = await http.put(f"agent/check/pass/{name}")
    assert (answer.status_code, answer.text) == (500, f'CheckID "{name}" does not have associated TTL')
    await http.put("agent/check/register", json={"Name": name, "TTL": "1h"})
    answer = await http.put(f"agent/check/update/{name}", json={"Status": "foo"})
    await http.put(f"agent/check/deregister/{name}")
    assert (answer.status_code, answer.text) == (400, "Invalid check status: 'foo'")


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"TTL": "1h"}, 400, "Missing check name"),
        ({"Name": "x"}, 400, "Invalid check: TTL must be > 0 for TTL checks"),
        ({"Name": "x", "TTL": "1h", "Status": "foo"}, 400, "Bad check status"),
        ({"Name": "x", "TTL": "1h", "CheckID": "y"}, 400, 'json: unknown field "CheckID"'),
        ({"Name": "x", "TTL": "1h", "ServiceID": "not-there"}, 500, 'ServiceID "not-there" does not exist'),
        ({"Name": "x", "Args": ["true"], "Interval": "1s"}, 500, "Scripts are disabled on this agent"),
    ],
)
async def test_what_is_wrong_with_a_check_is_said(
    http: httpx.AsyncClient, body: dict[str, object], status: int, text: str
) -> None:
    answer = await http.put("agent/check/register", json=body)
    assert answer.status_code == status
    assert text in answer.text


async def test_maintenance_makes_a_service_critical_and_ends(http: httpx.AsyncClient, name: str) -> None:
    await http.put("agent/service/register", json={"Name": name, "Tags": ["t"]})

    await http.put(f"agent/service/maintenance/{name}", params={"enable": "true", "reason": "painting"})

    row = (await http.get("agent/checks")).json()[f"_service_maintenance:{name}"]
    assert (row["Status"], row["Notes"], row["ServiceTags"]) == ("critical", "painting", ["t"])
    await eventually(lambda: _is_empty(http, f"health/service/{name}?passing"))
    text = await http.get(f"agent/health/service/id/{name}", params={"format": "text"})
    assert (text.status_code, text.text) == (503, "maintenance")

    await http.put(f"agent/service/maintenance/{name}", params={"enable": "false"})
    text = await http.get(f"agent/health/service/id/{name}", params={"format": "text"})
    assert (text.status_code, text.text) == (200, "passing")


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("agent/service/maintenance/x", 400, "Missing value for enable"),
        ("agent/service/maintenance/x?enable=y", 400, 'Invalid value for enable: "y"'),
        ("agent/service/maintenance/not-there?enable=true", 404, 'No service registered with ID "not-there"'),
        ("agent/service/maintenance/?enable=true", 400, "Missing service ID"),
        ("agent/maintenance", 400, "Missing value for enable"),
    ],
)
async def test_maintenance_says_what_it_misses(http: httpx.AsyncClient, path: str, status: int, text: str) -> None:
    answer = await http.put(path)
    assert (answer.status_code, answer.text) == (status, text)


async def test_node_maintenance_counts_for_every_service(http: httpx.AsyncClient, name: str) -> None:
    await http.put("agent/service/register", json={"Name": name})
    await http.put("agent/maintenance", params={"enable": "true"})
    try:
        await eventually(lambda: _is_empty(http, f"health/service/{name}?passing"))
    finally:
        await http.put("agent/maintenance", params={"enable": "false"})
    assert "_node_maintenance" not in (await http.get("agent/checks")).json()


async def test_the_agents_own_health_answers_with_http_statuses(http: httpx.AsyncClient, name: str) -> None:
    await http.put("agent/service/register", json={"Name": name, "Check": {"TTL": "1h", "Status": "passing"}})

    async def answer() -> tuple[int, str]:
        found = await http.get(f"agent/health/service/name/{name}")
        return found.status_code, found.json()[0]["AggregatedStatus"]

    assert await answer() == (200, "passing")
    await http.put(f"agent/check/warn/service:{name}")
    assert await answer() == (429, "warning")
    await http.put(f"agent/check/fail/service:{name}")
    assert await answer() == (503, "critical")
    missing = await http.get("agent/health/service/id/not-there")
    assert (missing.status_code, missing.json()["AggregatedStatus"]) == (404, "critical")


async def test_a_service_can_be_watched_by_the_hash_of_its_content(http: httpx.AsyncClient, name: str) -> None:
    await http.put("agent/service/register", json={"Name": name, "Port": 1})
    first = await http.get(f"agent/service/{name}")
    known = first.json()["ContentHash"]
    assert first.headers["X-Consul-ContentHash"] == known

    unchanged = await http.get(f"agent/service/{name}", params={"hash": known, "wait": "50ms"})
    assert unchanged.json()["ContentHash"] == known

    await http.put("agent/service/register", json={"Name": name, "Port": 2})
    changed = await http.get(f"agent/service/{name}", params={"hash": known})
    assert changed.json()["ContentHash"] != known


async def test_the_agent_says_who_it_is(http: httpx.AsyncClient) -> None:
    found = (await http.get("agent/self")).json()
    assert found["Config"]["Datacenter"] == "dc1"
    assert found["Config"]["Server"] is True
    assert found["Member"]["Name"] == found["Config"]["NodeName"]
    members = (await http.get("agent/members")).json()
    assert [member["Status"] for member in members] == [1]


async def test_an_absent_tag_is_an_empty_one(http: httpx.AsyncClient, name: str) -> None:
    assert (await http.put("agent/service/register", json={"Name": name, "Tags": [None]})).status_code == 200
    assert (await http.get(f"agent/service/{name}")).json()["Tags"] == [""]


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("agent/health/service/name/not-there?format=text", 404, "ServiceName not-there Not Found"),
        ("agent/health/service/id/not-there?format=text", 404, '"ServiceId not-there not found"\n'),
        ("agent/health/service/name/", 500, "Bad request: Missing service Name"),
        ("agent/health/service/id/", 500, "Bad request: Missing serviceID"),
    ],
)
async def test_health_of_what_is_not_there_says_so(http: httpx.AsyncClient, path: str, status: int, text: str) -> None:
    answer = await http.get(path)
    assert (answer.status_code, answer.text) == (status, text)
