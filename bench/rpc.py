"""What the mesh adds to a call: the same call through each variant, as medians of interleaved rounds.

All processes of all variants run at the same time: a plain gRPC server, a server of the mesh, Consul, a control plane,
a trace collector that throws away what it gets, an Envoy where there is one, and one client process for each variant.
Only one client calls at a time, round after round in turn, so that whatever else the machine does meets all.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.report import Section
from bench.rpc_envoy import envoy_hop
from meshwright.consul import Registration
from meshwright.free_ports import find_free
from meshwright.model import Address, InstanceId, ServiceName
from support.consul.servers import dev_consul, find_consul, real_consul
from support.mesh.mesh import Mesh, mesh, serving
from support.processes import Process, python

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROUNDS = 31
SEQUENTIAL = 400
CONCURRENT = 1500
WORKERS = 32
BARE = "bench-bare"
FULL = "bench-full"


@dataclass
class Variant:
    """One way to make the call, and what its rounds gave."""

    label: str
    client: Process
    p50: list[float]
    rate: list[float]


async def ask(client: Process, command: dict[str, Any]) -> dict[str, Any]:
    assert client.child.stdin
    assert client.child.stdout
    client.child.stdin.write(json.dumps(command).encode() + b"\n")
    await client.child.stdin.drain()
    line = await asyncio.wait_for(client.child.stdout.readline(), 60)
    assert line, client.tail()
    answer: dict[str, Any] = json.loads(line)
    return answer


class Arena:
    """The processes."""

    def __init__(self, built: Mesh) -> None:
        self.built = built
        self.collector = find_free()
        self.variants: list[Variant] = []

    async def server(self, kind: str, service: str) -> Address:
        address = Address("127.0.0.1", find_free())
        environ = {
            "MESHWRIGHT_SERVICE": service,
            "MESHWRIGHT_PORT": str(address.port),
            "MESHWRIGHT_REGISTER": "false",
            **self.tracing(1.0),
        }
        process = await self.built.run(python("-m", "bench.rpc_process", kind), kind, environ)
        await serving(address, "", process)
        registration = Registration(id=InstanceId(service), service=ServiceName(service), address=address)
        await self.built.consul.register(registration)
        return address

    def tracing(self, ratio: float) -> dict[str, str]:
        return {
            "OTEL_SDK_DISABLED": "false",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.collector}",
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": str(ratio),
        }

    async def client(self, label: str, kind: str, target: str, ratio: float = 1.0) -> None:
        environ = {"MESHWRIGHT_SERVICE": "bench-client", **self.tracing(ratio)}
        process = await self.built.run(python("-m", "bench.rpc_process", kind, target), kind, environ, pipes=True)
        await ask(process, {"calls": 500, "workers": 8})
        self.variants.append(Variant(label, process, [], []))


@contextlib.asynccontextmanager
async def arena(folder: Path) -> AsyncIterator[Arena]:
    consul = real_consul(folder) if find_consul() else dev_consul(folder)
    async with consul as registry, mesh(registry, folder) as built:
        ring = Arena(built)
        collector = await built.run(
            python("-m", "bench.rpc_process", "collector", str(ring.collector)), "collector", {}
        )
        await serving(Address("127.0.0.1", ring.collector), "", collector)
        plain = await ring.server("plain-server", BARE)
        await ring.server("mesh-server", FULL)
        await ring.client("plain channel", "plain-client", str(plain))
        await ring.client("bare `xds:///`", "bare-client", BARE)
        await ring.client("full runtime, 100 % sampled", "mesh-client", FULL, 1.0)
        await ring.client("full runtime, 10 % sampled", "mesh-client", FULL, 0.1)
        await ring.client("full runtime, 0 % sampled", "mesh-client", FULL, 0.0)
        async with envoy_hop(plain, folder) as hop:
            if hop is not None:
                await ring.client("plain channel through an Envoy", "plain-client", str(hop))
            yield ring


async def rounds(ring: Arena, count: int) -> None:
    for number in range(count):
        # Each round begins with another variant: none always follows the same neighbour.
        shift = number % len(ring.variants)
        for variant in ring.variants[shift:] + ring.variants[:shift]:
            one = await ask(variant.client, {"calls": SEQUENTIAL, "workers": 1})
            variant.p50.append(one["p50"])
            many = await ask(variant.client, {"calls": CONCURRENT, "workers": WORKERS})
            variant.rate.append(many["rate"])


def ratio(mine: list[float], theirs: list[float]) -> float:
    """The median of the ratios within each round: what drifts over the rounds cancels out."""
    return statistics.median(a / b for a, b in zip(mine, theirs, strict=True))


def rows(variants: list[Variant]) -> list[tuple[str, ...]]:
    plain = variants[0]
    return [
        (
            variant.label,
            f"{statistics.median(variant.p50) * 1e6:.0f} µs",
            f"{ratio(variant.p50, plain.p50):.2f}",
            f"{statistics.median(variant.rate):.0f}/s",
            f"{ratio(variant.rate, plain.rate):.2f}",
        )
        for variant in variants
    ]


async def measure() -> Section:
    with tempfile.TemporaryDirectory() as name:
        async with arena(Path(name)) as ring:
            await rounds(ring, ROUNDS)
            found = rows(ring.variants)
    return Section(
        key="rpc",
        title="What the mesh adds to a call",
        how=f"{ROUNDS} rounds of {SEQUENTIAL} calls one by one (p50) and {CONCURRENT} calls by {WORKERS} workers "
        f"(throughput of one client process); {' '.join((__doc__ or '').split())}",
        header=("variant", "p50", "to plain", "throughput", "to plain"),
        rows=found,
        notes=[
            "Aim: bare `xds:///` within 1.05 of the plain channel, the full runtime at 10 % within 1.15. The second is "
            "missed; [decision 31](../decisions/0031-wrapped-calls.md) takes the difference apart."
        ],
    )


if __name__ == "__main__":
    print(asyncio.run(measure()).markdown())
