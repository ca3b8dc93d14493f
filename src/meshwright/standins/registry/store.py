"""One index over everything, and who waits for what to move.

Consul keeps all state in one replicated log: each write has an index, and each part of the state remembers the
index of the write that touched it last. A blocking query names the index it has seen and is answered when the
part it reads has moved past it. Three rules of Consul's matter to clients and hold here as well:

* an index is never 0 (a client that sends 0 does not want to wait);
* a write that changes nothing moves nothing;
* a query wakes only for the part that it read: one service, one key prefix, one config entry.

The parts are called topics and are plain strings: a table ("nodes"), a service ("service/user"), a key
("kv/a/b"). The store knows no clock, no sockets and no coroutines: a waiter is a callback.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class Store:
    """The index, the topics' last indexes, and the waiters."""

    def __init__(self) -> None:
        self.index = 1
        self._moved: dict[str, int] = {}
        self._held: set[str] | None = None
        self._waiters: defaultdict[str, set[Callable[[], None]]] = defaultdict(set)

    def next(self) -> int:
        """Begin a write: its index."""
        if self._held is None:
            self.index += 1
        return self.index

    @contextlib.contextmanager
    def held(self) -> Iterator[set[str]]:
        """One write made of several: a single index, and nobody wakes before the end.

        Yields the topics touched so far; a caller that undoes its write empties the set.
        """
        self.next()
        self._held = set()
        try:
            yield self._held
        finally:
            topics, self._held = self._held, None
            self.touch(*topics)

    def touch(self, *topics: str) -> None:
        """The current write changed these topics: remember it and wake who waits for them."""
        if self._held is not None:
            self._held.update(topics)
            return
        for topic in topics:
            self._moved[topic] = self.index
        for topic in topics:
            for waiter in tuple(self._waiters.get(topic, ())):
                waiter()

    def last(self, *topics: str) -> int:
        """The index of the last write that touched any of the topics, at least 1."""
        return max([1, *(self._moved.get(topic, 0) for topic in topics)])

    def has(self, topic: str) -> bool:
        """Whether any write ever touched the topic."""
        return topic in self._moved

    def subscribe(self, topics: Iterable[str], waiter: Callable[[], None]) -> Callable[[], None]:
        """Call `waiter` whenever one of the topics is touched, until the function returned is called."""
        names = tuple(topics)
        for topic in names:
            self._waiters[topic].add(waiter)

        def unsubscribe() -> None:
            for topic in names:
                self._waiters[topic].discard(waiter)
                if not self._waiters[topic]:
                    del self._waiters[topic]

        return unsubscribe

    def wake_all(self) -> None:
        """Wake every waiter: the server is stopping."""
        for waiter in {waiter for waiters in self._waiters.values() for waiter in waiters}:
            waiter()
