"""What can happen to a user, and what a user is after it: the events of which a user's history is made.

The state of a user is the sum of its events (`evolve`), today's and that of any day before. Use cases think in states;
the events of a change are what lies between the state before and the one after (`events_between`), so that no change of
a state can be stored that its events do not account for.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from services.user.domain import User

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True)
class UserCreated:
    name: str
    email: str
    phone: str
    avatar: str = ""
    active: bool = True
    updated_at: str = ""
    """Of a user who was there before there were events: when it was last changed until then (RFC 3339)."""


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
    """The payment event that it follows from."""


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
KINDS: Mapping[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        *(UserCreated, NameChanged, EmailChanged, PhoneChanged, AvatarChanged),
        *(UserDeactivated, UserReactivated, BalanceUpdated, UserDeleted),
    )
}


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event in its place."""

    version: int
    """Counts the events of one user, from 1."""
    event: Event
    at: datetime
    actor: str
    """Who did it: the subject of the caller's token, `anonymous`, or the name of a service."""


def evolve(user: User | None, event: Event, at: datetime, user_id: str) -> User | None:
    """The user after the event; None where it is gone."""
    if isinstance(event, UserCreated):
        changed = datetime.fromisoformat(event.updated_at) if event.updated_at else at
        return User(user_id, event.name, event.email, event.phone, event.active, at, changed, event.avatar)
    if user is None or isinstance(event, UserDeleted):
        return None
    if isinstance(event, BalanceUpdated):
        # Not the user's doing: it is no new version of what the user says of itself.
        return replace(user, balance_cents=event.new_balance_cents)
    return replace(user, **_written(event), updated_at=at)


def _written(event: Event) -> dict[str, Any]:
    """The fields that the event writes."""
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


def folded(history: Iterable[StoredEvent], user_id: str, start: User | None = None) -> User | None:
    """The user after all of them."""
    user = start
    for one in history:
        user = evolve(user, one.event, one.at, user_id)
    return user


def events_between(before: User | None, after: User | None) -> list[Event]:
    """What happened from one state to the other; the balance is not looked at, since it has events of its own."""
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


def type_of(event: Event) -> str:
    """As in `EmailChanged.v1`."""
    return f"{type(event).__name__}.v1"


def data_of(event: Event, actor: str) -> dict[str, Any]:
    """The event's fields and its actor, for JSON."""
    return {**asdict(event), "actor": actor}


def event_of(kind: str, data: Mapping[str, Any]) -> Event:
    """The event of a stored type such as `demo.user.EmailChanged.v1`; fields that it does not know are left out."""
    made = KINDS[kind.split(".")[-2]]
    known = {one.name for one in fields(made)}
    event: Event = made(**{name: value for name, value in data.items() if name in known})
    return event
