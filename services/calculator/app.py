"""The use cases of the calculator that stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from services.calculator import domain

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator


class Pace(Protocol):
    """The pace of a stream."""

    async def next(self) -> None:
        """Waits until the next item is due."""


async def paced_primes(limit: int, pace: Pace) -> AsyncIterator[int]:
    """The primes up to `limit`, the first at once and each other one when the pace says so.

    A disconnect or a passed deadline cancels the wait.
    """
    waiting = False
    for prime in domain.primes(limit):
        if waiting:
            await pace.next()
        yield prime
        waiting = True


async def sum_of(numbers: AsyncIterable[float]) -> float:
    """The sum of a stream of numbers of any length."""
    total = domain.RunningSum()
    async for number in numbers:
        total.add(number)
    return total.value
