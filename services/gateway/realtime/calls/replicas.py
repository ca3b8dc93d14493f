"""Which gateways are alive: each publishes a heartbeat over core NATS once a second, and its end.

A gateway that is silent for GONE_SECONDS has lost its connections. While NATS is unavailable, or this process was not
running, nothing is known of the others, and none is taken for gone (as in the chat's presence).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from nats.errors import Error as NatsError

from services.common.runtime.tasks import background_task

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from nats.aio.msg import Msg

    from services.common.messaging.bus import Bus

BEAT_SECONDS = 1.0
GONE_SECONDS = 3.5
_ALIVE, _GONE = "calls.replicas.alive", "calls.replicas.gone"


class Replicas:
    """`me`: unique to this process. `clock`: monotonic seconds."""

    def __init__(self, bus: Bus, me: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._bus = bus
        self._me = me
        self._clock = clock
        self._heard: dict[str, float] = {}
        self._gone: dict[str, None] = {}
        self._looked = clock()

    def silence(self, replica: str) -> float | None:
        """Seconds since the last sign of life of a replica that is gone; None: it is alive."""
        if replica == self._me:
            return None
        if replica in self._gone:
            return 0.0
        silent = self._clock() - self._heard.setdefault(replica, self._clock())
        return silent if silent > GONE_SECONDS else None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Exchanges heartbeats for as long as the context lasts; announces the end to the others."""
        async with background_task(self._run(), "heartbeats of gateways"):
            yield
        await self._send(_GONE)

    async def _run(self) -> None:
        subscribed = False
        while True:
            if not subscribed:
                with contextlib.suppress(NatsError, OSError):
                    await self._bus.connection.subscribe(_ALIVE, cb=self._on_alive)
                    await self._bus.connection.subscribe(_GONE, cb=self._on_gone)
                    subscribed = True
            await self._send(_ALIVE)
            self._look()
            await asyncio.sleep(BEAT_SECONDS)

    def _look(self) -> None:
        now = self._clock()
        if not self._bus.connected or now > self._looked + 2 * BEAT_SECONDS:
            self._heard = dict.fromkeys(self._heard, now)
        self._looked = now
        for replica in [each for each, heard in self._heard.items() if now > heard + 600.0]:
            del self._heard[replica]

    async def _send(self, subject: str) -> None:
        with contextlib.suppress(NatsError, OSError):
            await self._bus.connection.publish(subject, self._me.encode())

    async def _on_alive(self, message: Msg) -> None:
        self._heard[message.data.decode(errors="replace")] = self._clock()

    async def _on_gone(self, message: Msg) -> None:
        self._gone[message.data.decode(errors="replace")] = None
        while len(self._gone) > 1000:  # noqa: PLR2004 - long forgotten
            del self._gone[next(iter(self._gone))]
