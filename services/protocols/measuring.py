"""A run: each lane does each kind of work twice, once through a meter for its bytes, once straight for its pace.

The meter would cost the fast lanes more than the slow ones, so nothing is timed through it. The server is a process of
its own, so that the two sides' processor time can be told apart.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import sys
import time
from typing import TYPE_CHECKING, Any

import psutil

from demo.protocols.v1 import protocols_pb2 as pb
from services.protocols.domain import USER, Figures, Pace, Report, Traffic
from services.protocols.lanes import Http1, Lane, lanes, session
from services.protocols.wire import metering

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from services.protocols.lanes import Operation

AT_ONCE = 16
WARM_UP = 50
_WORKS = ("createUser", "chat")


@contextlib.asynccontextmanager
async def _server() -> AsyncIterator[tuple[dict[str, int], psutil.Process]]:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.protocols.serving"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdin
    assert child.stdout
    line = await asyncio.wait_for(child.stdout.readline(), 30)
    if not line:
        raise RuntimeError(f"the server ended with code {await child.wait()} before it served")
    try:
        yield json.loads(line), psutil.Process(child.pid)
    finally:
        child.stdin.close()
        try:
            await asyncio.wait_for(child.wait(), 10)
        except TimeoutError:
            child.kill()
            await child.wait()


async def measure(count: int, said: Callable[[str], None] = lambda _: None) -> Report:
    """All lanes, `count` operations of each kind; `said` hears what is being measured."""
    figures = []
    async with _server() as (ports, process):
        for lane in lanes():
            for work in _WORKS:
                said(f"{lane.name}: {work}")
                opening, traffic = await _traffic(lane, work, ports[lane.port], count)
                pace = await _pace(lane, work, ports[lane.port], count, process)
                figures.append(Figures(lane.name, work, count, opening, traffic, pace))
        empty = await _empty_poll(ports[Http1.port])
    return Report(tuple(figures), empty, codec())


def _open(lane: Lane, work: str, port: int) -> Any:
    return lane.creating(port) if work == "createUser" else lane.chatting(port)


async def _traffic(lane: Lane, work: str, port: int, count: int) -> tuple[Traffic, Traffic]:
    """Bytes up to and with the first operation, and of `count` operations after it.

    The first fills the header tables of HTTP/2; what it takes more than the others is the connection's.
    """
    async with metering(port) as meter, _open(lane, work, meter.port) as operation:
        await operation()
        opened = await meter.settled()
        for _ in range(count):
            await operation()
        traffic = await meter.settled() - opened
    each = Traffic(traffic.up // count, traffic.down // count)
    return Traffic(max(0, opened.up - each.up), max(0, opened.down - each.down)), traffic


async def _pace(lane: Lane, work: str, port: int, count: int, server: psutil.Process) -> Pace:
    async with _open(lane, work, port) as operation:
        for _ in range(WARM_UP):
            await operation()
        gc.collect()
        before, mine = _seconds(server), time.process_time()
        latencies = []
        for _ in range(count):
            start = time.perf_counter()
            await operation()
            latencies.append(time.perf_counter() - start)
        client, served = (time.process_time() - mine) / count, (_seconds(server) - before) / count
        per_second = await _throughput(operation, count) if work == "createUser" else count / sum(latencies)
    return Pace(tuple(latencies), per_second, client, served)


async def _throughput(operation: Operation, count: int) -> float:
    left = count

    async def worker() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await operation()

    start = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    return count / (time.perf_counter() - start)


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def _empty_poll(port: int) -> Traffic:
    """What asking costs when there is nothing to hear."""
    rounds = 20
    async with metering(port) as meter, session(meter.port) as client:

        async def poll() -> None:
            async with client.get("/api/messages", params={"since": "999999999"}) as answer:
                assert not (await answer.json())["has_new"]

        await poll()
        before = await meter.settled()
        for _ in range(rounds):
            await poll()
        spent = await meter.settled() - before
    return Traffic(spent.up // rounds, spent.down // rounds)


def codec(rounds: int = 2_000, turns: int = 20) -> dict[str, float]:
    """Encoding and decoding alone, without a network; the best of some turns, which other programs disturb least."""
    message = pb.CreateUserRequest(**USER)

    def as_json() -> None:
        json.loads(_compact())

    def as_protobuf() -> None:
        pb.CreateUserRequest.FromString(message.SerializeToString())

    best = {"json": float("inf"), "protobuf": float("inf")}
    for _ in range(turns):
        for name, work in (("json", as_json), ("protobuf", as_protobuf)):
            start = time.process_time()
            for _ in range(rounds):
                work()
            best[name] = min(best[name], (time.process_time() - start) / rounds)
    return {"json bytes": len(_compact()), "protobuf bytes": len(message.SerializeToString()), **best}


def _compact() -> str:
    return json.dumps(USER, separators=(",", ":"))
