"""When a process that ended is started again: at once the first time, then more and more slowly.

A process that keeps crashing must not eat the machine; one that ran well for a while and then crashed (somebody
killed it, to see what happens) must be back quickly. So the delay doubles with each end that follows a short life,
and a long life makes the next delay the first one again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

FIRST = 0.2
CAP = 10.0
STABLE = 10.0
"""Seconds of life after which what happened before is forgiven."""


@dataclass(frozen=True, slots=True)
class Restarts:
    """How often a process has been started again, and how often in a row after a short life."""

    total: int = 0
    streak: int = 0

    def after(self, lived: float) -> tuple[float, Restarts]:
        """The seconds to wait after a life of `lived` seconds, and the history from then on."""
        streak = 0 if lived >= STABLE else self.streak
        delay = min(CAP, FIRST * 2.0 ** min(streak, 32))
        return delay, replace(self, total=self.total + 1, streak=streak + 1)
