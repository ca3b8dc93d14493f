"""How long the read side takes for 100,000 events: to make its views for the first time, and to make them anew.

90,000 events of 10,000 users and 10,000 completed orders are in a real NATS. One replica follows them, in batches of up
to 500, each a transaction on SQLite or PostgreSQL. While the views are made anew, a reader asks the old ones over gRPC,
one question after the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from bench.report import Section
from demo.userview.v1 import userview_pb2 as pb
from services.common.messaging.bus import BusConfig, open_bus
from services.common.messaging.events import Event, encode, stream_of, subject_of
from support.demo.views import NOW, Replica, replica
from support.servers.nats import NatsServer, nats_server
from support.servers.postgres import cluster, find_postgres
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

USERS, CHANGES, ORDERS = 10_000, 80_000, 10_000


def told() -> Iterator[Event]:
    """The events, in an order in which they could have happened."""
    for number in range(1, USERS + CHANGES + 1):
        user = f"u{number % USERS:05}"
        if number <= USERS:
            data = {"name": f"Ada {number}", "email": f"{user}@example.org", "phone": ""}
            name = "UserCreated"
        else:
            data = {"old": "", "new": f"Grace {number}"}
            name = "NameChanged"
        yield Event("user", number, f"demo.user.{name}.v1", user, NOW + timedelta(seconds=number), data)
    for number in range(1, ORDERS + 1):
        data = {"user_id": f"u{number % USERS:05}", "total_cents": 100}
        yield Event("order", number, "demo.order.OrderCompleted.v1", f"o{number}", NOW, data)


async def tell(nats: NatsServer) -> None:
    async with open_bus(BusConfig((nats.url,)), "bench") as bus:
        for source in ("user", "order"):
            await bus.ensure_stream(stream_of(source), f"events.{source}.>")
        for number, event in enumerate(told()):
            await bus.connection.publish(subject_of(event), encode(event))
            if number % 1000 == 0:
                await bus.connection.flush()
        await bus.connection.flush()


async def until_seen(side: Replica) -> None:
    wanted = {"user": USERS + CHANGES, "order": ORDERS}
    while True:
        seen = (await side.views.progress()).positions
        if all(seen[source] >= position for source, position in wanted.items()):
            return
        await asyncio.sleep(0.05)


async def reading(side: Replica, delays: list[float]) -> None:
    number = 0
    while True:
        number += 1
        began = time.perf_counter()
        if number % 2:
            await side.view(f"u{number % USERS:05}")
        else:
            await side.stub.SearchUsers(pb.SearchUsersRequest(query=f"grace {80_000 + number}"), timeout=10)
        delays.append(time.perf_counter() - began)


async def rows(nats: NatsServer, kind: str, database: str) -> list[tuple[str, ...]]:
    began = time.monotonic()
    async with replica(nats, database) as side:
        await until_seen(side)
        first = time.monotonic() - began
        quiet: list[float] = []
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(reading(side, quiet), 3)
        delays: list[float] = []
        task = asyncio.create_task(reading(side, delays))
        began = time.monotonic()
        await side.stub.Rebuild(pb.RebuildRequest())
        await eventually(lambda: _generation(side, 2), 300)
        again = time.monotonic() - began
        task.cancel()
        await asyncio.wait({task})
    total = USERS + CHANGES + ORDERS
    return [
        (kind, "made first", f"{first:.1f} s", f"{total / first:.0f}/s", *_quantiles(quiet)),
        (kind, "made anew", f"{again:.1f} s", f"{total / again:.0f}/s", *_quantiles(delays)),
    ]


async def _generation(side: Replica, number: int) -> bool:
    return (await side.views.progress()).generation == number


def _quantiles(delays: list[float]) -> tuple[str, str]:
    ordered = sorted(delays)
    return f"{ordered[len(ordered) // 2] * 1e3:.1f} ms", f"{ordered[int(len(ordered) * 0.99)] * 1e3:.1f} ms"


async def measure() -> Section:
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        async with nats_server(folder / "nats") as nats:
            await tell(nats)
            found = await rows(nats, "SQLite", f"sqlite:///{folder}/views.db")
            programs = find_postgres()
            if programs is not None:
                server = stack.enter_context(cluster(programs))
                found += await rows(nats, "PostgreSQL", server.new_database())
    return Section(
        key="userview",
        title="The read side: 100,000 events",
        how=" ".join((__doc__ or "").split()),
        header=("database", "the views", "took", "events", "a read meanwhile, p50", "p99"),
        rows=found,
        notes=[
            "Beside `made first` stand the reads after it, with nothing else to do. "
            "Reads are a view by id and a search, in turn."
        ],
    )
