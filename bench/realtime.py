"""What one replica of the gateway bears: WebSockets in one room, and idle ones.

A NATS server, one chat, one gateway and two processes that hold the sockets run side by side on one machine; the
holders take their share of it. `paced`: so many messages each second, for ten seconds; the delay is from the moment
before a message is posted until a socket has it. `at once`: fifty messages as fast as they are taken. Idle sockets
are authenticated and have no room; they are pinged every 20 seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from bench.growth import sentence
from bench.notifications import ask, merged
from bench.report import Section
from demo.chat.v1 import chat_pb2 as pb
from demo.chat.v1 import chat_pb2_grpc as rpc
from meshwright.free_ports import find_free
from meshwright.model import Address
from meshwright.testing import Issuer
from support.demo.realtime import process
from support.mesh.mesh import serving
from support.processes import Process, python, running
from support.servers.nats import nats_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SIZES = (100, 300, 1000)
IDLE = (1000, 3000, 5000)
HOLDERS = 2
PACE_SECONDS = 10
RATES = (1, 2, 5)
BURST = 50
ROOM = "bench"


@dataclass
class World:
    """A gateway and its chat, and the processes that hold its sockets."""

    gateway: Process
    chat: Process
    stub: rpc.ChatServiceStub
    issuer: Issuer
    holders: list[Process]
    people: int = 0

    def rss(self) -> float:
        """Of the gateway, in MiB."""
        return psutil.Process(self.gateway.child.pid).memory_info().rss / 2**20

    def cpu(self) -> tuple[float, float]:
        """Seconds that gateway and chat have used."""
        spent = [psutil.Process(each.child.pid).cpu_times() for each in (self.gateway, self.chat)]
        return spent[0].user + spent[0].system, spent[1].user + spent[1].system

    async def connect(self, count: int, room: str) -> float:
        """That many more sockets, each another person's; how many came each second."""
        began = time.monotonic()
        tokens = [self.issuer.token(f"person-{self.people + number}", lifetime=3600) for number in range(count)]
        self.people += count
        shares = [tokens[number::HOLDERS] for number in range(HOLDERS)]
        asked = ({"connect": share, "room": room} for share in shares)
        await asyncio.gather(*(ask(holder, each) for holder, each in zip(self.holders, asked, strict=True)))
        return count / (time.monotonic() - began)

    async def heard(self, each: int) -> dict[str, Any]:
        return merged(await asyncio.gather(*(ask(holder, {"count": each}) for holder in self.holders)))


@contextlib.asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    issuer = Issuer()
    (folder / "jwks.json").write_text(json.dumps(issuer.jwks()))
    address = Address("127.0.0.1", find_free())
    admin = Address("127.0.0.1", find_free())
    async with (
        nats_server(folder / "nats") as nats,
        process("chat", nats, folder) as (chat, channel),
        contextlib.AsyncExitStack() as stack,
    ):
        environ = {
            "MESHWRIGHT_PORT": str(address.port),
            "GATEWAY_ADMIN_PORT": str(admin.port),
            "GATEWAY_DATABASE_URL": f"sqlite:///{folder}/gateway.db",
            "MESHWRIGHT_AUTH_ISSUER": issuer.name,
            "MESHWRIGHT_AUTH_JWKS": str(folder / "jwks.json"),
            "MESHWRIGHT_PROPAGATION": "0",
            "NATS_URL": nats.url,
        }
        command = python("-m", "bench.realtime_gateway", f"127.0.0.1:{chat.log.stem.rpartition('-')[2]}")
        gateway = await stack.enter_async_context(running(command, folder / "gateway.log", environ))
        await serving(admin, "", gateway)
        holders = []
        for number in range(HOLDERS):
            holding = python("-m", "bench.realtime_holder", f"ws://{address}/ws")
            holders.append(
                await stack.enter_async_context(running(holding, folder / f"holder-{number}.log", pipes=True))
            )
        yield World(gateway, chat, rpc.ChatServiceStub(channel), issuer, holders)


async def post(stub: rpc.ChatServiceStub) -> None:
    await stub.Post(pb.PostRequest(room=ROOM, user_id="bench", text=repr(time.time())), timeout=30)


async def paced(ring: World, size: int, rate: int) -> tuple[str, ...]:
    count = rate * PACE_SECONDS
    hearing = asyncio.create_task(ring.heard(count * size // HOLDERS))
    cpu, began = ring.cpu(), time.monotonic()
    for number in range(count):
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        await post(ring.stub)
    found = await hearing
    took = time.monotonic() - began
    return str(size), f"paced, {rate}/s", f"{count * size / PACE_SECONDS:.0f}/s", *figures(ring, found, cpu, took)


async def at_once(ring: World, size: int) -> tuple[str, ...]:
    hearing = asyncio.create_task(ring.heard(BURST * size // HOLDERS))
    cpu, began = ring.cpu(), time.time()
    await asyncio.gather(*(post(ring.stub) for _ in range(BURST)))
    found = await hearing
    took = found["last"] - began
    return str(size), f"at once, {BURST}", f"{BURST * size / took:.0f}/s", *figures(ring, found, cpu, took)


def figures(ring: World, found: dict[str, Any], before: tuple[float, float], took: float) -> tuple[str, ...]:
    """The columns after the rate; CPU as a share of one core."""
    gateway, chat = ((now - then) / took for now, then in zip(ring.cpu(), before, strict=True))
    shares = f"{gateway * 100:.0f} %", f"{chat * 100:.0f} %"
    return f"{found['p50'] * 1e3:.0f} ms", f"{found['p99'] * 1e3:.0f} ms", *shares, f"{ring.rss():.0f} MiB"


async def room_of(size: int) -> list[tuple[str, ...]]:
    with tempfile.TemporaryDirectory() as name:
        async with world(Path(name)) as ring:
            before = ring.rss()
            came = await ring.connect(size, ROOM)
            grown = f"{before:.0f} -> {ring.rss():.0f} MiB"
            rows = [(str(size), "joined", f"{came:.0f}/s", "", "", "", "", grown)]
            rows += [await paced(ring, size, rate) for rate in RATES]
            rows.append(await at_once(ring, size))
            return rows


async def idle() -> list[tuple[str, ...]]:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        async with world(Path(name)) as ring:
            first = ring.rss()
            for size in IDLE:
                came = await ring.connect(size - ring.people, "")
                cpu, began = ring.cpu()[0], time.monotonic()
                await asyncio.sleep(PACE_SECONDS)
                share = (ring.cpu()[0] - cpu) / (time.monotonic() - began)
                each = (ring.rss() - first) / size * 1024
                grown = f"{first:.0f} -> {ring.rss():.0f} MiB, {each:.0f} KiB each"
                rows.append((str(size), "idle", f"{came:.0f}/s", "", "", f"{share * 100:.0f} %", "", grown))
    return rows


async def measure() -> Section:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    rows = []
    for size in SIZES:
        rows += await room_of(size)
    rows += await idle()
    return Section(
        key="realtime",
        title="WebSockets: clients of one gateway",
        how=" ".join((__doc__ or "").split()),
        header=(
            "sockets",
            "what",
            "deliveries (or connections)",
            "p50",
            "p99",
            "CPU gateway",
            "CPU chat",
            "RSS gateway",
        ),
        rows=rows,
        notes=[
            sentence(rows, "sockets", "joined", RATES[-1]),
            "No socket missed anything in any of these runs; the run fails where one does.",
        ],
    )


if __name__ == "__main__":
    print(asyncio.run(measure()).markdown())
