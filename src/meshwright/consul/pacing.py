"""How fast to try again: pure functions of the failures so far, of the time, and of a random number."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential delays with jitter, so that a fleet that lost the same Consul does not come back in step."""

    first: float = 0.05
    """Seconds before the first retry, at most."""
    cap: float = 1.0
    """Seconds that no delay exceeds."""

    def delay(self, failures: int, chance: float) -> float:
        """Seconds to wait after that many failures in a row (1 or more); `chance` is uniform in [0, 1)."""
        full = min(self.cap, self.first * 2.0 ** min(failures - 1, 32))
        return full * (0.5 + chance / 2)


class Pace:
    """Lets `burst` events pass at once and `rate` per second in the long run (the generic cell rate algorithm)."""

    __slots__ = ("_due", "_gap", "_slack")

    def __init__(self, burst: int, rate: float) -> None:
        self._gap = 1.0 / rate
        self._slack = (burst - 1) * self._gap
        self._due = float("-inf")

    def delay(self, now: float) -> float:
        """Count one event at `now`; returns the seconds to wait before it may happen."""
        wait = max(0.0, self._due - self._slack - now)
        self._due = max(self._due, now) + self._gap
        return wait
