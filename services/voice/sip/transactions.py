"""Server transactions other than INVITE (RFC 3261, section 17.2.2): a request that is repeated gets the same response.

Over UDP a device repeats a request until it is answered (timer E). The registrar must not take the repetition for a new
request: its nonce is used by then. A response is kept for 64 * T1 (timer J, 32 s) and sent again; a repetition while
the first is being worked on is dropped. Which requests are the same, 17.2.3 says: branch, sender of the top Via, and
method, and here also the source, so that no stranger can ask for the responses of another.

The table is bounded; the oldest transaction is forgotten first. Times are seconds of a monotonic clock.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiosipua import SipResponse

KEPT_SECONDS = 32.0
"""Timer J: 64 * T1."""
MAX_TRANSACTIONS = 20_000


class Progress(enum.Enum):
    NEW = enum.auto()
    UNDER_WAY = enum.auto()
    """The request is being worked on, and its response comes."""


@dataclass(frozen=True, slots=True)
class TransactionKey:
    branch: str
    sent_by: str
    method: str
    source: str


@dataclass(slots=True)
class _Transaction:
    until: float
    response: SipResponse | None = None


@dataclass(slots=True)
class ServerTransactions:
    _kept: dict[TransactionKey, _Transaction] = field(default_factory=dict)
    """In the order in which they began, and so end."""

    def begin(self, key: TransactionKey, now: float) -> Progress | SipResponse:
        """What there is of the transaction: its response, or what is to be done."""
        self._forget(now)
        known = self._kept.get(key)
        if known is not None:
            return known.response or Progress.UNDER_WAY
        if len(self._kept) >= MAX_TRANSACTIONS:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = _Transaction(now + KEPT_SECONDS)
        return Progress.NEW

    def complete(self, key: TransactionKey, response: SipResponse) -> None:
        """Keeps the response of a transaction that has begun."""
        known = self._kept.get(key)
        if known is not None:
            known.response = response

    def forget(self, key: TransactionKey) -> None:
        """Drops a transaction: a repetition of its request is a new one."""
        self._kept.pop(key, None)

    def __len__(self) -> int:
        return len(self._kept)

    def _forget(self, now: float) -> None:
        while self._kept:
            oldest = next(iter(self._kept))
            if self._kept[oldest].until > now:
                return
            del self._kept[oldest]
