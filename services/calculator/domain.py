"""Sums, products, primes, and answers to chat messages."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MAX_LIMIT = 100_000
"""The largest limit for primes: a quarter of an hour at one prime per 100 ms."""
MAX_TEXT = 1000
"""The longest chat message, in characters."""


class InvalidNumbersError(Exception):
    """The request is invalid. `fields` maps each invalid field to its problem."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.fields = dict(fields)
        super().__init__("; ".join(f"{field} {what}" for field, what in self.fields.items()))


class TooLargeError(Exception):
    """The result is out of the range of a double."""

    def __init__(self) -> None:
        super().__init__("the result is larger than a double can hold")


def add(a: float, b: float) -> float:
    """The sum; raises InvalidNumbersError or TooLargeError."""
    return _calculated(lambda: a + b, a=a, b=b)


def multiply(a: float, b: float) -> float:
    """The product; raises InvalidNumbersError or TooLargeError."""
    return _calculated(lambda: a * b, a=a, b=b)


def _calculated(operation: Callable[[], float], **operands: float) -> float:
    wrong = {name: "must be a finite number" for name, value in operands.items() if not math.isfinite(value)}
    if wrong:
        raise InvalidNumbersError(wrong)
    result = operation()
    if not math.isfinite(result):
        raise TooLargeError
    return result


def primes(limit: int) -> Iterator[int]:
    """Yields the primes up to and including `limit`, lazily."""
    if not 0 <= limit <= MAX_LIMIT:
        raise InvalidNumbersError({"limit": f"must be from 0 to {MAX_LIMIT}"})
    return _primes(limit)


def _primes(limit: int) -> Iterator[int]:
    found: list[int] = []
    for candidate in range(2, limit + 1):
        root = math.isqrt(candidate)
        if _has_no_divisor(candidate, found, root):
            found.append(candidate)
            yield candidate


def _has_no_divisor(candidate: int, smaller_primes: list[int], root: int) -> bool:
    for prime in smaller_primes:
        if prime > root:
            break
        if candidate % prime == 0:
            return False
    return True


@dataclass
class RunningSum:
    """A compensated sum (Neumaier's variant of Kahan's summation), in constant memory."""

    count: int = 0
    _sum: float = 0.0
    _lost: float = 0.0

    def add(self, value: float) -> None:
        """Adds one number; raises InvalidNumbersError with its index, or TooLargeError."""
        if not math.isfinite(value):
            raise InvalidNumbersError({f"numbers[{self.count}].value": "must be a finite number"})
        self.count += 1
        total = self._sum + value
        if not math.isfinite(total):
            raise TooLargeError
        larger, smaller = (self._sum, value) if abs(self._sum) >= abs(value) else (value, self._sum)
        self._lost += (larger - total) + smaller
        self._sum = total

    @property
    def value(self) -> float:
        return self._sum + self._lost


_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_QUESTION = re.compile(rf"\s*({_NUMBER})\s*([+*])\s*({_NUMBER})\s*")


def answer(text: str) -> str:
    """Answers a message: the result of "2 + 3" or "4 * 5", or else the message itself."""
    if len(text) > MAX_TEXT:
        raise InvalidNumbersError({"text": f"must be at most {MAX_TEXT} characters long"})
    question = _QUESTION.fullmatch(text)
    if question is None:
        return text
    left, operator, right = question.groups()
    try:
        return f"{(add if operator == '+' else multiply)(float(left), float(right)):.15g}"
    except (InvalidNumbersError, TooLargeError) as error:
        return str(error)
