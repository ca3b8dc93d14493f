"""What applications know of the trouble that their adapters may have."""

from __future__ import annotations


class StoreUnavailableError(Exception):
    """The database cannot be reached, or is too busy to answer in time."""

    def __init__(self, what: str = "the database cannot be read or written now") -> None:
        super().__init__(what)


def with_cause(error: Exception) -> str:
    """For whoever runs the service: what happened, and why. Callers are not told: the cause is ours alone."""
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return str(error) if cause is error else f"{error}: {cause or type(cause).__name__}"


class BusUnavailableError(Exception):
    """NATS cannot be reached, or does not answer in time."""

    def __init__(self, what: str = "the message bus cannot be reached now") -> None:
        super().__init__(what)
