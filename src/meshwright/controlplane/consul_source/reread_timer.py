"""Something to be read again after a while: one timer, however often it is noted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshwright.model import ServiceName


class Again:
    """Services to be read again `seconds` after the first of them was noted: all of them at once."""

    def __init__(self, seconds: float, read: Callable[[frozenset[ServiceName]], None]) -> None:
        self._seconds = seconds
        self._read = read
        self._services: frozenset[ServiceName] = frozenset()
        self._timer: asyncio.TimerHandle | None = None

    def note(self, services: frozenset[ServiceName]) -> None:
        """Read these again, too."""
        self._services |= services
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._is_time)

    def cancel(self) -> None:
        """Read nothing again."""
        if self._timer is not None:
            self._timer.cancel()

    def _is_time(self) -> None:
        services, self._services, self._timer = self._services, frozenset(), None
        self._read(services)
