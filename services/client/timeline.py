"""The messages of one room as this client knows them: each once, in order, and what is on its way. Pure.

A message is known by its id, which ascends as text; one's own by the mark that one gave it (`client_id`) until it has
come back. The newest are kept.
"""

from __future__ import annotations

import bisect
import enum
from dataclasses import dataclass, field
from operator import attrgetter

KEPT = 500


class Delivery(enum.Enum):
    """What is known of a message of one's own."""

    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Message:
    """A message that is stored. `sent_at`: RFC 3339, as the chat has it."""

    id: str
    user_id: str
    name: str
    text: str
    sent_at: str
    client_id: str = ""


@dataclass(slots=True)
class OutgoingMessage:
    """A message of one's own. `reason`: why it failed, in words."""

    client_id: str
    text: str
    delivery: Delivery = Delivery.SENDING
    reason: str = ""


@dataclass(slots=True)
class Timeline:
    """What is known of a room. `messages` is in order; `outgoing` holds what has not come back yet, oldest first."""

    messages: list[Message] = field(default_factory=list)
    outgoing: dict[str, OutgoingMessage] = field(default_factory=dict)
    gap_before: str = ""
    """The id of the message before which others may be missing; empty: none are."""
    _broken: bool = False

    @property
    def last(self) -> str:
        """The id of the newest message; empty for none."""
        return self.messages[-1].id if self.messages else ""

    def see(self, message: Message, user_id: str) -> bool:
        """Take in a message, of which `user_id`'s own end their way; False where it was known."""
        if message.user_id == user_id and (own := self.outgoing.pop(message.client_id, None)):
            own.delivery = Delivery.SENT
        at = bisect.bisect_left(self.messages, message.id, key=attrgetter("id"))
        if at < len(self.messages) and self.messages[at].id == message.id:
            return False
        if self._broken:
            self.gap_before, self._broken = message.id, False
        self.messages.insert(at, message)
        del self.messages[:-KEPT]
        return True

    def after(self, seen: str) -> list[Message]:
        """The messages after the one with the id `seen`."""
        return self.messages[bisect.bisect_right(self.messages, seen, key=attrgetter("id")) :]

    def stored(self, client_id: str) -> None:
        """The chat has this message; it comes back as any other."""
        if own := self.outgoing.get(client_id):
            own.delivery = Delivery.SENT

    def failed(self, client_id: str, reason: str) -> None:
        """The chat has refused this message for good."""
        if own := self.outgoing.get(client_id):
            own.delivery, own.reason = Delivery.FAILED, reason

    def unsent(self) -> list[OutgoingMessage]:
        """What is to be sent again after an interruption: what is not known to be stored, nor refused."""
        return [own for own in self.outgoing.values() if own.delivery is Delivery.SENDING]

    def forget_before(self) -> None:
        """The chat no longer has what came after the newest message: begin anew, and say so before what comes."""
        self.messages.clear()
        self._broken = True
