"""Telling any number of readers that something changed, without a queue: who is slow sees the newest state once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Changes:
    """A counter of changes that can be waited for. All use is on one event loop."""

    def __init__(self) -> None:
        self._count = 0
        self._closed = False
        self._changed = asyncio.Event()

    @property
    def count(self) -> int:
        """How many changes there were."""
        return self._count

    def notify(self) -> None:
        """Something changed."""
        self._count += 1
        self._wake()

    def close(self) -> None:
        """Nothing changes any more: iterations end."""
        self._closed = True
        self._wake()

    async def after(self, count: int) -> int:
        """Wait until there were more than `count` changes, or no more come; returns how many there were."""
        while self._count <= count and not self._closed:
            await self._changed.wait()
        return self._count

    async def __aiter__(self) -> AsyncIterator[int]:
        """The count now, and whenever it grew since it was last asked for; ends when closed."""
        seen = self._count
        yield seen
        while not self._closed:
            now = await self.after(seen)
            if now > seen:
                seen = now
                yield seen

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
