"""Consumers that fill the views: one for each generation and source, in every replica.

Replicas consume the same events concurrently, and the database accepts each batch from one of them. Generations are
looked up every POLL_SECONDS, so that every replica continues a rebuild, also if the replica that began it crashes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from services.common.messaging.event_consumer import EventBatch, consume_batches
from services.common.messaging.message_spans import now_ns
from services.common.runtime.errors import StoreUnavailableError
from services.common.runtime.tasks import cancel_and_wait
from services.userview.adapters import view_event_of
from services.userview.domain import SOURCES
from services.userview.tables import BUILDING, RETIRED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from services.common.messaging.bus import Bus
    from services.userview.adapters import DatabaseViews
    from services.userview.app import ChangeNotifier

log = logging.getLogger(__name__)

GROUP = "userview"
POLL_SECONDS = 1.0
"""Interval of looking up generations; `wake` looks at once."""


class ViewConsumers:
    """`pending` is called with each source and its number of events that the current generation has not applied."""

    def __init__(
        self,
        bus: Bus,
        views: DatabaseViews,
        notifier: ChangeNotifier,
        pending: Callable[[str, int], None] = lambda *_: None,
    ) -> None:
        self._bus = bus
        self._views = views
        self._notifier = notifier
        self._pending = pending
        self._woken = asyncio.Event()
        self._tasks: dict[tuple[int, str], asyncio.Task[None]] = {}

    def wake(self) -> None:
        """Looks up generations at once."""
        self._woken.set()

    async def run(self) -> None:
        """Runs forever."""
        try:
            while True:
                self._woken.clear()
                try:
                    await self._look()
                except StoreUnavailableError as error:
                    log.debug("looking up generations failed: %s", error)
                except Exception:
                    log.exception("looking up generations failed")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._woken.wait()
        finally:
            await cancel_and_wait(*self._tasks.values())

    async def _look(self) -> None:
        states = await self._views.generations()
        if BUILDING in states.values() and await self._views.switch():
            log.info("the views were rebuilt")
            self._notifier.notify()
            states = await self._views.generations()
        filled = [generation for generation, state in states.items() if state != RETIRED]
        wanted = {(generation, source) for generation in filled for source in SOURCES}
        await cancel_and_wait(*(self._tasks.pop(key) for key in self._tasks.keys() - wanted))
        for key in wanted - self._tasks.keys():
            name = f"generation {key[0]} consumes {key[1]}"
            self._tasks[key] = asyncio.create_task(self._follow(*key), name=name)
        if len(filled) < len(states):
            await self._views.sweep()

    async def _follow(self, generation: int, source: str) -> None:
        async def place() -> int:
            return await self._views.place(generation, source) or 0

        async def take(batch: EventBatch) -> None:
            began, seen = now_ns(), list[EventBatch]()
            # Looked up before: events of a rebuild join no traces, even if they complete it.
            building = (await self._views.generations()).get(generation) == BUILDING
            if not await self._views.apply(generation, source, batch, seen.append):
                self.wake()
                return
            self._notifier.notify()
            if not building:
                self._pending(source, batch.pending)
                self._trace(seen, began)
            elif batch.pending == 0:
                self.wake()

        async def on_reset(place: int, end: int) -> None:
            await self._views.begin_anew(generation, source, place, end)
            self.wake()

        await consume_batches(self._bus, source, place, take, on_reset)

    def _trace(self, seen: Sequence[EventBatch], began: int) -> None:
        """Records spans of the events that changed a view; a rebuild joins no traces."""
        for batch in seen:
            concerned = {at for at, event in batch.events if at in batch.traced and view_event_of(event).user_id}
            consumed = [batch.traced[at] for at in sorted(concerned)]
            if consumed:
                self._bus.spans.processed(consumed, GROUP, began, len(batch.events))
