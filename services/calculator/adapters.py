"""The calculator's adapter: time."""

from __future__ import annotations

import asyncio


class Interval:
    """A pace of one item per interval, in seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def next(self) -> None:
        await asyncio.sleep(self._seconds)
