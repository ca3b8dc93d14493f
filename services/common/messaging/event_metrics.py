"""Prometheus metrics of events: the connection, the outbox and the consumers of a process.

An outbox fails silently: requests succeed while their events are not published. The age of the oldest event that is not
known to be published shows it. The age is computed at each scrape, so that it grows even if the publisher hangs. Until
the stream was read once, it counts from the publisher's start.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from prometheus_client import Counter, Gauge

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from prometheus_client import CollectorRegistry

    from services.common.messaging.events import Event


class EventLog(Protocol):
    """A service's own events."""

    async def after(self, sequence: int, limit: int) -> Sequence[Event]:
        """At most `limit` events after that sequence, ascending. Raises StoreUnavailableError.

        An event must never appear before one that has been returned: if transactions may commit out of order, the log
        withholds events that could still be overtaken.
        """


class EventMetrics:
    """The metrics of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.connected = Gauge("nats_connected", "1 while the connection to NATS is open.", registry=registry)
        self.refusing = Gauge(
            "nats_refusing_streams", "Streams that take no message though their server answers.", registry=registry
        )
        self.published = Counter(
            "outbox_published_events", "Events of the outbox that were published.", ["source"], registry=registry
        )
        self.oldest = Gauge(
            "outbox_oldest_event_age_seconds",
            "Age of the oldest event of the outbox that is not known to be published; 0 where all are.",
            ["source"],
            registry=registry,
        )
        self.consumed = Counter(
            "event_consumer_events", "Events of a source that were taken in.", ["source"], registry=registry
        )
        self.pending = Gauge(
            "event_consumer_pending_events",
            "Events that the stream held behind the last one that was taken in.",
            ["source"],
            registry=registry,
        )
        self.failures = Counter(
            "event_consumer_failures",
            "Times that taking an event in failed by a fault of its own; it is tried again.",
            ["source"],
            registry=registry,
        )
        self.dead_letters = Counter(
            "event_consumer_dead_letters",
            "Messages that could not be read and were passed over for ever.",
            ["source"],
            registry=registry,
        )

    def follows(self, source: str) -> None:
        """Initialises the source's counters to 0: Prometheus sees no increase when a series begins at 1."""
        for counter in (self.consumed, self.failures, self.dead_letters):
            counter.labels(source)


class OutboxBacklog:
    """The part of a log that is not known to be published: the age of its oldest event."""

    def __init__(self, log: EventLog, clock: Callable[[], float] = time.time) -> None:
        self._log = log
        self._clock = clock
        self._began = clock()
        self._position: int | None = None
        self._since: float | None = None

    @property
    def age(self) -> float:
        """Age of the oldest unpublished event, in seconds."""
        return 0.0 if self._since is None else max(0.0, self._clock() - self._since)

    def reached(self, position: int, following: Sequence[Event] = ()) -> None:
        """Records that the stream holds the log up to `position`; `following`: the next events."""
        self._position = position
        self._since = following[0].time.timestamp() if following else None

    async def refresh(self) -> None:
        """Reads the oldest event from the log while the stream is unavailable. Raises StoreUnavailableError."""
        waiting = await self._log.after(self._position or 0, 1)
        if not waiting:
            self._since = None
        else:
            self._since = self._began if self._position is None else waiting[0].time.timestamp()
