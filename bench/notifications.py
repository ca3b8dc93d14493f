"""What one replica of the notification service bears: subscribers that all hear every broadcast.

A NATS server, one replica and two processes that hold the subscribers run side by side on one machine; the subscribers
take their share of it. `paced`: so many broadcasts each second, for ten seconds; delivery is from the moment
before the call that sends until a subscriber has the message. `at once`: fifty broadcasts as fast as they are taken,
which is what the replica can do. `alone`: notifications to one user each, by eight callers without pause.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from bench.growth import sentence
from bench.report import Section
from demo.notification.v1 import notification_pb2 as pb
from demo.notification.v1 import notification_pb2_grpc as rpc
from support.demo.realtime import process
from support.processes import Process, python, running
from support.servers.nats import nats_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


SIZES = (100, 300, 1000)
HOLDERS = 2
PACE_SECONDS = 10
RATES = (1, 2, 5)
BURST = 50
SENDS = 2000
SENDERS = 8


@dataclass
class World:
    """A replica, and the processes that hold its subscribers."""

    replica: Process
    stub: rpc.NotificationServiceStub
    holders: list[Process]

    def rss(self) -> float:
        """MiB."""
        return psutil.Process(self.replica.child.pid).memory_info().rss / 2**20

    def cpu(self) -> float:
        """Seconds."""
        times = psutil.Process(self.replica.child.pid).cpu_times()
        return times.user + times.system

    async def heard(self, each: int) -> dict[str, Any]:
        """Wait until that many more notifications have been heard by each holder; what they saw."""
        return merged(await asyncio.gather(*(ask(holder, {"count": each}) for holder in self.holders)))


def merged(answers: list[dict[str, Any]]) -> dict[str, Any]:
    delays = sorted(itertools.chain.from_iterable(answer["delays"] for answer in answers))
    return {
        "p50": delays[len(delays) // 2],
        "p99": delays[len(delays) * 99 // 100],
        "last": max(answer["last"] for answer in answers),
        "missed": sum(answer["missed"] for answer in answers),
        "count": len(delays),
    }


async def ask(holder: Process, command: dict[str, Any]) -> dict[str, Any]:
    assert holder.child.stdin
    assert holder.child.stdout
    holder.child.stdin.write(json.dumps(command).encode() + b"\n")
    line = await asyncio.wait_for(holder.child.stdout.readline(), 120)
    assert line, holder.tail()
    answer: dict[str, Any] = json.loads(line)
    return answer


@contextlib.asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    async with (
        nats_server(folder / "nats") as nats,
        process("notification", nats, folder) as (replica, channel),
        contextlib.AsyncExitStack() as stack,
    ):
        target = _target(replica)
        holders = []
        for number in range(HOLDERS):
            command = python("-m", "bench.notification_holder", target, str(number))
            log = folder / f"holder-{number}.log"
            holders.append(await stack.enter_async_context(running(command, log, pipes=True)))
        yield World(replica, rpc.NotificationServiceStub(channel), holders)


def _target(replica: Process) -> str:
    """The log is called after the port."""
    return f"127.0.0.1:{replica.log.stem.rpartition('-')[2]}"


async def broadcast(stub: rpc.NotificationServiceStub) -> None:
    data = {"sent": repr(time.time())}
    await stub.Broadcast(pb.BroadcastRequest(title="Sale", message="Everything must go", data=data), timeout=30)


async def paced(ring: World, size: int, rate: int) -> tuple[str, ...]:
    count = rate * PACE_SECONDS
    hearing = asyncio.create_task(ring.heard(count * size // HOLDERS))
    cpu, began = ring.cpu(), time.monotonic()
    for number in range(count):
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        await broadcast(ring.stub)
    found = await hearing
    share = (ring.cpu() - cpu) / (time.monotonic() - began)
    return str(size), f"paced, {rate}/s", f"{count * size / PACE_SECONDS:.0f}/s", *figures(ring, found, share)


async def at_once(ring: World, size: int) -> tuple[str, ...]:
    hearing = asyncio.create_task(ring.heard(BURST * size // HOLDERS))
    cpu, began = ring.cpu(), time.time()
    await asyncio.gather(*(broadcast(ring.stub) for _ in range(BURST)))
    found = await hearing
    took = found["last"] - began
    share = (ring.cpu() - cpu) / took
    return str(size), f"at once, {BURST}", f"{BURST * size / took:.0f}/s", *figures(ring, found, share)


async def alone(ring: World, size: int) -> tuple[str, ...]:
    numbers = iter(range(SENDS))

    async def send() -> None:
        for number in numbers:
            request = pb.SendNotificationRequest(
                user_id=f"user-{number % size}", title="Order", message="m", data={"sent": repr(time.time())}
            )
            await ring.stub.SendNotification(request, timeout=30)

    hearing = asyncio.create_task(ring.heard(SENDS // HOLDERS))
    cpu, began = ring.cpu(), time.time()
    await asyncio.gather(*(send() for _ in range(SENDERS)))
    found = await hearing
    took = found["last"] - began
    share = (ring.cpu() - cpu) / took
    return str(size), f"alone, {SENDERS} senders", f"{SENDS / took:.0f}/s", *figures(ring, found, share)


def figures(ring: World, found: dict[str, Any], cpu: float) -> tuple[str, ...]:
    """The columns after the rate; `cpu` is a share of one core."""
    assert not found["missed"], found
    return f"{found['p50'] * 1e3:.0f} ms", f"{found['p99'] * 1e3:.0f} ms", f"{cpu * 100:.0f} %", f"{ring.rss():.0f} MiB"


async def sized(ring: World, size: int) -> list[tuple[str, ...]]:
    before = ring.rss()
    began = time.monotonic()
    for number, holder in enumerate(ring.holders):
        await ask(holder, {"subscribe": [f"user-{user}" for user in range(number, size, HOLDERS)]})
    came = time.monotonic() - began
    rows = [(str(size), "connected", f"{size / came:.0f}/s", "", "", "", f"{before:.0f} -> {ring.rss():.0f} MiB")]
    rows += [await paced(ring, size, rate) for rate in RATES]
    rows.append(await at_once(ring, size))
    rows.append(await alone(ring, size))
    return rows


async def measure() -> Section:
    rows = []
    for size in SIZES:
        with tempfile.TemporaryDirectory() as name:
            async with world(Path(name)) as ring:
                rows += await sized(ring, size)
    return Section(
        key="notifications",
        title="Notifications: subscribers of one replica",
        how=" ".join((__doc__ or "").split()),
        header=("subscribers", "what", "deliveries (or connections)", "p50", "p99", "CPU of the replica", "RSS"),
        rows=rows,
        notes=[
            sentence(rows, "subscribers", "connected", RATES[-1]),
            "No subscriber missed anything in any of these runs; the run fails where one does.",
        ],
    )


if __name__ == "__main__":
    print(asyncio.run(measure()).markdown())
