"""Blocking queries: who wakes when, and who does not."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from support.waiting import eventually

if TYPE_CHECKING:
    import httpx

SHORT = "300ms"


def blocking(path: str, index: int, wait: str) -> str:
    return f"{path}{'&' if '?' in path else '?'}index={index}&wait={wait}"


async def index_of(http: httpx.AsyncClient, path: str) -> int:
    return int((await http.get(path)).headers["X-Consul-Index"])


async def wakes(http: httpx.AsyncClient, path: str, change: Any) -> tuple[httpx.Response, int]:
    """Block on `path`, run `change`, return the answer and the index that was waited on."""
    index = await index_of(http, path)
    waiting = asyncio.create_task(http.get(blocking(path, index, "20s")))
    # The request is on its way once the change is made or not: either order must end in an answer.
    await change()
    return await asyncio.wait_for(waiting, 10), index


def put(http: httpx.AsyncClient, path: str, **more: Any) -> Any:
    async def run() -> None:
        answer = await http.put(path, **more)
        assert answer.status_code == 200, answer.text

    return run


async def test_a_registration_wakes_who_waits_for_the_service(http: httpx.AsyncClient, name: str) -> None:
    await http.put("agent/service/register", json={"Name": name, "ID": f"{name}-1"})
    await eventually(lambda: _count(http, name, 1))
    body = {"Name": name, "ID": f"{name}-2"}

    answer, index = await wakes(http, f"health/service/{name}", put(http, "agent/service/register", json=body))

    assert int(answer.headers["X-Consul-Index"]) > index
    assert len(answer.json()) == 2


async def _count(http: httpx.AsyncClient, name: str, count: int) -> bool:
    return len((await http.get(f"health/service/{name}")).json()) == count


async def test_the_first_instance_of_a_service_wakes_who_waits_for_its_name(http: httpx.AsyncClient, name: str) -> None:
    body = {"Name": name}
    answer, _ = await wakes(http, f"health/service/{name}", put(http, "agent/service/register", json=body))
    assert [row["Service"]["ID"] for row in answer.json()] == [name]


async def test_the_last_instance_leaving_wakes_who_waits_for_the_service(http: httpx.AsyncClient, name: str) -> None:
    await http.put("agent/service/register", json={"Name": name})
    await eventually(lambda: _count(http, name, 1))
    answer, _ = await wakes(http, f"health/service/{name}", put(http, f"agent/service/deregister/{name}"))
    assert answer.json() == []


async def test_a_change_of_health_wakes_service_and_state(http: httpx.AsyncClient, name: str) -> None:
    await http.put("agent/service/register", json={"Name": name, "Check": {"TTL": "1h"}})
    await eventually(lambda: _count(http, name, 1))
    beat = put(http, f"agent/check/pass/service:{name}")
    answer, _ = await wakes(http, f"health/service/{name}?passing", beat)
    assert len(answer.json()) == 1

    fail = put(http, f"agent/check/fail/service:{name}")
    answer, _ = await wakes(http, "health/state/any", fail)
    assert answer.status_code == 200


async def test_another_service_does_not_wake(http: httpx.AsyncClient, name: str) -> None:
    await http.put("agent/service/register", json={"Name": name})
    await eventually(lambda: _count(http, name, 1))
    path = f"health/service/{name}"
    index = await index_of(http, path)
    waiting = asyncio.create_task(http.get(path, params={"index": index, "wait": SHORT}))

    await http.put("agent/service/register", json={"Name": f"{name}-other"})

    answer = await waiting
    assert int(answer.headers["X-Consul-Index"]) == index
    assert answer.elapsed.total_seconds() >= 0.3


async def test_repeating_a_registration_moves_no_index(http: httpx.AsyncClient, name: str) -> None:
    body = {"Name": name, "Tags": ["a"], "Check": {"TTL": "1h", "Status": "passing"}}
    await http.put("agent/service/register", json=body)
    await eventually(lambda: _count(http, name, 1))
    before = await index_of(http, f"health/service/{name}")

    await http.put("agent/service/register", json=body)
    await http.put(f"agent/check/pass/service:{name}")
    answer = await http.get(f"health/service/{name}", params={"index": before, "wait": SHORT})

    assert int(answer.headers["X-Consul-Index"]) == before


async def test_an_output_that_changes_alone_moves_no_index(http: httpx.AsyncClient, name: str) -> None:
    await http.put("agent/service/register", json={"Name": name, "Check": {"TTL": "1h", "Status": "passing"}})
    await eventually(lambda: _count(http, name, 1))
    before = await index_of(http, f"health/service/{name}")

    await http.put(f"agent/check/pass/service:{name}", params={"note": "took 3 ms"})
    answer = await http.get(f"health/service/{name}", params={"index": before, "wait": SHORT})

    assert int(answer.headers["X-Consul-Index"]) == before
    assert (await http.get("agent/checks")).json()[f"service:{name}"]["Output"] == "took 3 ms"


async def test_the_end_of_the_wait_answers_with_what_there_is(http: httpx.AsyncClient) -> None:
    index = await index_of(http, "catalog/nodes")
    began = time.monotonic()
    answer = await http.get("catalog/nodes", params={"index": index, "wait": "200ms"})
    assert answer.status_code == 200
    assert 0.2 <= time.monotonic() - began < 2.0


async def test_an_index_from_the_future_waits_for_the_wait(http: httpx.AsyncClient) -> None:
    began = time.monotonic()
    answer = await http.get("catalog/nodes", params={"index": 2**40, "wait": "200ms"})
    assert int(answer.headers["X-Consul-Index"]) < 2**40
    assert time.monotonic() - began >= 0.2


async def test_index_zero_does_not_wait(http: httpx.AsyncClient) -> None:
    began = time.monotonic()
    await http.get("catalog/nodes", params={"index": 0, "wait": "5s"})
    assert time.monotonic() - began < 4


@pytest.mark.parametrize("path", ["kv/{name}", "kv/{name}?recurse", "kv/{name}?keys"])
async def test_a_key_wakes_who_waits_for_it_before_it_exists(http: httpx.AsyncClient, name: str, path: str) -> None:
    answer, _ = await wakes(http, path.format(name=name), put(http, f"kv/{name}", content=b"x"))
    assert answer.status_code == 200


async def test_another_key_does_not_wake(http: httpx.AsyncClient, name: str) -> None:
    await http.put(f"kv/{name}/a", content=b"1")
    for path in (f"kv/{name}/a", f"kv/{name}/?recurse"):
        index = await index_of(http, path)
        await http.put(f"kv/{name}-other", content=path.encode())
        answer = await http.get(blocking(path, index, "100ms"))
        assert int(answer.headers["X-Consul-Index"]) == index, path


async def test_a_deleted_key_wakes_with_404(http: httpx.AsyncClient, name: str) -> None:
    await http.put(f"kv/{name}", content=b"1")

    async def delete() -> None:
        await http.delete(f"kv/{name}")

    answer, _ = await wakes(http, f"kv/{name}", delete)
    assert answer.status_code == 404


async def test_a_config_entry_wakes_its_readers_and_its_chains(http: httpx.AsyncClient, name: str) -> None:
    for number, path in enumerate(
        (f"config/service-resolver/{name}", "config/service-resolver", f"discovery-chain/{name}"), start=1
    ):
        body = {"Kind": "service-resolver", "Name": name, "ConnectTimeout": f"{number}s"}
        answer, index = await wakes(http, path, put(http, "config", json=body))
        assert answer.status_code == 200, path
        assert int(answer.headers["X-Consul-Index"]) > index


async def test_a_chain_wakes_for_the_entries_of_services_that_it_leads_to(http: httpx.AsyncClient, name: str) -> None:
    resolver = {"Kind": "service-resolver", "Name": name, "Redirect": {"Service": f"{name}-to"}}
    await http.put("config", json=resolver)
    other = {"Kind": "service-resolver", "Name": f"{name}-to", "ConnectTimeout": "9s"}

    answer, _ = await wakes(http, f"discovery-chain/{name}", put(http, "config", json=other))

    [node] = answer.json()["Chain"]["Nodes"].values()
    assert node["Resolver"]["ConnectTimeout"] == "9s"


async def test_a_session_wakes_who_lists_sessions(http: httpx.AsyncClient) -> None:
    answer, _ = await wakes(http, "session/list", put(http, "session/create", json={"TTL": "10m"}))
    assert answer.status_code == 200
