"""The clock of calls: ringing that ends, connections that are lost or silent, events that wait to be published.

Each replica looks twice a second. What it finds is an input like any other, decided by `domain` and written by
compare-and-set: so it does not matter how many replicas find it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from services.common.runtime.errors import BusUnavailableError
from services.common.runtime.tasks import background_task
from services.gateway.errors import ApiError
from services.gateway.realtime.calls import domain
from services.gateway.realtime.calls.directory import OLD_SECONDS
from services.gateway.realtime.calls.events import DUPLICATE_SECONDS
from services.gateway.realtime.calls.service import slot_of_call

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from services.gateway.realtime.calls.events import CallEvents
    from services.gateway.realtime.calls.replicas import Replicas
    from services.gateway.realtime.calls.service import CallBackends, CallService, CallSettings
    from services.gateway.realtime.calls.store import CallStore, StoredCall

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
WAITING_SECONDS = 2.0
"""After which a replica publishes another one's events."""


class CallWatch:
    """`monotonic`: the clock of sessions."""

    def __init__(
        self,
        settings: CallSettings,
        service: CallService,
        backends: CallBackends,
        replicas: Replicas,
        monotonic: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._service = service
        self._backends = backends
        self._store: CallStore = backends.store
        self._events: CallEvents = backends.events
        self._replicas = replicas
        self._monotonic = monotonic

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Looks for as long as the context lasts."""
        async with background_task(self._run(), "watching calls"):
            yield

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if not self._store.hearing:
                continue
            try:
                await self._look()
            except Exception:
                log.exception("a look at the calls failed")

    async def _look(self) -> None:
        now = self._settings.clock()
        for stored in self._backends.directory.active():
            inputs = list(self._found(stored))
            if now >= domain.due(stored.call, self._settings.times):
                inputs.append(domain.Tick())
            for given in inputs:
                with contextlib.suppress(ApiError, BusUnavailableError):
                    await self._service.change(stored.call.id, given)
        for stored in self._store.calls():
            await self._publish(stored, now)
            if not stored.call.active and now > (stored.call.ended_at or 0.0) + OLD_SECONDS + DUPLICATE_SECONDS:
                self._store.forget(slot_of_call(stored.call.id))

    def _found(self, stored: StoredCall) -> Iterator[domain.Input]:
        """What has happened to the connections of a call."""
        now = self._settings.clock()
        for each in stored.call.participants:
            silent = self._silence(each)
            if silent is None and each.away_since is not None and each.replica == self._settings.me:
                yield domain.Back(each.connection)
            elif silent is not None and each.away_since is None:
                yield domain.Lost(each.connection, now - silent)

    def _silence(self, participant: domain.Participant) -> float | None:
        """Seconds since the last sign of life of a connection that is lost or silent; None: it is there."""
        if participant.replica != self._settings.me:
            return self._replicas.silence(participant.replica)
        session = self._backends.sessions.get(participant.connection)
        if session is None:
            return 0.0
        silent = self._monotonic() - session.heard_at
        return silent if silent > self._settings.silent_seconds else None

    async def _publish(self, stored: StoredCall, now: float) -> None:
        """Publishes events that their replica may have failed to publish."""
        if stored.events and now - stored.events[0].at > WAITING_SECONDS:
            with contextlib.suppress(BusUnavailableError):
                await self._events.publish(slot_of_call(stored.call.id), stored)
