"""What is wrong now, by topic: said once in the log, shown on the debug page until it is mended."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshwright.errors import Violation

log = logging.getLogger(__name__)


class Problems:
    """The problems of one part of the control plane."""

    def __init__(self) -> None:
        self._now: dict[str, tuple[Violation, ...]] = {}
        self._said: frozenset[Violation] = frozenset()

    @property
    def all(self) -> tuple[Violation, ...]:
        """All that is wrong now."""
        return tuple(problem for topic in sorted(self._now) for problem in self._now[topic])

    def add(self, topic: str, *problems: Violation) -> None:
        """This is wrong with `topic` now, instead of what was before."""
        self._now[topic] = problems

    def clear(self, topic: str) -> None:
        """Nothing is wrong with `topic` (any more)."""
        self._now.pop(topic, None)

    def report(self) -> None:
        """Say in the log what is new, and what has been mended."""
        self._said = say_changes(self._said, self.all)


def say_changes(said: frozenset[Violation], now: Iterable[Violation]) -> frozenset[Violation]:
    """Log the difference between what was said and what is so now."""
    current = frozenset(now)
    for problem in sorted(current - said, key=str):
        log.warning("problem: %s", problem)
    for problem in sorted(said - current, key=str):
        log.info("mended: %s", problem)
    return current
