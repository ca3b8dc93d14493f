"""Public live events of the shop as server-sent events: order updates, and figures per second.

A replica has one consumer of the order events for all viewers. Figures are counted by the time at which NATS stored
each event, and sent two seconds later: so all replicas send the same, and a viewer can resume at any replica.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from services.common.messaging.events import InvalidEventError, decode, stream_of
from services.common.messaging.fanout import Fanout, Inbox
from services.common.messaging.message_spans import now_ns
from services.common.messaging.ordered_consumer import OrderedConsumer
from services.common.messaging.stream_reader import StreamReader
from services.common.runtime.errors import BusUnavailableError
from services.common.runtime.tasks import background_task
from services.gateway.errors import ApiError
from services.gateway.http import server_sent_events as sse

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from services.common.messaging.bus import Bus
    from services.common.messaging.stream_reader import StoredMessage

log = logging.getLogger(__name__)

SOURCE = "order"
STATES = {"OrderPlaced": "placed", "OrderCompleted": "completed", "OrderRejected": "rejected"}
SUBJECTS = tuple(f"events.{SOURCE}.{name}" for name in STATES)
RECENT = 20
"""Number of orders that a new viewer gets first."""
MOST_AGAIN = 1000
"""Maximum events that a resuming viewer gets: the latest ones."""
SECONDS = 60
"""Number of figures that a new viewer gets first."""
KEPT_SECONDS = 300
SETTLED_SECONDS = 2
CLOCKS_SECONDS = 5
"""Tolerated clock difference of replicas."""
BUFFER = 256
_KEY = "orders"


@dataclass(frozen=True, slots=True)
class OrderUpdate:
    """An update of an order, without personal data."""

    sequence: int
    at: datetime
    state: str
    total_cents: int

    @property
    def frame(self) -> bytes:
        at = self.at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        document: dict[str, object] = {"state": self.state, "at": at}
        if self.state == "completed":
            document["total_cents"] = self.total_cents
        return sse.event("order", json.dumps(document), self.sequence)


@dataclass(frozen=True, slots=True)
class SecondFigures:
    """The figures of one second, in seconds since 1970."""

    number: int
    placed: int = 0
    completed: int = 0
    rejected: int = 0
    revenue_cents: int = 0

    def plus(self, update: OrderUpdate) -> SecondFigures:
        counted = replace(self, **{update.state: getattr(self, update.state) + 1})
        return replace(counted, revenue_cents=self.revenue_cents + update.total_cents)

    @property
    def frame(self) -> bytes:
        at = datetime.fromtimestamp(self.number, UTC).isoformat().replace("+00:00", "Z")
        figures = {name: getattr(self, name) for name in ("placed", "completed", "rejected", "revenue_cents")}
        return sse.event("second", json.dumps({"at": at} | figures), self.number)


def order_update_of(message: StoredMessage) -> OrderUpdate | None:
    """Converts an event to an update; None if it has no public content."""
    try:
        event = decode(message.body)
    except InvalidEventError:
        return None
    state = STATES.get(event.name)
    if state is None:
        return None
    total = event.data.get("total_cents") if state == "completed" else 0
    return OrderUpdate(message.sequence, message.moment, state, total if isinstance(total, int) else 0)


class LiveEvents:
    """The feed and the chart. `clock`: seconds since 1970."""

    def __init__(self, bus: Bus, clock: Callable[[], float]) -> None:
        self._bus = bus
        self._clock = clock
        self._reader = StreamReader(bus, stream_of(SOURCE))
        self._consumer = OrderedConsumer(bus, stream_of(SOURCE), self._prepare, self._take, self._lost)
        self._fanout = Fanout[OrderUpdate]()
        self._seconds: dict[int, SecondFigures] = {}
        self.last_second = 0
        """The last second whose figures were sent, since 1970; 0: none yet."""
        self._filled = False
        self._first_taken: int | None = None
        """Sequence of the first event that the consumer delivered."""
        self._ticked = asyncio.Event()

    @property
    def hearing(self) -> bool:
        """Whether events reach this replica now."""
        return self._consumer.hearing

    @property
    def position(self) -> int:
        """Sequence of the last event that was taken in."""
        return self._consumer.position

    @property
    def viewers(self) -> int:
        """Number of open feeds."""
        return self._fanout.count(_KEY)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Consumes events for as long as the context lasts."""
        async with self._consumer.running(), background_task(self._tick(), "seconds of the live chart"):
            yield

    async def feed(self, after: int | None) -> AsyncGenerator[bytes]:
        """Yields order updates after that sequence; None: the latest first. Raises ApiError."""
        try:
            # Another replica may be ahead of this one. A sequence beyond the end belongs to a lost stream.
            ahead = after is not None and after > self.position and after <= await self._reader.end()
            position = self.position
        except BusUnavailableError as error:
            raise _away() from error
        first = position if after is None or (after > position and not ahead) else after
        inbox = Inbox[OrderUpdate](BUFFER, lambda update: update.sequence > first)
        with self._fanout.open((_KEY,), inbox):
            seen = first
            for update in await self._stored(after, position):
                seen = update.sequence
                yield update.frame
            while True:
                await inbox.wait()
                while taken := inbox.take():
                    gap, update = taken
                    if gap:
                        yield sse.event("missed", json.dumps({"count": gap.count}))
                    if update.sequence > seen:
                        yield update.frame

    async def chart(self, after: int | None) -> AsyncGenerator[bytes]:
        """Yields the figures of each second after that one; None or a future second: the last minute first."""
        if after is not None and after > self._clock() + CLOCKS_SECONDS:
            after = None
        seen, most = after or 0, KEPT_SECONDS if after else SECONDS
        while True:
            ticked = self._ticked
            if self.last_second:
                seen, most = max(seen, self.last_second - most), KEPT_SECONDS
            while seen < self.last_second:
                seen += 1
                yield self._seconds.get(seen, SecondFigures(seen)).frame
            await ticked.wait()

    async def _stored(self, after: int | None, until: int) -> list[OrderUpdate]:
        """Reads the stored updates between `after` and `until`; without `after` the latest before `until`."""
        most = RECENT if after is None else MOST_AGAIN
        found: deque[OrderUpdate] = deque(maxlen=most)
        start = max(0, until - 50 * RECENT) if after is None else min(after, until)
        try:
            async with contextlib.aclosing(self._reader.merged(SUBJECTS, start, until)) as messages:
                async for message in messages:
                    if update := order_update_of(message):
                        found.append(update)
        except BusUnavailableError as error:
            raise _away() from error
        return list(found)

    async def _prepare(self) -> None:
        await self._bus.ensure_stream(stream_of(SOURCE), f"events.{SOURCE}.>")

    def _take(self, message: StoredMessage) -> None:
        if self._first_taken is None:
            self._first_taken = message.sequence
        began = now_ns()
        if update := order_update_of(message):
            self._count(update)
            if self._fanout.deliver(_KEY, update):
                self._bus.spans.delivered(message, "gateway", began, "")

    def _lost(self) -> None:
        self._fanout.end(_away())

    def _count(self, update: OrderUpdate) -> None:
        number = int(update.at.timestamp())
        self._seconds[number] = self._seconds.get(number, SecondFigures(number)).plus(update)

    async def _tick(self) -> None:
        while True:
            now = int(self._clock())
            with contextlib.suppress(BusUnavailableError, ApiError):
                await self._fill(now)
            # Without a connection, wait: sent figures never change.
            if self.hearing and now - SETTLED_SECONDS > self.last_second:
                self.last_second = now - SETTLED_SECONDS
                for number in [number for number in self._seconds if number < now - KEPT_SECONDS]:
                    del self._seconds[number]
                self._ticked.set()
                self._ticked = asyncio.Event()
            await asyncio.sleep(now + 1 - self._clock() if now + 1 > self._clock() else 0.01)

    async def _fill(self, now: int) -> None:
        """Counts, once, the events before this replica's first one."""
        if self._filled:
            return
        until = self.position if self._first_taken is None else self._first_taken - 1
        older = await self._stored(max(0, until - MOST_AGAIN), until)
        self._filled = True
        for update in older:
            if update.at.timestamp() > now - KEPT_SECONDS:
                self._count(update)


def _away() -> ApiError:
    return ApiError("UNAVAILABLE", "the live events are unavailable", reason="BUS_UNAVAILABLE")
