"""What every endpoint has in common: statuses, headers, datacenters, formatting, limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import httpx


@pytest.mark.parametrize("path", ["nope", "kvs/x", "agent/nope", "catalog/services/x"])
async def test_an_unknown_endpoint_is_404_and_empty(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(path)
    assert (answer.status_code, answer.content) == (404, b"")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "kv/x"),
        ("PUT", "catalog/services"),
        ("GET", "agent/service/register"),
        ("GET", "agent/service/deregister/x"),
        ("GET", "config"),
        ("DELETE", "discovery-chain/x"),
        ("PUT", "status/leader"),
    ],
)
async def test_a_wrong_method_is_405_and_named(http: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await http.request(method, path)
    assert (answer.status_code, answer.text) == (405, f"method {method} not allowed")


@pytest.mark.parametrize(
    "path", ["catalog/services", "health/service/consul", "kv/x", "config/service-defaults", "status/leader"]
)
async def test_another_datacenter_cannot_be_reached(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(path, params={"dc": "nowhere"})
    assert (answer.status_code, answer.text) == (500, "No path to datacenter")


async def test_the_own_datacenter_may_be_named(http: httpx.AsyncClient) -> None:
    assert (await http.get("catalog/services", params={"dc": "dc1"})).status_code == 200
    assert (await http.get("catalog/datacenters")).json() == ["dc1"]


async def test_the_leader_is_one_of_the_peers(http: httpx.AsyncClient) -> None:
    leader = (await http.get("status/leader")).json()
    assert (await http.get("status/peers")).json() == [leader]


async def test_answers_carry_the_index_and_the_leaders_headers(http: httpx.AsyncClient) -> None:
    answer = await http.get("catalog/services")
    assert int(answer.headers["X-Consul-Index"]) > 0
    assert answer.headers["X-Consul-KnownLeader"] == "true"
    assert answer.headers["X-Consul-LastContact"] == "0"
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("mode", ["stale", "consistent"])
async def test_either_consistency_may_be_asked_for(http: httpx.AsyncClient, mode: str) -> None:
    answer = await http.get(f"catalog/services?{mode}")
    assert answer.status_code == 200


async def test_both_consistencies_at_once_are_refused(http: httpx.AsyncClient) -> None:
    answer = await http.get("catalog/services?stale&consistent")
    assert answer.status_code == 400
    assert answer.text == "Cannot specify ?stale with ?consistent, conflicting semantics."


@pytest.mark.parametrize(("query", "text"), [("index=x", "Invalid index"), ("wait=x", "Invalid wait time")])
async def test_a_malformed_wait_is_refused(http: httpx.AsyncClient, query: str, text: str) -> None:
    answer = await http.get(f"catalog/services?{query}")
    assert (answer.status_code, answer.text) == (400, text)


async def test_pretty_indents(http: httpx.AsyncClient) -> None:
    assert (await http.get("catalog/datacenters?pretty")).text == '[\n    "dc1"\n]\n'


async def test_a_token_is_ignored_where_there_are_no_access_rules(http: httpx.AsyncClient) -> None:
    answer = await http.get("catalog/services", headers={"X-Consul-Token": "whatever"})
    assert answer.status_code == 200


async def test_a_body_over_the_limit_is_413(http: httpx.AsyncClient, name: str) -> None:
    answer = await http.put(f"kv/{name}", content=b"x" * (512 * 1024 + 1))
    assert answer.status_code == 413
    assert "Request body" in answer.text
    assert "too large, max size: 524288 bytes" in answer.text
    assert (await http.put(f"kv/{name}", content=b"x" * (512 * 1024))).text.strip() == "true"
