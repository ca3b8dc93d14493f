"""The blocking queries on Consul: which have answered, which fail, and at which index each stands.

Each answer is handed to its consumer. Beside that the queries themselves tell three things. An index that fell,
or a Consul that was away, is a reason to doubt what it says next. An answer that differs at the same index is a change
of what we are shown, not of what Consul has. And Consul that answers again after an error may have anything new.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meshwright.consul import ConsulError, watch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from meshwright.consul import Blocking, Indexed
    from meshwright.controlplane.metrics import Metrics
    from meshwright.errors import MeshwrightError

WAIT = 30.0
"""Seconds for which a blocking query waits: within them a change of the token's rules is noticed."""
_SERVER_ERROR = 500

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Query:
    """A blocking query. `see` takes in its answers, and says whether there is something to do now."""

    fetch: Callable[[Blocking], Awaitable[Indexed[Any]]]
    see: Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Listener:
    """Who hears of what the queries tell."""

    wake: Callable[[], None]
    """There is something to do."""
    doubt: Callable[[str, bool], None]
    """Consul may have lost its state: why, and whether the log has said so already."""
    read_all: Callable[[], None]
    """Anything may be different."""


class Watches:
    """All blocking queries, by name. `start`, and `stop` at the end."""

    def __init__(self, queries: Mapping[str, Query], metrics: Metrics, listener: Listener) -> None:
        self.errors: dict[str, str] = {}
        """The queries that fail now, and why."""
        self._queries = queries
        self._metrics = metrics
        self._listener = listener
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._indexes: dict[str, int] = {}
        self._awaited = set(queries)
        """Those that have not answered yet."""
        self._refreshing: set[str] = set()
        """Those that started over and have not answered since."""

    @property
    def awaited(self) -> bool:
        """Whether one has not answered yet."""
        return bool(self._awaited)

    @property
    def refreshing(self) -> bool:
        """Whether one started over and has not answered since."""
        return bool(self._refreshing)

    def start(self) -> None:
        """Begin to ask."""
        self._metrics.consul_up.set(0)
        for name in self._queries:
            self._start(name)

    async def stop(self) -> None:
        """End every query."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def refresh(self) -> None:
        """Start every query over, so that it answers at once."""
        self._refreshing = set(self._queries)
        for name, task in tuple(self._tasks.items()):
            if not task.done():  # one that failed is for `raise_failure`
                task.cancel()
                self._start(name)

    def raise_failure(self) -> None:
        """Raise what ended a query, which is a bug."""
        for task in self._tasks.values():
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error

    def _start(self, name: str) -> None:
        self._tasks[name] = asyncio.create_task(self._follow(name), name=f"watch {name}")

    async def _follow(self, name: str) -> None:
        query = self._queries[name]
        try:
            async for answer in watch(query.fetch, wait=WAIT, report=lambda error: self._report(name, error)):
                if name in self.errors:  # of the query before, which was started over
                    self._report(name, None)
                self._note_index(name, answer.index)
                matters = query.see(answer)
                if matters or name in self._awaited or name in self._refreshing:
                    self._listener.wake()
                self._awaited.discard(name)
                self._refreshing.discard(name)
        finally:
            self._listener.wake()

    def _note_index(self, name: str, index: int) -> None:
        before = self._indexes.get(name)
        self._indexes[name] = index
        if before is not None and index < before:
            self._listener.doubt(f"the index of {name} fell from {before} to {index}", False)
        elif index == before and name not in self._refreshing:  # what Consul shows us changed, not what it has
            self._listener.read_all()

    def _report(self, name: str, error: MeshwrightError | None) -> None:
        if error is None:
            self.errors.pop(name, None)
            if not self.errors:
                log.info("Consul answers again")
            self._listener.read_all()
            return
        if not self.errors:
            log.warning("Consul cannot be watched, and is tried again: %s", error)
        self.errors[name] = str(error)
        self._metrics.watch_errors.labels(name).inc()
        self._metrics.consul_up.set(0)
        if _is_outage(error):
            self._listener.doubt("Consul was away", True)
        elif name in self._refreshing:  # an answer, too: what it said before stays
            self._refreshing.discard(name)
            self._listener.wake()


def _is_outage(error: MeshwrightError) -> bool:
    return not isinstance(error, ConsulError) or error.status >= _SERVER_ERROR
