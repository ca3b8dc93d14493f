"""Measures each transport with each kind of work twice: through a counting proxy for bytes, and directly for timing.

The proxy slows fast transports more than slow ones, so nothing is timed through it. The server is a process of its own,
so that the processor times of client and server are separate.
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
from services.protocols.byte_counter import counting_proxy
from services.protocols.domain import USER, Measurement, Report, Timing, Traffic
from services.protocols.transports import Http1, Transport, all_transports, session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from services.protocols.transports import Operation

AT_ONCE = 16
WARM_UP = 50
_WORKS = ("createUser", "chat")


@contextlib.asynccontextmanager
async def server_process() -> AsyncIterator[tuple[dict[str, int], psutil.Process]]:
    """Runs the server of all protocols; yields its ports by name, and its process. Raises RuntimeError."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.protocols.benchmark_server"),
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
    """Measures all transports, `count` operations of each kind. `said` is called with each measurement's name."""
    measurements = []
    async with server_process() as (ports, process):
        for transport in all_transports():
            for work in _WORKS:
                said(f"{transport.name}: {work}")
                opening, traffic = await _traffic(transport, work, ports[transport.port], count)
                timing = await _timing(transport, work, ports[transport.port], count, process)
                measurements.append(Measurement(transport.name, work, count, opening, traffic, timing))
        empty = await _empty_poll(ports[Http1.port])
    return Report(tuple(measurements), empty, codec())


def _open(transport: Transport, work: str, port: int) -> Any:
    return transport.creating(port) if work == "createUser" else transport.chatting(port)


async def _traffic(transport: Transport, work: str, port: int, count: int) -> tuple[Traffic, Traffic]:
    """Bytes up to and with the first operation, and of `count` operations after it.

    The first fills the header tables of HTTP/2; what it takes more than the others is the connection's.
    """
    async with counting_proxy(port) as proxy, _open(transport, work, proxy.port) as operation:
        await operation()
        opened = await proxy.settled()
        for _ in range(count):
            await operation()
        traffic = await proxy.settled() - opened
    each = Traffic(traffic.up // count, traffic.down // count)
    return Traffic(max(0, opened.up - each.up), max(0, opened.down - each.down)), traffic


async def _timing(transport: Transport, work: str, port: int, count: int, server: psutil.Process) -> Timing:
    async with _open(transport, work, port) as operation:
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
    return Timing(tuple(latencies), per_second, client, served)


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
    """The bytes of a poll without new messages."""
    rounds = 20
    async with counting_proxy(port) as proxy, session(proxy.port) as client:

        async def poll() -> None:
            async with client.get("/api/messages", params={"since": "999999999"}) as answer:
                assert not (await answer.json())["has_new"]

        await poll()
        before = await proxy.settled()
        for _ in range(rounds):
            await poll()
        spent = await proxy.settled() - before
    return Traffic(spent.up // rounds, spent.down // rounds)


def codec(rounds: int = 2_000, turns: int = 20) -> dict[str, float]:
    """Times encoding and decoding alone; the best of `turns`, the least disturbed by other programs."""
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
