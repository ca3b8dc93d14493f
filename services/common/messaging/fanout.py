"""From one tail to the many callers that a replica serves, and from what is stored to what comes, without a seam.

Each caller has an inbox of bounded size; where it is full, the oldest goes, and the caller is told of the gap before
what it gets next. Nobody waits for a slow caller: neither the tail nor the other callers.

A caller that goes on where it was reads what is stored up to the point that the tail has reached, for as long as it
takes, at its own pace; close behind the tail it enters its inbox in the very step in which it notes the tail's position
(nothing is awaited in between), reads the rest up to there, and goes on with the inbox, which begins right after.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Sequence


class Sequenced(Protocol):
    """What has a number in its stream."""

    @property
    def sequence(self) -> int: ...


T = TypeVar("T", bound=Sequenced)

NEAR = 200
"""Numbers behind the tail from which a caller enters its inbox."""


@dataclass(frozen=True, slots=True)
class Gap(Generic[T]):
    """What was left out."""

    count: int
    first: T
    last: T


class Inbox(Generic[T]):
    """What one caller has not taken yet: at most `size` items that `wants` accepts, the newest."""

    def __init__(self, size: int, wants: Callable[[T], bool] = lambda _: True) -> None:
        self._size = size
        self._wants = wants
        self._items: deque[T] = deque()
        self._gap: Gap[T] | None = None
        self._error: Exception | None = None
        self._something = asyncio.Event()

    def put(self, item: T) -> None:
        if not self._wants(item):
            return
        if len(self._items) == self._size:
            oldest = self._items.popleft()
            before = self._gap
            self._gap = Gap(before.count + 1, before.first, oldest) if before else Gap(1, oldest, oldest)
        self._items.append(item)
        self._something.set()

    def wake(self) -> None:
        """Make `wait` return though nothing has come."""
        self._something.set()

    def close(self, error: Exception) -> None:
        """`wait` and `take` raise that error from now on, whatever is left."""
        self._error = error
        self._something.set()

    async def wait(self) -> None:
        """Return when there is something, or `wake` was called since the last time."""
        if not self._error and not self._items:
            await self._something.wait()
        self._something.clear()
        if self._error:
            raise self._error

    def take(self) -> tuple[Gap[T] | None, T] | None:
        """The oldest item, and what was left out before it; None: there is nothing."""
        if self._error:
            raise self._error
        if not self._items:
            return None
        gap, self._gap = self._gap, None
        return gap, self._items.popleft()


Reader: TypeAlias = "Callable[[int, int], AsyncGenerator[T]]"
"""Reads what is stored for a caller, in order: numbers above the first, up to and including the second."""


class Fanout(Generic[T]):
    """The inboxes of a replica, each under one or more keys."""

    def __init__(self) -> None:
        self._inboxes: dict[str, dict[Inbox[T], None]] = {}
        self._closed: Exception | None = None
        self._ended: Exception | None = None
        self._era = 0

    @property
    def era(self) -> int:
        """Another one after each `end`. Places that were taken in one mean nothing in the next."""
        return self._era

    def count(self, key: str) -> int:
        """How many inboxes are open under a key."""
        return len(self._inboxes.get(key, ()))

    def deliver(self, key: str, item: T) -> int:
        """How many inboxes it was put before."""
        inboxes = self._inboxes.get(key, {})
        for inbox in inboxes:
            inbox.put(item)
        return len(inboxes)

    def end(self, error: Exception) -> None:
        """Close all inboxes that are open now, and those that open later for a place of before."""
        self._era += 1
        self._ended = error
        for inboxes in self._inboxes.values():
            for inbox in inboxes:
                inbox.close(error)

    def close(self, error: Exception) -> None:
        """Close all inboxes, and each that opens later."""
        self._closed = error
        self.end(error)

    @contextlib.contextmanager
    def open(self, keys: Sequence[str], inbox: Inbox[T], era: int | None = None) -> Iterator[None]:
        """Let `inbox` have what is delivered under those keys, for as long as the context lasts.

        `era`: the one in which the caller's place was taken, where that was before.
        """
        error = self._closed or (self._ended if era not in {None, self._era} else None)
        if error:
            inbox.close(error)
        for key in keys:
            self._inboxes.setdefault(key, {})[inbox] = None
        try:
            yield
        finally:
            for key in keys:
                inboxes = self._inboxes[key]
                del inboxes[inbox]
                if not inboxes:
                    del self._inboxes[key]


async def read_backlog(read: Reader[T], after: int, position: Callable[[], int]) -> AsyncGenerator[T]:
    """What is stored after `after`, until the tail (`position`) is near.

    The caller then opens its inbox and reads the rest, from what it got last (or from `after`).
    """
    place = after
    while position() - place > NEAR:
        until = position()
        async with contextlib.aclosing(read(place, until)) as items:
            async for item in items:
                yield item
        place = until
