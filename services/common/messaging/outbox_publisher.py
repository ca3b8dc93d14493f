"""From a service's own log of events to NATS: the other half of an outbox.

The events are stored in the transaction that makes them true, so that none is lost and none is told that did not
happen. The relay publishes them afterwards, in order, each exactly once, whatever crashes and however many replicas
relay at once: the stream itself remembers how far it is (the last message's sequence header), and each message is
published on the condition that the stream still ends where we saw it end (JetStream's optimistic concurrency,
`Nats-Expected-Last-Sequence`). Whoever loses that race looks again. No table of what was sent is needed.

Before it goes on, the relay compares the stream's last event with the log's of the same number. Where they differ the
log is another one (its database was lost and made again) or an older copy: the relay goes on after the last event that
both have, so that nothing of the new log is taken for told because its numbers were given before.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from nats.js import errors as js_errors

from services.common.messaging.bus import translate_bus_errors
from services.common.messaging.event_metrics import OutboxBacklog
from services.common.messaging.events import (
    MEDIA_TYPE,
    SEQUENCE_HEADER,
    InvalidEventError,
    decode,
    encode,
    stream_of,
    subject_of,
)
from services.common.messaging.stream_reader import StreamReader
from services.common.runtime.errors import BusUnavailableError, StoreUnavailableError
from services.common.runtime.tasks import background_task

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager

    from services.common.messaging.bus import Bus
    from services.common.messaging.event_metrics import EventLog
    from services.common.messaging.events import Event

log = logging.getLogger(__name__)

BATCH = 100
IDLE_SECONDS = 1.0
"""How long the relay rests where nobody wakes it: another replica's events are published by that replica."""
AGAIN_SECONDS = 0.5
_WRONG_LAST_SEQUENCE = 10071
"""JetStream's error code where the stream does not end where the publisher said."""


