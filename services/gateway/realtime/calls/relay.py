"""Signals between replicas over core NATS: a request to the replica that has the connection, answered at once.

The answer says whether the signal has a place in the socket's queue. Without an answer the peer counts as away: a
description that was not delivered is sent again by its sender when the peer is back, as it knows best which is current.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from nats.errors import Error as NatsError

from services.common.runtime.tasks import background_task

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from nats.aio.msg import Msg

    from services.common.messaging.bus import Bus

log = logging.getLogger(__name__)

DELIVERED, AWAY, SLOW = "delivered", "away", "slow"
ANSWER_SECONDS = 2.0
RETRY_SECONDS = 0.2
_SUBJECT = "calls.signals"


@dataclass(frozen=True, slots=True)
class Envelope:
    """A frame for one participant, and the revision of the call by which its sender was one."""

    slot: str
    revision: int
    to: str
    frame: str


class SignalRelay:
    """`deliver` hands an envelope to a connection of this replica, and returns DELIVERED, AWAY or SLOW."""

    def __init__(self, bus: Bus, me: str, deliver: Callable[[Envelope], Awaitable[str]]) -> None:
        self._bus = bus
        self._me = me
        self._deliver = deliver

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Receives signals for as long as the context lasts."""
        async with background_task(self._subscribe(), "hearing signals"):
            yield

    async def send(self, replica: str, envelope: Envelope) -> str:
        """Delivers an envelope to a connection of that replica; returns DELIVERED, AWAY or SLOW."""
        if replica == self._me:
            return await self._deliver(envelope)
        body = json.dumps(asdict(envelope), separators=(",", ":")).encode()
        try:
            answer = await self._bus.connection.request(f"{_SUBJECT}.{replica}", body, timeout=ANSWER_SECONDS)
        except (NatsError, OSError, TimeoutError):
            return AWAY
        said = answer.data.decode(errors="replace")
        return said if said in {DELIVERED, SLOW} else AWAY

    async def _subscribe(self) -> None:
        while True:
            # nats-py renews subscriptions after a reconnect, but only after a first connection.
            with contextlib.suppress(NatsError, OSError):
                await self._bus.connection.subscribe(f"{_SUBJECT}.{self._me}", cb=self._hear)
                return
            await asyncio.sleep(RETRY_SECONDS)

    async def _hear(self, message: Msg) -> None:
        try:
            about = json.loads(message.data)
            envelope = Envelope(str(about["slot"]), int(about["revision"]), str(about["to"]), str(about["frame"]))
        except (ValueError, KeyError, TypeError) as error:
            log.warning("a signal makes no sense: %r", error)
            return
        answer = await self._deliver(envelope)
        with contextlib.suppress(NatsError, OSError):
            await message.respond(answer.encode())
