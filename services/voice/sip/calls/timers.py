"""The timers of RFC 3261, section 17.1.1.2 and table 4, in seconds."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class TimerValues:
    t1: float = 0.5
    """A round trip."""
    t2: float = 4.0
    """The longest pause between repetitions."""
    t4: float = 5.0
    """How long a message stays on the way."""
    c: float = 180.0
    """How long a telephone may ring."""

    @property
    def timeout(self) -> float:
        """Timers B, F, H and J."""
        return 64 * self.t1


class Timer:
    """One timer, which may be set anew and stopped."""

    def __init__(self) -> None:
        self._handle: asyncio.TimerHandle | None = None

    def start(self, seconds: float, action: Callable[[], None]) -> None:
        self.stop()
        self._handle = asyncio.get_running_loop().call_later(seconds, action)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


class Repeater:
    """Repeats an action after `first` seconds, then after twice as long each time, `longest` at most (0: no limit)."""

    def __init__(self, first: float, longest: float, action: Callable[[], None]) -> None:
        self._pause = first
        self._longest = longest
        self._action = action
        self._timer = Timer()

    def start(self) -> None:
        self._timer.start(self._pause, self._again)

    def stop(self) -> None:
        self._timer.stop()

    def _again(self) -> None:
        self._action()
        self._pause = min(2 * self._pause, self._longest or float("inf"))
        self.start()
