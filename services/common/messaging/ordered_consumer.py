"""An ordered consumer of new messages of a stream: each message once, in order, for as long as it runs.

A replica has one consumer for all its callers: ephemeral, without acknowledgements. The consumer numbers its
deliveries, so that a gap shows at the next message or heartbeat; a missing heartbeat means that the server has lost the
consumer. In both cases a new consumer starts right after the last message.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from nats.errors import Error as NatsError
from nats.js import api

from services.common.messaging.bus import translate_bus_errors
from services.common.messaging.refusals import is_probe
from services.common.messaging.stream_reader import stored_message
from services.common.runtime.errors import BusUnavailableError
from services.common.runtime.tasks import background_task

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from nats.aio.msg import Msg

    from services.common.messaging.bus import Bus
    from services.common.messaging.stream_reader import StoredMessage

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 0.5
SILENCE_SECONDS = 1.5
"""Maximum silence; also the maximum delay after a reconnect before the consumer continues."""
RETRY_SECONDS = 0.2


class OrderedConsumer:
    """Passes each new message of `stream` to `take`, which must not raise.

    `prepare` creates the stream, and may raise BusUnavailableError. `lost` is called when sequences are reused: the
    stream was recreated (it or the server's disk was deleted), or has lost its end (power loss, an old disk copy).
    """

    def __init__(
        self,
        bus: Bus,
        stream: str,
        prepare: Callable[[], Awaitable[object]],
        take: Callable[[StoredMessage], None],
        lost: Callable[[], None],
    ) -> None:
        self._bus = bus
        self._stream = stream
        self._prepare = prepare
        self._take = take
        self._lost = lost
        self._created: datetime | None = None
        self._short = False
        self._session: ConsumerSession | None = None
        self._ready = asyncio.Event()
        self._position = 0

    @property
    def position(self) -> int:
        """Sequence of the last message. Raises BusUnavailableError until the stream was read once."""
        if not self._ready.is_set():
            raise BusUnavailableError
        return self._position

    @property
    def created(self) -> datetime | None:
        """Creation time of the stream; None until it was read once."""
        return self._created

    @property
    def hearing(self) -> bool:
        """Whether a message stored now would be delivered."""
        return self._session is not None and self._session.trusted

    async def ready(self, seconds: float) -> bool:
        """Waits until the stream's end is known, at most `seconds`; returns whether it is."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ready.wait()
        return self._ready.is_set()

    def running(self) -> AbstractAsyncContextManager[None]:
        """Consumes the stream for as long as the context lasts."""
        return background_task(self._run(), f"consumer of {self._stream}")

    def taken(self, message: StoredMessage) -> None:
        if message.sequence > self._position:
            self._position = message.sequence
            if not is_probe(message.subject):
                self._take(message)

    async def _run(self) -> None:
        while True:
            try:
                await self._prepare()
                await self._locate()
                self._session = ConsumerSession(self._bus, self._stream, self._position, self.taken)
                await self._session.run()
            except BusUnavailableError as error:
                log.debug("%s is unavailable: %s", self._stream, error)
            except Exception:
                log.exception("%s is unavailable", self._stream)
            await asyncio.sleep(RETRY_SECONDS)

    async def _locate(self) -> None:
        """Finds the position to continue from, and detects a recreated stream."""
        with translate_bus_errors():
            info = await self._bus.streams.stream_info(self._stream)
        created, end = info.created, info.state.last_seq
        if created == self._created and end < self._position and not self._short:
            # In a cluster a new leader may lag for a moment; the second look decides.
            self._short = True
            raise BusUnavailableError("the stream ends before the last message consumed")
        self._short = False
        if created != self._created or end < self._position:
            if self._created is not None:
                log.warning("%s was recreated; it ends at %d", self._stream, end)
                self._lost()
            self._created, self._position = created, end
        self._ready.set()


class ConsumerSession:
    """One consumer, until it fails."""

    def __init__(self, bus: Bus, stream: str, after: int, take: Callable[[StoredMessage], None]) -> None:
        self._bus = bus
        self._stream = stream
        self._after = after
        self._take = take
        self._delivered = 0
        self._heard = float("-inf")
        self._broken = asyncio.Event()

    @property
    def trusted(self) -> bool:
        return not self._broken.is_set() and asyncio.get_running_loop().time() < self._heard + SILENCE_SECONDS

    async def run(self) -> None:
        """Runs until the consumer fails. Raises BusUnavailableError."""
        loop = asyncio.get_running_loop()
        inbox = self._bus.connection.new_inbox()
        with translate_bus_errors():
            subscription = await self._bus.connection.subscribe(inbox, cb=self._hear)
        try:
            await self._consume(inbox)
            self._heard = loop.time()
            while self.trusted:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(HEARTBEAT_SECONDS):
                        await self._broken.wait()
        finally:
            # The server removes a consumer without subscribers.
            with contextlib.suppress(NatsError):
                await subscription.unsubscribe()

    async def _consume(self, inbox: str) -> None:
        with translate_bus_errors():
            await self._bus.streams.add_consumer(
                self._stream,
                api.ConsumerConfig(
                    deliver_subject=inbox,
                    deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
                    opt_start_seq=self._after + 1,
                    ack_policy=api.AckPolicy.NONE,
                    idle_heartbeat=HEARTBEAT_SECONDS,
                    mem_storage=True,
                    num_replicas=1,
                ),
            )

    async def _hear(self, message: Msg) -> None:
        if self._broken.is_set():
            return
        self._heard = asyncio.get_running_loop().time()
        if not message.reply:
            last = (message.headers or {}).get("Nats-Last-Consumer", "0")
            if int(last) > self._delivered:
                self._broken.set()
            return
        if message.metadata.sequence.consumer != self._delivered + 1:
            self._broken.set()
            return
        self._delivered += 1
        self._take(stored_message(message))
