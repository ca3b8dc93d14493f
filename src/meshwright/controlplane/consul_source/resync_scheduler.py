"""When to read every service once more. Pure; time comes in as an argument.

Two changes leave no trace in the list of checks: a further instance without checks, and an instance that registered
again with other metadata alone. Both move the index of the list of services. Consul writes an instance and its checks
in one transaction, so where the checks changed at the very same index, they say it all; a move at another index is
followed by a sweep soon. As several moves can hide behind the last one, even explained ones lead to one, rarely.
"""

from __future__ import annotations

from collections import deque

SOON = 1.0
"""Seconds after a move that nothing explained."""
SPACING = 5.0
"""Seconds between sweeps at least."""
RARELY = 30.0
"""Seconds between sweeps where everything was explained."""
_REMEMBERED = 256


class ResyncScheduler:
    """Knows when the next sweep is due."""

    def __init__(self) -> None:
        self.at: float | None = None
        """When to ask `due`; None: not until the index moves."""
        self._explained: deque[int] = deque(maxlen=_REMEMBERED)
        self._unexplained: set[int] = set()
        self._swept = float("-inf")

    def explain(self, index: int) -> None:
        """The checks changed at this index."""
        self._explained.append(index)

    def moved(self, index: int, now: float) -> None:
        """The list of services, or something in it, changed at this index."""
        self._unexplained.add(index)
        soon = max(now + SOON, self._swept + SPACING)
        self.at = soon if self.at is None else min(self.at, soon)

    def due(self, now: float) -> bool:
        """Whether to sweep now."""
        if self.at is None or now < self.at:
            return False
        self._unexplained.difference_update(self._explained)
        if not self._unexplained and now < self._swept + RARELY:
            self.at = self._swept + RARELY
            return False
        self._unexplained.clear()
        self.at = None
        self._swept = now
        return True
