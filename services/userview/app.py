"""The use cases and ports of the read side."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from services.userview import domain
from services.userview.domain import DELETED, InvalidRequestError, UserNotFoundError, ViewBehindError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from services.userview.domain import UserView

T = TypeVar("T")
Positions = Mapping[str, int]
"""Positions of events in the services' own logs, by source."""

MAX_LIST = 500
MAX_SEARCH = 100
LIST = 50
SEARCH = 20
NUL = "\0"
"""Invalid in ids; PostgreSQL does not store it."""
CANDIDATES = 500
"""Maximum matches that a search ranks; of more, the database's first ones."""
POLL_SECONDS, LONGEST_PAUSE_SECONDS = 0.05, 1.0
"""First and longest interval of polling the database while a reader waits, since another replica may have applied the
event. The interval doubles, so that waiting readers do not slow down others."""
SPARE_SECONDS, SPARE_SHARE = 0.05, 0.2
"""How long before the caller's deadline a wait ends, to answer with the reason: minimum seconds, and share of the time
left."""
PATIENCE_SECONDS = 5.0
"""Maximum wait without a deadline."""
LONGEST_SECONDS = 30.0
"""Maximum wait: an event may never arrive."""


@dataclass(frozen=True, slots=True)
class ViewProgress:
    """Progress of a generation of views."""

    generation: int
    positions: Positions
    """Positions of the last applied events."""
    places: Mapping[str, int]
    """The same as sequences of the streams."""
    rebuilding: bool


@dataclass(frozen=True, slots=True)
class SourceHead:
    """The end of a source's log."""

    position: int
    unseen_since: datetime | None
    """Time of the first event that is not applied; None if all are."""


@dataclass(frozen=True, slots=True)
class SourceLag:
    source: str
    position: int
    head: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ViewLag:
    sources: Sequence[SourceLag]
    rebuilding: bool
    generation: int


class Views(Protocol):
    """The current generation of views. Every method may raise StoreUnavailableError."""

    async def get(self, user_id: str) -> UserView | None: ...

    async def matching(self, terms: Sequence[str], limit: int) -> Sequence[UserView]:
        """Views that have, for each term, a word that begins with it."""

    async def page(self, after: str, limit: int) -> Sequence[UserView]:
        """Listed views, by ascending id."""

    async def progress(self) -> ViewProgress: ...

    async def begin_rebuild(self) -> None:
        """Begins an empty generation; raises RebuildRunningError."""


class Sources(Protocol):
    """The source logs of the views."""

    async def head(self, source: str, place: int) -> SourceHead:
        """The log's end, and the first event after that sequence. Raises BusUnavailableError."""


class ChangeNotifier:
    """Notifies readers that wait for changes of the views."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait(self, timeout: float) -> None:
        """Waits for the next `notify`, at most `timeout` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._changed.wait()


class ReadSide:
    """The use cases. `rebuild_begun` is called when a rebuild begins."""

    def __init__(
        self,
        views: Views,
        sources: Sources,
        signal: ChangeNotifier,
        *,
        now: Callable[[], datetime],
        rebuild_begun: Callable[[], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._views = views
        self._sources = sources
        self._signal = signal
        self._now = now
        self._rebuild_begun = rebuild_begun
        self._monotonic = monotonic

    async def get(self, user_id: str, at_least: Positions, time_left: float | None) -> UserView:
        """Raises UserNotFoundError, ViewBehindError."""
        if NUL in user_id:
            raise UserNotFoundError

        async def found() -> UserView | None:
            return await self._views.get(user_id)

        view = await self._after(at_least, time_left, found)
        if view is None or not view.known:
            raise UserNotFoundError
        return view

    async def search(self, query: str, limit: int, at_least: Positions, time_left: float | None) -> list[UserView]:
        """Best first. Raises InvalidRequestError, ViewBehindError."""
        terms = domain.terms(query)
        most = _limit(limit, SEARCH, MAX_SEARCH)

        async def found() -> Sequence[UserView]:
            return await self._views.matching(terms, CANDIDATES)

        return domain.best_first(await self._after(at_least, time_left, found), terms)[:most]

    async def page(self, after: str, limit: int) -> Sequence[UserView]:
        """By ascending id. Raises InvalidRequestError."""
        if NUL in after:
            raise InvalidRequestError({"after": "must be the id of a user"})
        return await self._views.page(after, _limit(limit, LIST, MAX_LIST))

    async def lag(self) -> ViewLag:
        """The lag of each source. Raises BusUnavailableError."""
        progress = await self._views.progress()
        heads = [(source, await self._sources.head(source, progress.places[source])) for source in domain.SOURCES]
        now = self._now()
        sources = [
            SourceLag(
                source,
                progress.positions[source],
                max(head.position, progress.positions[source]),
                max(0.0, (now - head.unseen_since).total_seconds()) if head.unseen_since else 0.0,
            )
            for source, head in heads
        ]
        return ViewLag(sources, progress.rebuilding, progress.generation)

    async def rebuild(self) -> ViewLag:
        """Raises RebuildRunningError, BusUnavailableError."""
        await self._views.begin_rebuild()
        self._rebuild_begun()
        return await self.lag()

    async def _after(self, at_least: Positions, time_left: float | None, found: Callable[[], Awaitable[T]]) -> T:
        """Reads as soon as the views include those positions."""
        end, pause = self._monotonic() + wait_seconds(time_left), POLL_SECONDS
        while at_least:
            positions = (await self._views.progress()).positions
            missing = {source: wanted for source, wanted in at_least.items() if positions.get(source, 0) < wanted}
            if not missing:
                break
            left = end - self._monotonic()
            if left <= 0:
                raise ViewBehindError(missing)
            await self._signal.wait(min(left, pause))
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        return await found()


def wait_seconds(time_left: float | None) -> float:
    """The wait in seconds for a caller with `time_left`."""
    if time_left is None:
        return PATIENCE_SECONDS
    return min(LONGEST_SECONDS, time_left - max(SPARE_SECONDS, SPARE_SHARE * time_left))


def checked_positions(pairs: Sequence[tuple[str, int]]) -> Positions:
    """Parses `at_least`; raises InvalidRequestError."""
    wrong = {}
    positions: dict[str, int] = {}
    for index, (source, position) in enumerate(pairs):
        if source not in domain.POSITIONS:
            wrong[f"at_least[{index}].source"] = f"must be one of {', '.join(domain.POSITIONS)}"
        elif position < 0:
            wrong[f"at_least[{index}].position"] = "must be 0 or more"
        else:
            positions[source] = max(position, positions.get(source, 0))
    if wrong:
        raise InvalidRequestError(wrong)
    return positions


def visible(view: UserView) -> bool:
    """Whether lists include the view."""
    return view.known and view.status != DELETED


def _limit(limit: int, default: int, most: int) -> int:
    if not 0 <= limit <= most:
        raise InvalidRequestError({"limit": f"must be 0 to {most}"})
    return limit or default
