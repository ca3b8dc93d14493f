"""The calls that pass through: who talks to whom, and from where (RFC 3261, section 12).

A telephone behind a router is reached where it was heard from, not where its Contact says. So what belongs to a call
goes to the address from which the other side was heard. That also keeps the proxy from being used to send to strangers:
there is no way through it but between the sides of a call.

The table is bounded: the oldest call is forgotten first. Times are seconds of a monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from services.voice.sip.messages import Source

MAX_CALLS = 2000
MAX_SECONDS = 4 * 3600.0
LINGER_SECONDS = 32.0
"""How long the end of a call may be repeated."""


@dataclass(slots=True)
class Call:
    caller_tag: str
    caller: Source
    context: Context
    """Of the trace."""
    until: float
    callees: dict[str, Source] = field(default_factory=dict)
    """By their tag: more than one while several telephones ring."""
    answered: bool = False

    def other_side(self, from_tag: str, to_tag: str) -> Source | None:
        """Where a request within the call goes; None: it is of another call."""
        if from_tag == self.caller_tag:
            return self.callees.get(to_tag)
        return self.caller if from_tag in self.callees and to_tag == self.caller_tag else None


class Calls:
    """The calls by Call-ID."""

    def __init__(self) -> None:
        self._calls: dict[str, Call] = {}

    def begin(self, call_id: str, call: Call, now: float) -> bool:
        """Keeps a new call; False if there is one with this id, or there are too many."""
        self._forget(now)
        if call_id in self._calls or len(self._calls) >= MAX_CALLS:
            return False
        self._calls[call_id] = call
        return True

    def get(self, call_id: str) -> Call | None:
        return self._calls.get(call_id)

    def end(self, call_id: str, now: float) -> None:
        """The call is over; repetitions of its end still find it."""
        known = self._calls.pop(call_id, None)
        if known is not None:
            known.until = min(known.until, now + LINGER_SECONDS)
            known.answered = False
            self._calls[call_id] = known

    def drop(self, call_id: str) -> None:
        """Forgets a call that was not answered."""
        self._calls.pop(call_id, None)

    def talking(self) -> int:
        """The number of calls that are answered and not ended."""
        return sum(call.answered for call in self._calls.values())

    def _forget(self, now: float) -> None:
        for call_id, call in [*self._calls.items()]:
            if call.until <= now:
                del self._calls[call_id]


def tag_of(value: Any) -> str:
    """The tag of a From or To address; empty: none."""
    return str(value.tag or "") if value is not None else ""
