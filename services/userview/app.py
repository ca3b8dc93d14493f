"""What the read side does for its callers, and what it needs for that."""

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
"""By source: the position of an event in that service's own log."""

MAX_LIST = 500
MAX_SEARCH = 100
LIST = 50
SEARCH = 20
NUL = "\0"
"""No id has it, and PostgreSQL takes no text with it."""
CANDIDATES = 500
"""How many matches of a search are put in order; of more, the database's own first ones."""
POLL_SECONDS, LONGEST_PAUSE_SECONDS = 0.05, 1.0
"""How soon the database is asked again while a reader waits, since another replica may have seen the event; the pause
doubles from the one to the other, so that many who wait for what never comes do not keep others from reading."""
SPARE_SECONDS, SPARE_SHARE = 0.05, 0.2
"""How long before the caller's deadline a wait ends, so that the caller hears why: so many seconds at least, and that
share of the time."""
PATIENCE_SECONDS = 5.0
"""How long a caller without a deadline waits."""
LONGEST_SECONDS = 30.0
"""How long anybody waits: what a position asks for may never come."""


@dataclass(frozen=True, slots=True)
class ViewProgress:
    """How far a generation of views is."""

    generation: int
    positions: Positions
    """The last events that it has seen."""
    places: Mapping[str, int]
    """The same as numbers of the stream's messages."""
    rebuilding: bool


@dataclass(frozen=True, slots=True)
class SourceHead:
    """What a source has told in all."""

    position: int
    unseen_since: datetime | None
    """When the first event after a place happened; None where there is none."""


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
        """Those that have, for each term, a word that begins with it."""

    async def page(self, after: str, limit: int) -> Sequence[UserView]:
        """Those to be seen, by ascending id."""

    async def progress(self) -> ViewProgress: ...

    async def begin_rebuild(self) -> None:
        """Begin a generation from nothing; raises RebuildRunningError."""


class Sources(Protocol):
    """The logs that the views are made of."""

    async def head(self, source: str, place: int) -> SourceHead:
        """Its end, and the first event after that place. Raises BusUnavailableError."""


class ChangeNotifier:
    """Wakes those who wait for the views to go on."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait(self, timeout: float) -> None:
        """Until the next ring, or for so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._changed.wait()


class ReadSide:
    """The use cases. `rebuild_begun` is called when there is a generation to fill."""

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
        """Raises BusUnavailableError: without the bus nobody knows how much there is to see."""
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
        """What is found once the views have seen that much."""
        end, pause = self._monotonic() + _wait_seconds(time_left), POLL_SECONDS
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


def _wait_seconds(time_left: float | None) -> float:
    """How long to wait for a caller who has so much time left."""
    if time_left is None:
        return PATIENCE_SECONDS
    return min(LONGEST_SECONDS, time_left - max(SPARE_SECONDS, SPARE_SHARE * time_left))


def checked_positions(pairs: Sequence[tuple[str, int]]) -> Positions:
    """What `at_least` means; raises InvalidRequestError."""
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
    """Whether lists show it."""
    return view.known and view.status != DELETED


def _limit(limit: int, default: int, most: int) -> int:
    if not 0 <= limit <= most:
        raise InvalidRequestError({"limit": f"must be 0 to {most}"})
    return limit or default
