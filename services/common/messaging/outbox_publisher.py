"""Publishing of a service's event log to NATS.

Events are stored in the transaction that changes the state, so that none is lost and none is published without its
change. The publisher publishes them in order, each exactly once, whatever crashes and however many replicas publish:
the stream's last message has its event's sequence in a header, and each message is published on the condition that the
stream has not grown (JetStream's optimistic concurrency, `Nats-Expected-Last-Sequence`). A publisher that loses that
race reads the stream's end again. No table of sent events is needed.

Before it continues, the publisher compares the stream's last event with the log's event of the same sequence. If they
differ, the log was recreated or restored from an older copy: the publisher continues after the last event that log and
stream have in common, so that new events with reused sequences are published.
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
"""Interval of passes without `wake`: each replica wakes its own publisher."""
RETRY_SECONDS = 0.5
_WRONG_LAST_SEQUENCE = 10071
"""JetStream's error code for a wrong expected last sequence."""


class OutboxPublisher:
    """Publishes an event log; call `wake` after storing events."""

    def __init__(self, bus: Bus, source: str, events: EventLog) -> None:
        self._bus = bus
        self._source = source
        self._stream = stream_of(source)
        self._events = events
        self._woken = asyncio.Event()
        self._parted: tuple[int, int] | None = None
        """The stream's end when the log was found to differ, and the last common event."""
        self.backlog = OutboxBacklog(events)
        bus.metrics.oldest.labels(source).set_function(lambda: self.backlog.age)
        self._published = bus.metrics.published.labels(source)

    def wake(self) -> None:
        self._woken.set()

    def running(self) -> AbstractAsyncContextManager[None]:
        """Publishes for as long as the context lasts."""
        return background_task(self._run(), f"outbox publisher of {self._source}")

    async def publish_all(self) -> int:
        """Publishes all unpublished events; returns their number. Raises BusUnavailableError, StoreUnavailableError."""
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
        """The sequence of the stream's last message, and the last event in it."""
        with translate_bus_errors():
            state = (await self._bus.streams.stream_info(self._stream)).state
            # Messages without a sequence header are foreign, and are skipped.
            for sequence in range(state.last_seq, max(state.first_seq, 1) - 1, -1):
                event = await self._event(sequence)
                if event:
                    return state.last_seq, event
        if state.first_seq > 1:
            raise StreamEmptiedError(self._stream)
        return state.last_seq, None

    async def _event(self, sequence: int) -> Event | None:
        """The event in the stream's message of that sequence; None for a foreign or missing message."""
        try:
            message = await self._bus.streams.get_msg(self._stream, sequence)
            ours = (message.headers or {}).get(SEQUENCE_HEADER, "").isdecimal()
            return decode(message.data or b"") if ours else None
        except (js_errors.NotFoundError, InvalidEventError):
            return None

    async def _following(self, last: int, told: Event | None) -> Sequence[Event]:
        """The log's next events, read together with the last published one to verify that it is still in the log."""
        if told is None:
            return await self._from(0)
        batch = await self._events.after(told.sequence - 1, BATCH + 1)
        if batch and _identity(batch[0]) == _identity(told):
            self.backlog.reached(told.sequence, batch[1:])
            return batch[1:]
        if self._parted is None or self._parted[0] != last:
            self._parted = (last, await self._common(last))
            what = "the log of %s differs from %s (recreated, or an older copy): publishing continues from event %d"
            log.error(what, self._source, self._stream, self._parted[1] + 1)
        return await self._from(self._parted[1])

    async def _from(self, position: int) -> Sequence[Event]:
        batch = await self._events.after(position, BATCH)
        self.backlog.reached(position, batch)
        return batch

    async def _common(self, last: int) -> int:
        """The sequence of the last common event of log and stream. Reads both completely, once after a loss."""
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
        # Old events are republished after a loss: they join no trace.
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
                log.error("events of %s need an operator: %s", self._source, error)
                await self._failed()
            except Exception:
                log.exception("events of %s wait", self._source)
                rest = await self._failed()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rest):
                    await self._woken.wait()

    async def _failed(self) -> float:
        """Updates the backlog after a failed pass; returns the pause in seconds."""
        try:
            await self.backlog.refresh()
        except StoreUnavailableError:
            log.debug("the backlog of %s is unknown", self._source)
        except Exception:
            log.exception("the backlog of %s is unknown", self._source)
        return RETRY_SECONDS


def _identity(event: Event) -> tuple[object, ...]:
    """Identifies an event; its data may be upcast to a newer version."""
    return event.sequence, event.subject, event.time


class StreamEmptiedError(Exception):
    """The messages with the stream's last sequence were removed."""

    def __init__(self, stream: str) -> None:
        super().__init__(
            f"the stream {stream} was emptied, and its last published event is unknown; "
            "delete the stream to republish all events with their sequences"
        )


class _OvertakenError(Exception):
    """Another replica has published meanwhile."""
