"""Errors of adapters that applications handle."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class StoreUnavailableError(Exception):
    """The database cannot be reached, or is too busy to answer in time."""

    def __init__(self, what: str = "the database cannot be read or written now") -> None:
        super().__init__(what)


def with_cause(error: Exception) -> str:
    """The error and its cause, for the operator's log. Never sent to callers."""
    return str(error) if error.__cause__ is None else f"{error}: {reason_of(error)}"


def reason_of(error: BaseException) -> str:
    """The message of the innermost cause that has one, on one line."""
    chain = list(causes(error))
    for each in reversed(chain[1:]):
        if said := " ".join(str(each).split()):
            return said
    if any(isinstance(each, TimeoutError) for each in chain):
        return "no answer in time"
    return str(error) if len(chain) == 1 else type(chain[-1]).__name__


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and its chain of `__cause__`. `__context__` is ignored."""
    while error is not None:
        yield error
        error = error.__cause__


class BusUnavailableError(Exception):
    """NATS cannot be reached, or does not answer in time."""

    def __init__(self, what: str = "the message bus cannot be reached now") -> None:
        super().__init__(what)
