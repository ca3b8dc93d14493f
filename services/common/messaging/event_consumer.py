"""Consuming the events of a service in order, from an offset that the consuming service stores itself.

The offset is stored in the same transaction as the effects of the events: so each event takes effect exactly once,
whatever crashes. A durable consumer of NATS would keep a second offset and is not used; every replica reads with an
ordered consumer (push, no acknowledgements, recreated from the last message after a gap), and the service's database
decides which replica's transaction counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nats import errors as nats_errors
from nats.js import api
from nats.js import errors as js_errors

from services.common.messaging.bus import translate_bus_errors
from services.common.messaging.events import SEQUENCE_HEADER, InvalidEventError, decode, stream_of
from services.common.messaging.message_spans import ConsumedMessage, carrier_of
from services.common.runtime.errors import BusUnavailableError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence

    from nats.aio.msg import Msg
    from nats.js import JetStreamContext

    from services.common.messaging.bus import Bus
    from services.common.messaging.events import Event

    OnReset = Callable[[int, int], Awaitable[None]]

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.5
MOST = 500
"""Maximum events of a batch."""
QUIET_SECONDS = 5.0
"""Silence after which the consumer's existence is checked: a server that lost it sends nothing."""
HEARTBEAT_SECONDS = 1.0
SETTLED_SECONDS = 2.0
"""A stream that is being republished grows; one that has not grown for this time is complete."""


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Consecutive events of one source, each with its sequence in the stream."""

    events: Sequence[tuple[int, Event]]
    """Never empty."""
    pending: int
    """Messages that remained in the stream when the last of these was sent."""
    traced: Mapping[int, ConsumedMessage] = field(default_factory=dict)
    """Those that were published in a trace, by their sequences."""
    start: int = 0
    """The sequence after which the batch begins. A consumer with a lower offset has lost its own, and begins there."""

    @property
    def place(self) -> int:
        """The sequence of the last event."""
        return self.events[-1][0]

    def after(self, place: int) -> EventBatch | None:
        """The events after that sequence; None if there are none."""
        rest = [(at, event) for at, event in self.events if at > place]
        return EventBatch(rest, self.pending, self.traced, place) if rest else None

    def consumed(self, at: int, event: Event) -> ConsumedMessage:
        """The event as its span describes it."""
        return self.traced.get(at) or ConsumedMessage("", {}, event.time)


async def batches_after(bus: Bus, source: str, place: int, most: int = MOST) -> AsyncGenerator[EventBatch]:
    """Yields the events of `source` after the stream's message `place` (0: from the first), forever, in batches of 1 to
    `most` events that have arrived.

    Raises BusUnavailableError when the connection is lost; the caller calls again with its last sequence.
    """
    stream = stream_of(source)
    await bus.ensure_stream(stream, f"events.{source}.>")
    with translate_bus_errors():
        created = (await bus.streams.stream_info(stream)).created
        subscription = await bus.streams.subscribe(
            f"events.{source}.>",
            stream=stream,
            ordered_consumer=True,
            idle_heartbeat=HEARTBEAT_SECONDS,
            config=api.ConsumerConfig(
                deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE if place else api.DeliverPolicy.ALL,
                opt_start_seq=place + 1 if place else None,
            ),
        )
    start, consumer = place, ""

    async def same_stream() -> None:
        await _is_still_there(bus, subscription, stream, created, start)

    try:
        while True:
            found = [await _next(subscription, same_stream)]
            while len(found) < most and subscription.pending_msgs:
                found.append(await _next(subscription, same_stream))
            if found[-1].metadata.consumer != consumer:
                # nats-py has recreated the consumer, possibly on another stream.
                await same_stream()
                consumer = found[-1].metadata.consumer
            read = [(message.metadata.sequence.stream, _event(message)) for message in found]
            events = [(at, event) for at, event in read if event is not None]
            bus.metrics.dead_letters.labels(source).inc(len(read) - len(events))
            bus.metrics.pending.labels(source).set(found[-1].metadata.num_pending)
            if events:
                traced = {at: consumed for at, consumed in map(_traced, found) if consumed is not None}
                yield EventBatch(events, found[-1].metadata.num_pending, traced, start)
                start = events[-1][0]
    finally:
        with contextlib.suppress(Exception):
            await subscription.unsubscribe()


async def _end_before(bus: Bus, source: str, place: int) -> int:
    """Returns the last sequence if it is below `place` and stays so; 0 once the stream reaches `place`.

    A lost stream is republished from its log to the same length, unless part of the log was lost before.
    """
    stream, before = stream_of(source), -1
    await bus.ensure_stream(stream, f"events.{source}.>")
    while True:
        with translate_bus_errors():
            end = (await bus.streams.stream_info(stream)).state.last_seq
        if end >= place:
            return 0
        if before < 0:
            log.warning(
                "%s ends at %d and was consumed up to %d: it was lost and is being republished", stream, end, place
            )
        if end and end == before:
            return end
        before = end
        await asyncio.sleep(SETTLED_SECONDS)


async def _next(subscription: JetStreamContext.PushSubscription, same_stream: Callable[[], Awaitable[None]]) -> Msg:
    while True:
        try:
            return await subscription.next_msg(QUIET_SECONDS)
        except (nats_errors.TimeoutError, TimeoutError):
            await same_stream()
        except (nats_errors.Error, js_errors.Error) as error:
            raise BusUnavailableError from error


def _event(message: Msg) -> Event | None:
    try:
        return decode(message.data)
    except InvalidEventError as error:
        sequence = message.metadata.sequence.stream
        log.error("message %d of %s is skipped: %s", sequence, message.metadata.stream, error)
        return None


def _traced(message: Msg) -> tuple[int, ConsumedMessage | None]:
    carrier = carrier_of(message.headers)
    place = message.metadata.sequence.stream
    if not carrier:
        return place, None
    event_id = (message.headers or {}).get(SEQUENCE_HEADER, "")
    source = message.subject.split(".")[1]
    return place, ConsumedMessage(message.subject, carrier, message.metadata.timestamp, f"{source}/{event_id}")


async def _is_still_there(
    bus: Bus, subscription: JetStreamContext.PushSubscription, stream: str, created: object, start: int
) -> None:
    """Raises BusUnavailableError if the consumer is gone or the stream was recreated: nats-py recreates the consumer by
    itself, with the sequences of the old stream."""
    if not bus.connected:
        raise BusUnavailableError
    with translate_bus_errors():
        try:
            await subscription.consumer_info()
            now = await bus.streams.stream_info(stream)
        except js_errors.NotFoundError as error:
            raise BusUnavailableError("the server no longer knows the consumer") from error
    if now.created != created or now.state.last_seq < start:
        raise BusUnavailableError(f"{stream} is another stream than before")


async def consume_events(
    bus: Bus,
    source: str,
    place: Callable[[], Awaitable[int]],
    take: Callable[[int, Event], Awaitable[bool]],
    group: str = "",
    *,
    on_reset: OnReset | None = None,
) -> None:
    """Passes every event of `source` to `take`, from the sequence that `place` returns, forever; run it as a task.

    `take` stores the event's sequence in the same transaction as the event's effects, and ignores a sequence that is
    already stored; it returns whether the event had an effect. If it raises, the event is passed again after
    RETRY_SECONDS. `group`: the consuming service, for spans. `on_reset`: see `consume_batches`.
    """

    async def take_each(batch: EventBatch) -> None:
        for at, event in batch.events:
            with bus.spans.processing(batch.consumed(at, event), group) as processing:
                processing.counted = await take(at, event)

    await consume_batches(bus, source, place, take_each, on_reset)


async def consume_batches(
    bus: Bus,
    source: str,
    place: Callable[[], Awaitable[int]],
    take: Callable[[EventBatch], Awaitable[None]],
    on_reset: OnReset | None = None,
) -> None:
    """Passes events in batches: `take` stores the sequence of the batch's last event in its transaction.

    `on_reset(place, end)` is called if the stream was republished after its log was lost and ends at `end`, below the
    stored sequence `place`, which belongs to another stream. It stores another sequence.
    """
    bus.metrics.follows(source)
    while True:
        try:
            at = await place()
            if on_reset is not None and (end := await _end_before(bus, source, at)):
                log.error("events of %s differ from those consumed before: consuming restarts", source)
                await on_reset(at, end)
                at = await place()
            async with contextlib.aclosing(batches_after(bus, source, at)) as batches:
                async for batch in batches:
                    await take(batch)
                    bus.metrics.consumed.labels(source).inc(len(batch.events))
        except (BusUnavailableError, StoreUnavailableError) as error:
            log.debug("events of %s are unavailable: %s", source, error)
        except Exception:
            bus.metrics.failures.labels(source).inc()
            log.exception("processing an event of %s failed; retrying", source)
        await asyncio.sleep(RETRY_SECONDS)
