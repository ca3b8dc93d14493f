"""From the moment Consul has confirmed a deregistration to the last call that a client still sends there.

A service has two instances, one of which is registered by hand, so that it can leave Consul while it goes on serving. A
client calls without pause and notes when each call began and who answered. The figure is the start of the last call
that the leaving instance answered, minus the moment Consul confirmed; zero where that call began before it.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.report import Section
from meshwright.consul import Registration
from meshwright.free_ports import find_free
from meshwright.model import Address, InstanceId, ServiceName
from support.consul.servers import dev_consul, find_consul, real_consul
from support.mesh.mesh import Caller, Mesh, mesh, serving
from support.processes import python
from support.waiting import eventually

if TYPE_CHECKING:
    from support.consul.servers import ConsulServer

ROUNDS = 25


async def one_round(built: Mesh, caller: Caller, leaving: Registration) -> float:
    """Seconds from Consul's answer to the begin of the last call that reached the instance."""
    await built.consul.register(leaving)

    async def called() -> bool:
        return leaving.id in {outcome.instance for outcome in await caller.call(6)}

    await eventually(called, timeout=10)
    await caller.do("start", workers=4, pause=0)
    await caller.made(200)
    await built.consul.deregister(leaving.id)
    confirmed = time.monotonic()
    await caller.made(400)
    outcomes = await caller.stop()
    assert all(outcome.code == "OK" for outcome in outcomes)
    last = max(outcome.began for outcome in outcomes if outcome.instance == leaving.id)
    return max(0.0, last - confirmed)


async def against(server: ConsulServer, folder: Path) -> list[float]:
    async with mesh(server, folder) as built:
        service = built.new_name()
        await built.instance(service)
        port = find_free()
        environ = {
            "MESHWRIGHT_SERVICE": service,
            "MESHWRIGHT_INSTANCE": "leaving",
            "MESHWRIGHT_PORT": str(port),
            "MESHWRIGHT_REGISTER": "false",
        }
        process = await built.run(python("-m", "programs.target"), "leaving", environ)
        await serving(Address("127.0.0.1", port), "", process)
        leaving = Registration(
            id=InstanceId("leaving"), service=ServiceName(service), address=Address("127.0.0.1", port)
        )
        caller = await built.callable(service)
        return [await one_round(built, caller, leaving) for _ in range(ROUNDS)]


async def measure() -> Section:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        servers = [("dev Consul", dev_consul(folder))]
        if find_consul():
            servers.insert(0, ("Consul", real_consul(folder)))
        for label, context in servers:
            async with context as server:
                seconds = await against(server, folder)
            rows.append((label, f"{statistics.median(seconds) * 1e3:.1f} ms", f"{max(seconds) * 1e3:.1f} ms"))
    return Section(
        key="deregistration",
        title="From deregistration to the last call",
        how=f"{ROUNDS} rounds each; {' '.join((__doc__ or '').split())}",
        header=("registry", "median", "max"),
        rows=rows,
        notes=["Aim: median under 10 ms, max under 100 ms on the real Consul."],
    )
