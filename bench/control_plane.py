"""How fast one change in Consul reaches every ADS stream, and what the control plane costs meanwhile.

200 services with three instances each in a Consul (the real one where it is there), one control plane process, and a
process that holds the streams. Each stream subscribes to every service, so that each change concerns every stream:
more than gRPC clients do, whose streams follow one target each. An instance is taken out and put back in turn; time
runs from before the request to Consul until the last stream has the new endpoints.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import psutil

from bench.report import Section
from meshwright.free_ports import find_free
from meshwright.model import Address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.controlplane.plane import Plane

ROOT = str(Path(__file__).resolve().parents[1])
STREAMS = (100, 300, 1000)
SERVICES = 200
INSTANCES = 3
CONNECTIONS = 20
CHANGES = 20


@dataclass(frozen=True)
class Figures:
    """Times in milliseconds, memory in MiB."""

    streams: int
    services: int
    first_ms: float
    middle_ms: float
    last_ms: float
    """Median over the changes of the time to the last stream."""
    last_max_ms: float
    cpu_ms: float
    """CPU time of the control plane for each change."""
    connect_s: float
    """Seconds until all streams had everything at first."""
    rss_idle_mib: float
    rss_mib: float


async def measure() -> Section:
    """For docs/reference/benchmarks.md."""
    figures = [await figures_for(streams) for streams in STREAMS]
    rows = [
        (
            str(each.streams),
            f"{each.first_ms:.0f}",
            f"{each.middle_ms:.0f}",
            f"{each.last_ms:.0f} ({each.last_max_ms:.0f})",
            f"{each.cpu_ms:.0f}",
            f"{each.connect_s:.1f}",
            f"{each.rss_idle_mib:.0f}",
            f"{each.rss_mib:.0f}",
        )
        for each in figures
    ]
    return Section(
        key="control-plane",
        title="Control plane: one change to every stream",
        how=(
            f"{SERVICES} services of {INSTANCES} instances; every stream subscribes to all of them ({SERVICES * 4} "
            f"resources) and one instance is taken out or put back, {CHANGES} times. Milliseconds from before the "
            "request to Consul until the first, the middle and the last stream have it: medians, the worst in brackets."
        ),
        header=(
            "streams",
            "first ms",
            "middle ms",
            "last ms",
            "CPU ms per change",
            "all connected after s",
            "RSS without streams MiB",
            "RSS MiB",
        ),
        rows=rows,
    )


async def figures_for(streams: int, *, services: int = SERVICES, changes: int = CHANGES) -> Figures:
    """One measurement in processes of its own."""
    from support.consul.servers import dev_consul, find_consul, real_consul  # noqa: PLC0415 - tests/ is on the path by now
    from support.controlplane.plane import plane_process  # noqa: PLC0415

    xds, debug = Address("127.0.0.1", find_free()), Address("127.0.0.1", find_free())
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        consul = await stack.enter_async_context(real_consul() if find_consul() else dev_consul())
        registry = await stack.enter_async_context(_Registry(str(consul.address)))
        for service in range(services):
            for number in range(INSTANCES):
                await registry.register(service, number)
        plane = await stack.enter_async_context(plane_process(folder, consul.config, xds, debug))
        await _ready(plane)
        process = psutil.Process(plane.process.child.pid)
        idle = process.memory_info().rss
        began = time.monotonic()
        load = await stack.enter_async_context(_load(folder, xds, streams, services))
        connect = time.monotonic() - began
        times = [await _change(load, registry, process, turn, streams) for turn in range(changes)]
        return _figures(times, streams, services, connect, (idle, process.memory_info().rss))


@dataclass(frozen=True)
class _Times:
    first: float
    middle: float
    last: float
    cpu: float


def _figures(times: list[_Times], streams: int, services: int, connect: float, rss: tuple[int, int]) -> Figures:
    settled = times[2:]  # the first changes warm caches up

    def median(name: str) -> float:
        return round(statistics.median(getattr(each, name) for each in settled) * 1000, 1)

    return Figures(
        streams=streams,
        services=services,
        first_ms=median("first"),
        middle_ms=median("middle"),
        last_ms=median("last"),
        last_max_ms=round(max(each.last for each in settled) * 1000, 1),
        cpu_ms=median("cpu"),
        connect_s=round(connect, 2),
        rss_idle_mib=round(rss[0] / 2**20, 1),
        rss_mib=round(rss[1] / 2**20, 1),
    )


async def _change(load: Any, registry: _Registry, process: psutil.Process, turn: int, streams: int) -> _Times:
    await _say(load, {"expected": streams})
    cpu = sum(process.cpu_times()[:2])
    began = time.monotonic()
    if turn % 2:
        await registry.register(7, 0)
    else:
        await registry.deregister(7, 0)
    arrived = sorted(json.loads(await asyncio.wait_for(load.stdout.readline(), 30)))
    await asyncio.sleep(0.3)  # the acknowledgements are part of the cost
    spent = sum(process.cpu_times()[:2]) - cpu
    return _Times(arrived[0] - began, arrived[len(arrived) // 2] - began, arrived[-1] - began, spent)


async def _say(load: Any, command: dict[str, Any]) -> None:
    load.stdin.write(json.dumps(command).encode() + b"\n")
    await load.stdin.drain()
    assert await load.stdout.readline() == b"{}\n"


@contextlib.asynccontextmanager
async def _load(folder: Path, xds: Address, streams: int, services: int) -> AsyncIterator[Any]:
    from support.processes import python, running  # noqa: PLC0415

    command = python("-m", "bench.control_plane_load", str(xds), *map(str, (streams, CONNECTIONS, services, services)))
    async with running(command, folder / "load.log", {"PYTHONPATH": ROOT}, pipes=True) as process:
        child = process.child
        assert child.stdout
        assert await asyncio.wait_for(child.stdout.readline(), 120) == b"{}\n", process.tail()
        yield child


async def _ready(plane: Plane) -> None:
    from support.waiting import eventually  # noqa: PLC0415

    async def ready() -> bool:
        return (await plane.page("/readyz"))[0] == 200

    await eventually(ready, timeout=60, ignore=(OSError,))


class _Registry:
    """Instances with a TTL check that passes, so that nothing but us changes anything."""

    def __init__(self, address: str) -> None:
        self._base = f"http://{address}/v1/agent/service"

    async def __aenter__(self) -> _Registry:
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def register(self, service: int, number: int) -> None:
        name = f"service-{service:03}"
        check = {"TTL": "24h", "Status": "passing"}
        port = 10_000 + service * INSTANCES + number
        body = {"Name": name, "ID": f"{name}-{number}", "Address": "127.0.0.1", "Port": port, "Check": check}
        async with self._session.put(f"{self._base}/register", json=body) as response:
            response.raise_for_status()

    async def deregister(self, service: int, number: int) -> None:
        async with self._session.put(f"{self._base}/deregister/service-{service:03}-{number}") as response:
            response.raise_for_status()


async def main() -> None:
    for streams in map(int, sys.argv[1:]) if sys.argv[1:] else STREAMS:
        print(json.dumps(asdict(await figures_for(streams))), flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    asyncio.run(main())
