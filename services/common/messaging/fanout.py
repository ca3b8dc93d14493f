"""Fan-out from one ordered consumer to the callers of a replica, without a gap between stored and live messages.

Each caller has an inbox of bounded size. When it is full, the oldest message is dropped, and the caller gets the gap
before its next message. A slow caller delays neither the consumer nor other callers.

A caller that resumes reads stored messages at its own pace up to the consumer's position. Within NEAR messages of it,
the caller opens its inbox in the same step in which it reads the consumer's position (nothing is awaited in between),
reads the rest up to that position, and continues with the inbox, which begins right after.
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
    """An item with a sequence in its stream."""

    @property
    def sequence(self) -> int: ...


T = TypeVar("T", bound=Sequenced)

NEAR = 200
"""Distance to the consumer's position within which a caller opens its inbox."""


@dataclass(frozen=True, slots=True)
class Gap(Generic[T]):
    """Dropped messages."""

    count: int
    first: T
    last: T


class Inbox(Generic[T]):
    """The queue of one caller: at most the newest `size` items that `wants` accepts."""

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
        """Makes `wait` return without an item."""
        self._something.set()

    def close(self, error: Exception) -> None:
        """Makes `wait` and `take` raise that error from now on; remaining items are dropped."""
        self._error = error
        self._something.set()

    async def wait(self) -> None:
        """Returns when there is an item, or `wake` was called since the last call."""
        if not self._error and not self._items:
            await self._something.wait()
        self._something.clear()
        if self._error:
            raise self._error

    def take(self) -> tuple[Gap[T] | None, T] | None:
        """Removes the oldest item and the gap before it; None if the inbox is empty."""
        if self._error:
            raise self._error
        if not self._items:
            return None
        gap, self._gap = self._gap, None
        return gap, self._items.popleft()


Reader: TypeAlias = "Callable[[int, int], AsyncGenerator[T]]"
"""Reads stored items of a caller in order: sequences above the first argument, up to and including the second."""


class Fanout(Generic[T]):
    """The inboxes of a replica, each under one or more keys."""

    def __init__(self) -> None:
        self._inboxes: dict[str, dict[Inbox[T], None]] = {}
        self._closed: Exception | None = None
        self._ended: Exception | None = None
        self._era = 0

    @property
    def era(self) -> int:
        """Changes with each `end`. Positions of one era are invalid in the next."""
        return self._era

    def count(self, key: str) -> int:
        """Number of open inboxes of a key."""
        return len(self._inboxes.get(key, ()))

    def deliver(self, key: str, item: T) -> int:
        """Puts the item into the inboxes of a key; returns their number."""
        inboxes = self._inboxes.get(key, {})
        for inbox in inboxes:
            inbox.put(item)
        return len(inboxes)

    def end(self, error: Exception) -> None:
        """Closes all open inboxes, and those that open later for a position of an earlier era."""
        self._era += 1
        self._ended = error
        for inboxes in self._inboxes.values():
            for inbox in inboxes:
                inbox.close(error)

    def close(self, error: Exception) -> None:
        """Closes all inboxes, now and later."""
        self._closed = error
        self.end(error)

    @contextlib.contextmanager
    def open(self, keys: Sequence[str], inbox: Inbox[T], era: int | None = None) -> Iterator[None]:
        """Delivers items of those keys to `inbox` for as long as the context lasts.

        `era`: the era of the caller's position, if it was read earlier.
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
    """Yields stored items after `after` until the consumer's `position` is within NEAR.

    The caller then opens its inbox and reads the rest, from its last item (or from `after`).
    """
    place = after
    while position() - place > NEAR:
        until = position()
        async with contextlib.aclosing(read(place, until)) as items:
            async for item in items:
                yield item
        place = until
