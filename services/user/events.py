"""The events of a user's history, and how they change a user.

The state of a user is the sum of its events (`evolve`), at present and at any time before. Use cases compute states;
the events of a change are the difference of two states (`events_between`), so that every change has its events.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from services.common.event_sourcing.event_types import EventTypes
from services.user.domain import User


@dataclass(frozen=True, slots=True)
class UserCreated:
    name: str
    email: str
    phone: str
    avatar: str = ""
    active: bool = True
    updated_at: str = ""
    """For users older than the event log: their last change (RFC 3339)."""


@dataclass(frozen=True, slots=True)
class NameChanged:
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class EmailChanged:
    old_email: str
    new_email: str


@dataclass(frozen=True, slots=True)
class PhoneChanged:
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class AvatarChanged:
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class UserDeactivated:
    pass


@dataclass(frozen=True, slots=True)
class UserReactivated:
    pass


@dataclass(frozen=True, slots=True)
class BalanceUpdated:
    old_balance_cents: int
    new_balance_cents: int
    reason: str
    """deposit, charge or refund."""
    key: str
    """Id of the payment event."""


@dataclass(frozen=True, slots=True)
class UserDeleted:
    pass


Event = (
    UserCreated
    | NameChanged
    | EmailChanged
    | PhoneChanged
    | AvatarChanged
    | UserDeactivated
    | UserReactivated
    | BalanceUpdated
    | UserDeleted
)
TYPES: EventTypes[Any] = EventTypes(
    *(UserCreated, NameChanged, EmailChanged, PhoneChanged, AvatarChanged),
    *(UserDeactivated, UserReactivated, BalanceUpdated, UserDeleted),
)
"""The stored names of the events."""


def evolve(user: User | None, event: Event, at: datetime, user_id: str) -> User | None:
    """Applies an event; returns None for a deleted user."""
    if isinstance(event, UserCreated):
        changed = datetime.fromisoformat(event.updated_at) if event.updated_at else at
        return User(user_id, event.name, event.email, event.phone, event.active, at, changed, event.avatar)
    if user is None or isinstance(event, UserDeleted):
        return None
    if isinstance(event, BalanceUpdated):
        # Not a change by the user: `updated_at` stays.
        return replace(user, balance_cents=event.new_balance_cents)
    return replace(user, **_written(event), updated_at=at)


def _written(event: Event) -> dict[str, Any]:
    """The fields that the event changes."""
    match event:
        case NameChanged():
            return {"name": event.new}
        case EmailChanged():
            return {"email": event.new_email}
        case PhoneChanged():
            return {"phone": event.new}
        case AvatarChanged():
            return {"avatar": event.new}
        case _:
            return {"active": isinstance(event, UserReactivated)}


def events_between(before: User | None, after: User | None) -> list[Event]:
    """The events from one state to the other, except of the balance, which has its own events."""
    if after is None:
        return [] if before is None else [UserDeleted()]
    if before is None:
        changed = "" if after.updated_at == after.created_at else after.updated_at.isoformat()
        return [UserCreated(after.name, after.email, after.phone, after.avatar, after.active, changed)]
    found: list[Event] = []
    if after.name != before.name:
        found.append(NameChanged(before.name, after.name))
    if after.email != before.email:
        found.append(EmailChanged(before.email, after.email))
    if after.phone != before.phone:
        found.append(PhoneChanged(before.phone, after.phone))
    if after.avatar != before.avatar:
        found.append(AvatarChanged(before.avatar, after.avatar))
    if after.active != before.active:
        found.append(UserReactivated() if after.active else UserDeactivated())
    return found
