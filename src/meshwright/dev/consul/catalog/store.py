"""One index over everything, and who waits for what to move.

Consul keeps all state in one replicated log: each write has an index, and each part of the state remembers the
index of the write that touched it last. A blocking query names the index it has seen and is answered when the
part it reads has moved past it. Three rules of Consul's matter to clients and hold here as well:

* an index is never 0 (a client that sends 0 does not want to wait);
* a query wakes only for the part that it read: one service, one key prefix, one config entry;
* what moves and who wakes are two things: Consul also moves the index of a table whose rows stay as they are, and
  wakes readers of one service whose index is that of all. Who wakes looks again, and goes on waiting if the index
  that it reads by has not passed the one that it knows.

The parts are called topics and are plain strings: a table ("nodes"), a service ("service/user"), a key
("kv/a/b"). Only topics that are read by their index are ever moved, and one that goes for good is forgotten, so
that names which come and go leave nothing behind. The store knows no clock, no sockets and no coroutines: a waiter
is a callback.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


@dataclass
class Held:
    """What a write that is not over yet will move and wake."""

    moved: set[str] = field(default_factory=set)
    woken: set[str] = field(default_factory=set)

    def clear(self) -> None:
        """The write is undone: nothing moves, no reader wakes."""
        self.moved.clear()
        self.woken.clear()


class Store:
    """The index, the topics' last indexes, and the waiters."""

    def __init__(self) -> None:
        self.index = 1
        self._moved: dict[str, int] = {}
        self._held: Held | None = None
        self._waiters: defaultdict[str, set[Callable[[], None]]] = defaultdict(set)

    def next(self) -> int:
        """Begin a write: its index."""
        if self._held is None:
            self.index += 1
        return self.index

    @contextlib.contextmanager
    def held(self) -> Iterator[Held]:
        """One write made of several: a single index, and no reader wakes before the end.

        Yields what was touched so far; a caller that undoes its write clears it.
        """
        self.next()
        held = self._held = Held()
        try:
            yield held
        finally:
            self._held = None
            self.move(*held.moved)
            self.wake(*held.woken)

    def touch(self, *topics: str) -> None:
        """The current write changed these topics: remember its index and wake who waits for them."""
        self.move(*topics)
        self.wake(*topics)

    def move(self, *topics: str) -> None:
        """The index of these topics is that of the current write; that alone wakes no reader."""
        if self._held is not None:
            self._held.moved.update(topics)
            return
        for topic in topics:
            self._moved[topic] = self.index

    def wake(self, *topics: str) -> None:
        """Wake all readers that wait for one of these topics."""
        if self._held is not None:
            self._held.woken.update(topics)
            return
        for topic in topics:
            for waiter in tuple(self._waiters.get(topic, ())):
                waiter()

    def forget(self, topic: str) -> None:
        """Nothing will be read by this topic's index any more."""
        self._moved.pop(topic, None)

    def last(self, *topics: str) -> int:
        """The index of the last write that touched any of the topics, at least 1."""
        return max([1, *(self._moved.get(topic, 0) for topic in topics)])

    @property
    def waiters(self) -> int:
        """How many wait for something to move."""
        return len({waiter for waiters in self._waiters.values() for waiter in waiters})

    @property
    def topics(self) -> int:
        """How many topics have an index of their own."""
        return len(self._moved)

    def has(self, topic: str) -> bool:
        """Whether any write ever moved the topic."""
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
