"""Our client beside py-consul, asyncio and threads: `python -m bench.consul_clients`, by hand, on a real Consul.

Each client is a process that follows the same number of keys, each with a blocking query of its own. A writer
changes one key at a time, in turns between the clients, and the client notes when it has the new value: the clock is
the same for all processes. Then all keys of a client are rewritten, round after round, and its CPU seconds are
divided by the changes that it saw.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import random
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from bench.report import Section
from meshwright.config import ConsulConfig
from meshwright.consul import Consul, watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from meshwright.consul import Indexed, KvPair

KINDS = ("meshwright.consul", "py-consul asyncio", "py-consul threads")
WATCHES = 40
WAKE_UPS = 300
STORMS = 40


def say(key: str, value: bytes) -> None:
    """The child's protocol: a key, its new value, and the time at which it was there."""
    os.write(1, f"{key} {value.decode()} {time.monotonic()}\n".encode())  # in one piece, whatever the thread


def key_of(kind: str, number: int) -> str:
    return f"bench/{kind.replace(' ', '-')}/{number}"


async def follow_ours(address: str, keys: list[str]) -> None:
    async def follow(consul: Consul, key: str) -> None:
        async for answer in watch(functools.partial(consul.kv_get, key), burst=1000, rate=1000.0):
            pair: Indexed[KvPair | None] = answer
            if pair.value:
                say(key, pair.value.value)

    async with Consul(ConsulConfig(address=address)) as consul:
        await asyncio.gather(*(follow(consul, key) for key in keys))


async def follow_py_consul(address: str, keys: list[str]) -> None:
    from consul import aio  # noqa: PLC0415 - a rival, imported only where it runs

    async def follow(client: Any, key: str) -> None:
        index = 0
        while True:
            index, pair = await client.kv.get(key, index=index, wait="300s")
            if pair:
                say(key, pair["Value"])

    host, _, port = address.partition(":")
    client = aio.Consul(host=host, port=int(port))
    await asyncio.gather(*(follow(client, key) for key in keys))


def follow_threads(address: str, keys: list[str]) -> None:
    import consul as py_consul  # noqa: PLC0415 - a rival, imported only where it runs

    host, _, port = address.partition(":")

    def follow(key: str) -> None:
        client = py_consul.Consul(host=host, port=int(port))
        index = None
        while True:
            index, pair = client.kv.get(key, index=index, wait="300s")
            if pair:
                say(key, pair["Value"])

    threads = [threading.Thread(target=follow, args=(key,), daemon=True) for key in keys]
    for thread in threads:
        thread.start()
    threads[0].join()


class Child:
    """One client process, and what it has seen so far."""

    def __init__(self, kind: str, process: asyncio.subprocess.Process) -> None:
        self.kind = kind
        self.process = process
        self.usage = psutil.Process(process.pid)

    async def saw(self, value: str) -> float:
        """When it saw that value."""
        assert self.process.stdout
        while True:
            line = (await self.process.stdout.readline()).decode()
            if not line:
                raise RuntimeError(f"{self.kind} ended")
            _, seen, at = line.split()
            if seen == value:
                return float(at)

    def cpu(self) -> float:
        times = self.usage.cpu_times()
        return times.user + times.system


@contextlib.asynccontextmanager
async def child(kind: str, address: str) -> AsyncIterator[Child]:
    command = [sys.executable, "-W", "ignore", "-m", "bench.consul_clients", kind, address]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        yield Child(kind, process)
    finally:
        process.kill()
        await process.wait()


async def wake_up(writer: Consul, client: Child, value: str, number: int = 0) -> float:
    """Seconds from sending a write to the client having it."""
    began = time.monotonic()
    written = asyncio.create_task(writer.kv_put(key_of(client.kind, number), value.encode()))
    seen = await client.saw(value)
    await written
    return seen - began


async def storms(writer: Consul, clients: list[Child]) -> dict[str, float]:
    """CPU seconds of each client per change."""
    before = {client.kind: client.cpu() for client in clients}
    for turn in range(STORMS):
        for client in random.sample(clients, len(clients)):
            for number in range(WATCHES):
                await wake_up(writer, client, f"storm-{turn}-{number}", number)
    return {client.kind: (client.cpu() - before[client.kind]) / (STORMS * WATCHES) for client in clients}


async def measure() -> Section:
    from support.consul.servers import real_consul  # noqa: PLC0415 - after the path

    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(real_consul())
        writer = await stack.enter_async_context(Consul(server.config))
        for kind in KINDS:
            for number in range(WATCHES):
                await writer.kv_put(key_of(kind, number), b"start")
        clients = [await stack.enter_async_context(child(kind, str(server.address))) for kind in KINDS]
        for client in clients:
            for number in range(WATCHES):
                await wake_up(writer, client, f"ready-{number}", number)
        latencies: dict[str, list[float]] = {kind: [] for kind in KINDS}
        for turn in range(WAKE_UPS):
            for client in random.sample(clients, len(clients)):
                latencies[client.kind].append(await wake_up(writer, client, f"turn-{turn}"))
        costs = await storms(writer, clients)
        rows = [row(client, latencies[client.kind], costs[client.kind]) for client in clients]
    return Section(
        key="consul_clients",
        title="Clients of Consul",
        how=f"{WATCHES} watches each. {' '.join((__doc__ or '').split())}",
        header=("client", "wake-up, median", "p99", "CPU per change", "RSS", "threads", "connections"),
        rows=rows,
    )


def row(client: Child, latencies: list[float], cost: float) -> tuple[str, ...]:
    p99 = statistics.quantiles(latencies, n=100)[98]
    connections = [item for item in client.usage.net_connections("tcp") if item.status == psutil.CONN_ESTABLISHED]
    return (
        client.kind,
        f"{statistics.median(latencies) * 1e3:.2f} ms",
        f"{p99 * 1e3:.2f} ms",
        f"{cost * 1e3:.2f} ms",
        f"{client.usage.memory_info().rss / 2**20:.0f} MB",
        str(client.usage.num_threads()),
        str(len(connections)),
    )


def main() -> None:
    if len(sys.argv) > 1:
        kind, address = sys.argv[1:]
        keys = [key_of(kind, number) for number in range(WATCHES)]
        if kind == KINDS[2]:
            follow_threads(address, keys)
        else:
            asyncio.run((follow_ours if kind == KINDS[0] else follow_py_consul)(address, keys))
        return
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    print(asyncio.run(measure()).markdown())


if __name__ == "__main__":
    main()
