"""The restart delays of an instance: none at first, then growing.

A process that keeps crashing must not load the machine; one that crashed after a long run must be back quickly. So the
delay doubles with each end after a short run, and a long run resets it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

FIRST = 0.2
CAP = 10.0
STABLE = 10.0
"""Seconds of running after which the delay is reset."""


@dataclass(frozen=True, slots=True)
class Restarts:
    """The number of restarts, and of consecutive ones after a short run."""

    total: int = 0
    streak: int = 0

    def after(self, lived: float) -> tuple[float, Restarts]:
        """The delay in seconds after a run of `lived` seconds, and the updated counts."""
        streak = 0 if lived >= STABLE else self.streak
        delay = min(CAP, FIRST * 2.0 ** min(streak, 32))
        return delay, replace(self, total=self.total + 1, streak=streak + 1)
