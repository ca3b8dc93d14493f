"""What applications know of the trouble that their adapters may have."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class StoreUnavailableError(Exception):
    """The database cannot be reached, or is too busy to answer in time."""

    def __init__(self, what: str = "the database cannot be read or written now") -> None:
        super().__init__(what)


def with_cause(error: Exception) -> str:
    """For whoever runs the service: what happened, and why. Callers are not told: the cause is ours alone."""
    return str(error) if error.__cause__ is None else f"{error}: {reason_of(error)}"


def reason_of(error: BaseException) -> str:
    """What it all began with, in a line: the innermost cause that says something."""
    chain = list(causes(error))
    for each in reversed(chain[1:]):
        if said := " ".join(str(each).split()):
            return said
    if any(isinstance(each, TimeoutError) for each in chain):
        return "no answer in time"
    return str(error) if len(chain) == 1 else type(chain[-1]).__name__


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what it was raised from, and so on. What was merely being handled meanwhile is no cause of it."""
    while error is not None:
        yield error
        error = error.__cause__


class BusUnavailableError(Exception):
    """NATS cannot be reached, or does not answer in time."""

    def __init__(self, what: str = "the message bus cannot be reached now") -> None:
        super().__init__(what)
