"""The main job, as `make up` runs it: a call over three services, its trace on screen, a kill without a failed call."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest

from support.browser import CHROMIUM, NO_CHROMIUM, browsing
from support.demo.up import DemoUp, first_answer, starting
from support.mesh.up import alive
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def demo(tmp_path: Path) -> AsyncIterator[DemoUp]:
    async with starting(tmp_path) as started:
        yield started


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=20, trust_env=False) as made:
        yield made


async def trace_of(demo: DemoUp, client: httpx.AsyncClient, trace_id: str, spans: int) -> dict[str, Any]:
    """The trace, once that many of its spans have arrived."""

    async def whole() -> dict[str, Any] | None:
        answer = await client.get(f"{demo.url('traces')}/api/traces/{trace_id}")
        if answer.status_code != httpx.codes.OK:
            return None
        (trace,) = answer.json()["data"]
        return trace if len(trace["spans"]) >= spans else None

    trace = await eventually(whole, timeout=20)
    assert trace is not None
    return trace


async def test_a_request_crosses_three_services_and_its_trace_is_on_screen(
    demo: DemoUp, client: httpx.AsyncClient
) -> None:
    user = (await first_answer(demo, client)).json()
    answer = await client.get(f"{demo.url('gateway')}/api/v1/users/{user['id']}/summary")
    assert answer.status_code == httpx.codes.OK, answer.text

    trace_id = answer.headers["X-Trace-Id"]
    trace = await trace_of(demo, client, trace_id, spans=5)
    services = Counter(trace["processes"][span["processID"]]["serviceName"] for span in trace["spans"])
    assert services == {"gateway": 2, "user": 2, "calculator": 1}
    found = {span["spanID"]: span for span in trace["spans"]}
    roots = [span for span in trace["spans"] if not span["references"]]
    assert [trace["processes"][root["processID"]]["serviceName"] for root in roots] == ["gateway"]
    assert all(reference["spanID"] in found for span in trace["spans"] for reference in span["references"])
    clients = [
        span for span in trace["spans"] if {"key": "span.kind", "value": "client", "type": "string"} in span["tags"]
    ]
    answering = {tag["value"] for span in clients for tag in span["tags"] if tag["key"] == "meshwright.peer.version"}
    assert len(clients) == 2
    assert answering == {"1.0.0"}

    if CHROMIUM is None:
        pytest.skip(NO_CHROMIUM)
    async with browsing(demo.url("traces")) as page:
        await page.goto(f"/trace/{trace_id}")
        for name in ("gateway", "user", "calculator"):
            await page.get_by_text(name).first.wait_for()


async def test_instances_killed_under_load_fail_no_request_and_come_back(
    demo: DemoUp, client: httpx.AsyncClient
) -> None:
    user = (await first_answer(demo, client)).json()
    answered = 0
    failures: list[str] = []
    done = asyncio.Event()

    async def worker() -> None:
        nonlocal answered
        while not done.is_set():
            answer = await client.get(f"{demo.url('gateway')}/api/v1/users/{user['id']}/summary")
            answered += 1
            if answer.status_code != 200:
                failures.append(answer.text)

    workers = [asyncio.create_task(worker()) for _ in range(8)]
    for victim in ("calculator-1", "user-2"):
        before = answered
        await demo.do("kill", victim)
        await eventually(lambda before=before: answered >= before + 200, timeout=30)

        async def back(victim: str = victim) -> bool:
            row = next(row for row in await demo.instances() if row["instance"].startswith(victim))
            return row["restarts"] >= 1 and row["health"] == "passing"

        await eventually(back, timeout=30)
    done.set()
    await asyncio.gather(*workers)
    assert not failures


async def test_ctrl_c_leaves_no_process_and_a_second_start_keeps_the_data(
    tmp_path: Path, client: httpx.AsyncClient
) -> None:
    async with starting(tmp_path) as demo:
        await first_answer(demo, client)
        children = [child.pid for child in psutil.Process(demo.process.child.pid).children(recursive=True)]
        assert len(children) >= 8
        assert await demo.process.end(signal.SIGINT) == 0
        assert not [pid for pid in children if alive(pid)]

    async with starting(tmp_path) as again:

        async def listed() -> bool:
            try:
                answer = await client.get(f"{again.url('gateway')}/api/v1/users")
            except httpx.TransportError:
                return False
            return [user["name"] for user in answer.json().get("users", [])] == ["Ada Lovelace"]

        await eventually(listed, timeout=60)
