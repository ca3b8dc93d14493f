"""What applications know of the trouble that their adapters may have."""

from __future__ import annotations


class StoreUnavailableError(Exception):
    """The database cannot be reached, or is too busy to answer in time."""

    def __init__(self, what: str = "the database cannot be read or written now") -> None:
        super().__init__(what)


class BusUnavailableError(Exception):
    """NATS cannot be reached, or does not answer in time."""

    def __init__(self, what: str = "the message bus cannot be reached now") -> None:
        super().__init__(what)
