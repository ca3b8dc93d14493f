"""The gateway over time: readiness, deadlines, clients that go away, and stopping."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from services.gateway.api.parameters import RequestTimeouts
from services.gateway.http.http_server import serving
from support.demo.gateway import Demo, demo
from support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

PRIMES = "/api/v1/calculator/primes?limit=100"


class Held:
    """A pace that never comes, and that knows who waits for it."""

    def __init__(self) -> None:
        self.waiting = 0
        self.cancelled = 0
        self.released = asyncio.Event()

    async def next(self) -> None:
        self.waiting += 1
        try:
            await self.released.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


async def test_it_is_alive_and_ready(served: Demo) -> None:
    alive = await served.http.get("/healthz")
    assert (alive.status_code, alive.json()) == (200, {"status": "alive"})
    ready = await served.http.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"status": "ready"})


async def test_it_is_alive_but_not_ready_without_a_service_that_it_needs(served: Demo) -> None:
    await served.user.stop()
    ready = await served.http.get("/readyz")
    assert (ready.status_code, ready.headers["content-type"]) == (503, "application/problem+json")
    assert ready.json()["detail"] == "user cannot be reached over the mesh (UNAVAILABLE)"
    assert (await served.http.get("/healthz")).status_code == 200


async def test_it_is_not_ready_where_a_service_says_that_it_does_not_serve(served: Demo) -> None:
    served.calculator.health.drain()
    ready = await served.http.get("/readyz")
    assert (ready.status_code, ready.json()["detail"]) == (503, "calculator is not serving")


async def test_it_is_not_ready_once_it_stops(served: Demo) -> None:
    served.draining = True
    ready = await served.http.get("/readyz")
    assert (ready.status_code, ready.json()["detail"]) == (503, "gateway is stopping")


async def test_a_probe_leaves_no_trace(served: Demo) -> None:
    await served.http.get("/readyz")
    assert served.spans.spans == []
    await served.http.get("/api/v1/users")
    assert served.spans.spans != []


def problem_of(response: httpx.Response) -> dict[str, Any]:
    """What ended a stream of primes: all of the answer where it came before the first line, else the last line."""
    if response.status_code != 200:
        return response.json()
    return json.loads(response.text.splitlines()[-1])["problem"]


async def test_a_request_ends_by_the_deadline_that_it_brings(tmp_path: Path) -> None:
    async with demo(tmp_path, pace=Held()) as running:
        began = time.monotonic()
        response = await running.http.get(PRIMES, headers={"X-Request-Timeout": "0.3"})
        assert time.monotonic() - began < 3
        problem = problem_of(response)
        assert (problem["status"], problem["code"]) == (504, "DEADLINE_EXCEEDED")
        assert problem["detail"] == "there was no answer in time"


async def test_a_deadline_in_the_middle_of_a_stream_is_its_last_line(tmp_path: Path) -> None:
    held = Held()
    async with demo(tmp_path, pace=held) as running:
        # Once connected, the first line comes long before the deadline, on a machine that is busy as well.
        assert (await running.http.post("/api/v1/calculator/add", json={"a": 1, "b": 2})).status_code == 200
        response = await running.http.get(PRIMES, headers={"X-Request-Timeout": "2"})
        assert response.status_code == 200
        first, last = map(json.loads, response.text.splitlines())
        assert first == {"value": 2}
        assert last["problem"]["code"] == "DEADLINE_EXCEEDED"
        await eventually(lambda: held.cancelled == 1)


async def test_without_one_it_ends_by_the_gateways(tmp_path: Path) -> None:
    async with demo(tmp_path, pace=Held(), timeouts=RequestTimeouts(answer=5, stream=0.2, most=300)) as running:
        assert problem_of(await running.http.get(PRIMES))["status"] == 504


async def test_no_request_gets_more_than_the_most(tmp_path: Path) -> None:
    async with demo(tmp_path, pace=Held(), timeouts=RequestTimeouts(answer=0.1, stream=0.1, most=0.2)) as running:
        response = await running.http.get(PRIMES, headers={"X-Request-Timeout": "3600"})
        assert problem_of(response)["status"] == 504


async def test_a_deadline_that_is_over_at_once_is_a_gateway_timeout(served: Demo) -> None:
    response = await served.http.get("/api/v1/users", headers={"X-Request-Timeout": "0.0000001"})
    assert (response.status_code, response.json()["code"]) == (504, "DEADLINE_EXCEEDED")


async def test_a_client_that_goes_away_ends_the_call_behind(tmp_path: Path) -> None:
    held = Held()
    async with demo(tmp_path, pace=held) as running:
        async with running.http.stream("GET", PRIMES) as response:
            assert await anext(response.aiter_lines()) == '{"value":2}'
            await eventually(lambda: held.waiting == 1)
        await eventually(lambda: held.cancelled == 1)


async def test_lines_arrive_as_they_are_made(tmp_path: Path) -> None:
    held = Held()
    async with demo(tmp_path, pace=held) as running, running.http.stream("GET", PRIMES) as response:
        lines = response.aiter_lines()
        assert await anext(lines) == '{"value":2}'
        held.released.set()
        assert await anext(lines) == '{"value":3}'


async def test_stopping_finishes_what_was_begun_and_takes_nothing_new(tmp_path: Path) -> None:
    held = Held()
    async with demo(tmp_path, pace=held) as running:
        request = asyncio.create_task(running.http.get("/api/v1/calculator/primes?limit=5"))
        await eventually(lambda: held.waiting == 1)
        stopping = asyncio.create_task(running.gateway.aclose())

        async def refuses() -> bool:
            async with httpx.AsyncClient() as client:
                try:
                    await client.get(f"http://{running.address}/healthz")
                except httpx.ConnectError:
                    return True
                return False

        await eventually(refuses)
        held.released.set()
        response = await request
        assert response.text.splitlines() == ['{"value":2}', '{"value":3}', '{"value":5}']
        await stopping


async def test_stopping_cuts_off_what_takes_too_long(tmp_path: Path) -> None:
    held = Held()
    async with demo(tmp_path, pace=held) as running:
        request = asyncio.create_task(running.http.get(PRIMES))
        await eventually(lambda: held.waiting == 1)
        await asyncio.wait_for(running.gateway.aclose(), 10)
        await eventually(lambda: held.cancelled == 1)
        with pytest.raises(httpx.RemoteProtocolError):
            await request


async def test_a_port_that_is_taken_is_refused_by_name(served: Demo) -> None:
    with pytest.raises(ValueError, match=f"address {served.address} is not valid:\n  cannot listen: .*in use"):
        async with serving(None, served.address.host, served.address.port, grace=1):
            pass


async def test_an_answer_does_not_wait_for_acknowledgements(served: Demo) -> None:
    async def seconds() -> float:
        began = time.perf_counter()
        assert (await served.http.get("/healthz")).status_code == 200
        return time.perf_counter() - began

    # With Nagle's algorithm on, every answer of a connection in use waits 40 ms; the quickest of many tells.
    assert min([await seconds() for _ in range(20)]) < 0.03