class OutboxPublisher:
    """Publishes a log; `wake` it when something was stored."""

    def __init__(self, bus: Bus, source: str, events: EventLog) -> None:
        self._bus = bus
        self._source = source
        self._stream = stream_of(source)
        self._events = events
        self._woken = asyncio.Event()
        self._parted: tuple[int, int] | None = None
        """Where the stream ended when the log was found to be another, and the last event that both have."""
        self.backlog = OutboxBacklog(events)
        bus.metrics.oldest.labels(source).set_function(lambda: self.backlog.age)
        self._published = bus.metrics.published.labels(source)

    def wake(self) -> None:
        self._woken.set()

    def running(self) -> AbstractAsyncContextManager[None]:
        """Relay for as long as the context lasts."""
        return background_task(self._run(), f"relay of {self._source}")

    async def publish_all(self) -> int:
        """Publish what is not published yet; how many events that were. Raises BusUnavailableError and
        StoreUnavailableError."""
        await self._bus.ensure_stream(self._stream, f"events.{self._source}.>")
        count = 0
        while True:
            last, told = await self._end()
            batch = await self._following(last, told)
            if not batch:
                return count
            with contextlib.suppress(_OvertakenError):
                for index, event in enumerate(batch, 1):
                    last = await self._publish(event, last)
                    self.backlog.reached(event.sequence, batch[index:])
                    self._published.inc()
                    count += 1

    async def _end(self) -> tuple[int, Event | None]:
        """Where the stream ends: its last message, and the last event in it."""
        with translate_bus_errors():
            state = (await self._bus.streams.stream_info(self._stream)).state
            # What has no position was published by somebody else, and says nothing of how far we are.
            for sequence in range(state.last_seq, max(state.first_seq, 1) - 1, -1):
                event = await self._event(sequence)
                if event:
                    return state.last_seq, event
        if state.first_seq > 1:
            raise StreamEmptiedError(self._stream)
        return state.last_seq, None

    async def _event(self, sequence: int) -> Event | None:
        """The event that is the stream's message of that number; None where that is none of ours, or is gone."""
        try:
            message = await self._bus.streams.get_msg(self._stream, sequence)
            ours = (message.headers or {}).get(SEQUENCE_HEADER, "").isdecimal()
            return decode(message.data or b"") if ours else None
        except (js_errors.NotFoundError, InvalidEventError):
            return None

    async def _following(self, last: int, told: Event | None) -> Sequence[Event]:
        """The log's next events. The last one that was told is read with them, to see that it still is in the log."""
        if told is None:
            return await self._from(0)
        batch = await self._events.after(told.sequence - 1, BATCH + 1)
        if batch and _identity(batch[0]) == _identity(told):
            self.backlog.reached(told.sequence, batch[1:])
            return batch[1:]
        if self._parted is None or self._parted[0] != last:
            self._parted = (last, await self._common(last))
            what = (
                "the log of %s is not the one that %s was told of (lost, or an older copy): it is told from event %d on"
            )
            log.error(what, self._source, self._stream, self._parted[1] + 1)
        return await self._from(self._parted[1])

    async def _from(self, position: int) -> Sequence[Event]:
        batch = await self._events.after(position, BATCH)
        self.backlog.reached(position, batch)
        return batch

    async def _common(self, last: int) -> int:
        """Up to which event log and stream are the same. Reads both: once, after a disaster."""
        told: dict[int, tuple[object, ...]] = {}
        reader = StreamReader(self._bus, self._stream)
        async with contextlib.aclosing(reader.between(f"events.{self._source}.>", 0, last)) as messages:
            async for message in messages:
                with contextlib.suppress(InvalidEventError):
                    event = decode(message.body)
                    told[event.sequence] = _identity(event)
        position = 0
        while batch := await self._events.after(position, BATCH):
            for event in batch:
                if told.get(event.sequence) != _identity(event):
                    return position
                position = event.sequence
        return position

    async def _publish(self, event: Event, last: int) -> int:
        headers = {
            "Content-Type": MEDIA_TYPE,
            SEQUENCE_HEADER: str(event.sequence),
            "Nats-Expected-Last-Sequence": str(last),
        }
        # Old events are published again after a loss: their traces are long over.
        cause = event.traceparent if self._bus.spans.fresh(event.time) else ""
        subject, body = subject_of(event), encode(event)
        try:
            told = await self._bus.publish(
                self._stream, subject, body, headers, cause=cause, message_id=event.id, again=True
            )
        except js_errors.BadRequestError as error:
            if error.err_code != _WRONG_LAST_SEQUENCE:
                raise
            raise _OvertakenError from error
        return int(told.seq)

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            rest = IDLE_SECONDS
            try:
                await self.publish_all()
            except (BusUnavailableError, StoreUnavailableError) as error:
                log.debug("events of %s wait: %s", self._source, error)
                rest = await self._failed()
            except StreamEmptiedError as error:
                log.error("events of %s wait for a person: %s", self._source, error)
                await self._failed()
            except Exception:
                log.exception("events of %s wait", self._source)
                rest = await self._failed()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rest):
                    await self._woken.wait()

    async def _failed(self) -> float:
        """A pass was broken off; returns the rest until the next."""
        try:
            await self.backlog.look()
        except StoreUnavailableError:
            log.debug("whether events of %s wait is not known", self._source)
        except Exception:
            log.exception("whether events of %s wait is not known", self._source)
        return AGAIN_SECONDS


def _identity(event: Event) -> tuple[object, ...]:
    """What makes an event the same one: its fields may be brought up to a newer version."""
    return event.sequence, event.subject, event.time


class StreamEmptiedError(Exception):
    """Somebody has removed the messages that said how far the stream was."""

    def __init__(self, stream: str) -> None:
        super().__init__(
            f"the stream {stream} was emptied, and no longer tells which events it held; "
            "where it is deleted, all are published again with the numbers that they had"
        )


class _OvertakenError(Exception):
    """Another replica has published in between."""
