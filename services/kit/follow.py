"""Following the events of a service, in order, from a place that the follower keeps itself.

The place belongs into the transaction that stores what the events led to: then each event counts once, whatever
crashes. So no durable consumer of NATS is used, which would keep a second truth; every replica follows with an ordered
consumer (push, no acknowledgements, made anew from the last message after a gap), and the follower's database decides
whose step counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from nats import errors as nats_errors
from nats.js import api
from nats.js import errors as js_errors

from services.kit.bus import unavailable
from services.kit.errors import BusUnavailableError, StoreUnavailableError
from services.kit.events import NoEventError, decode, stream_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from services.kit.bus import Bus
    from services.kit.events import Event

log = logging.getLogger(__name__)

AGAIN_SECONDS = 0.5
QUIET_SECONDS = 5.0
"""After so long without a message the consumer is asked for: a server that lost it says nothing."""
HEARTBEAT_SECONDS = 1.0


async def events_after(bus: Bus, source: str, place: int) -> AsyncGenerator[tuple[int, Event]]:
    """The events of `source` after the stream's message `place` (0: from the first), for ever; each with its own place.

    Raises BusUnavailableError where the server goes away; the caller comes back with its last place.
    """
    stream = stream_of(source)
    await bus.ensure_stream(stream, f"events.{source}.>")
    with unavailable():
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
    try:
        while True:
            try:
                message = await subscription.next_msg(QUIET_SECONDS)
            except (nats_errors.TimeoutError, TimeoutError):
                await _still_there(bus, subscription)
                continue
            except (nats_errors.Error, js_errors.Error) as error:
                raise BusUnavailableError from error
            at = message.metadata.sequence.stream
            try:
                yield at, decode(message.data)
            except NoEventError as error:
                log.error("message %d of %s is passed over: %s", at, stream, error)
    finally:
        with contextlib.suppress(Exception):
            await subscription.unsubscribe()


async def _still_there(bus: Bus, subscription: object) -> None:
    if not bus.connected:
        raise BusUnavailableError
    with unavailable():
        try:
            await subscription.consumer_info()  # type: ignore[attr-defined]
        except js_errors.NotFoundError as error:
            raise BusUnavailableError("the server no longer knows the consumer") from error


async def follow(
    bus: Bus,
    source: str,
    place: Callable[[], Awaitable[int]],
    take: Callable[[int, Event], Awaitable[None]],
) -> None:
    """Hand every event of `source` to `take`, from where `place` says, for ever; run it as a task.

    `take` stores the event's place in the same transaction as what it leads to, and does nothing for a place that is
    stored already. Where it raises, the event is handed to it again after a while.
    """
    while True:
        try:
            async with contextlib.aclosing(events_after(bus, source, await place())) as events:
                async for at, event in events:
                    await take(at, event)
        except (BusUnavailableError, StoreUnavailableError) as error:
            log.debug("events of %s are waited for: %s", source, error)
        except Exception:
            log.exception("an event of %s could not be taken; it is tried again", source)
        await asyncio.sleep(AGAIN_SECONDS)
