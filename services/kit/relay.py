"""From a service's own log of events to NATS: the other half of an outbox.

The events are stored in the transaction that makes them true, so that none is lost and none is told that did not
happen. The relay publishes them afterwards, in order, each exactly once, whatever crashes and however many replicas
relay at once: the stream itself remembers how far it is (the last message's sequence header), and each message is
published on the condition that the stream still ends where we saw it end (JetStream's optimistic concurrency,
`Nats-Expected-Last-Sequence`). Whoever loses that race looks again. No table of what was sent is needed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Protocol

from nats.js import errors as js_errors

from services.kit.bus import unavailable
from services.kit.errors import BusUnavailableError, StoreUnavailableError
from services.kit.events import MEDIA_TYPE, SEQUENCE_HEADER, encode, stream_of, subject_of
from services.kit.running import running

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager

    from services.kit.bus import Bus
    from services.kit.events import Event

log = logging.getLogger(__name__)

BATCH = 100
IDLE_SECONDS = 1.0
"""How long the relay rests where nobody wakes it: another replica's events are published by that replica."""
AGAIN_SECONDS = 0.5
_WRONG_LAST_SEQUENCE = 10071
"""JetStream's error code where the stream does not end where the publisher said."""


class EventLog(Protocol):
    """A service's own events."""

    async def after(self, sequence: int, limit: int) -> Sequence[Event]:
        """At most `limit` events after that sequence, ascending. Raises StoreUnavailableError.

        An event must never appear before one that has been returned: where transactions may commit out of order, the
        log holds back what could still be overtaken.
        """


class Relay:
    """Publishes a log; `wake` it when something was stored."""

    def __init__(self, bus: Bus, source: str, events: EventLog) -> None:
        self._bus = bus
        self._source = source
        self._stream = stream_of(source)
        self._events = events
        self._woken = asyncio.Event()

    def wake(self) -> None:
        self._woken.set()

    def running(self) -> AbstractAsyncContextManager[None]:
        """Relay for as long as the context lasts."""
        return running(self._run(), f"relay of {self._source}")

    async def publish_all(self) -> int:
        """Publish what is not published yet; how many events that were. Raises BusUnavailableError and
        StoreUnavailableError."""
        await self._bus.ensure_stream(self._stream, f"events.{self._source}.>")
        count = 0
        while True:
            last, position = await self._end()
            batch = await self._events.after(position, BATCH)
            if not batch:
                return count
            with contextlib.suppress(_OvertakenError):
                for event in batch:
                    last = await self._publish(event, last)
                    count += 1

    async def _end(self) -> tuple[int, int]:
        """Where the stream ends: its last message, and which event that was."""
        with unavailable():
            state = (await self._bus.streams.stream_info(self._stream)).state
            # What has no position was published by somebody else, and says nothing of how far we are.
            for sequence in range(state.last_seq, max(state.first_seq, 1) - 1, -1):
                position = await self._position(sequence)
                if position:
                    return state.last_seq, position
        if state.first_seq > 1:
            raise StreamEmptiedError(self._stream)
        return state.last_seq, 0

    async def _position(self, sequence: int) -> int:
        """Of the event that is the stream's message of that number; 0 where that is none of ours, or is gone."""
        try:
            message = await self._bus.streams.get_msg(self._stream, sequence)
        except js_errors.NotFoundError:
            return 0
        found = (message.headers or {}).get(SEQUENCE_HEADER, "")
        return int(found) if found.isdecimal() else 0

    async def _publish(self, event: Event, last: int) -> int:
        headers = {
            "Content-Type": MEDIA_TYPE,
            SEQUENCE_HEADER: str(event.sequence),
            "Nats-Expected-Last-Sequence": str(last),
        }
        with unavailable():
            try:
                told = await self._bus.streams.publish(subject_of(event), encode(event), headers=headers)
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
                rest = AGAIN_SECONDS
            except StreamEmptiedError as error:
                log.error("events of %s wait for a person: %s", self._source, error)
            except Exception:
                log.exception("events of %s wait", self._source)
                rest = AGAIN_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rest):
                    await self._woken.wait()


class StreamEmptiedError(Exception):
    """Somebody has removed the messages that said how far the stream was."""

    def __init__(self, stream: str) -> None:
        super().__init__(
            f"the stream {stream} was emptied, and no longer tells which events it held; "
            "where it is deleted, all are published again with the numbers that they had"
        )


class _OvertakenError(Exception):
    """Another replica has published in between."""
