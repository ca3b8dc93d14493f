"""Time that a test moves."""

from __future__ import annotations

import asyncio
import heapq
import itertools


class ManualClock:
    """A clock that stands still until `advance`. Call it for the time; `sleep` waits for it to come.

    Code that takes its time as an argument (`clock: Callable[[], float] = time.monotonic`) takes this as well.
    """

    def __init__(self, now: float = 0.0) -> None:
        self._now = now
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def __call__(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Return once the clock was advanced by that much."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        waiter = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), waiter))
        await waiter

    async def advance(self, seconds: float) -> None:
        """Move on, waking sleepers in the order of their times, each at its time."""
        until = self._now + seconds
        await asyncio.sleep(0)  # also where none sleeps yet: a test that advances in a loop lets others run
        while self._sleepers and self._sleepers[0][0] <= until:
            due, _, waiter = heapq.heappop(self._sleepers)
            self._now = max(self._now, due)
            if not waiter.done():
                waiter.set_result(None)
            # Twice: the sleeper's task is woken in the first round and may sleep again in the second.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        self._now = until
