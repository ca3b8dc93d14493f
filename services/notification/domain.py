"""What a notification is, who may be told what, and which events of an order are worth telling.

Everything here is a function of its arguments, time included.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from services.common.runtime.text import text_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import datetime

EVERYBODY = ""
"""The user id of what is for all users."""
MAX_USER_ID = 128
MAX_TITLE = 200
MAX_MESSAGE = 2000
MAX_KEY = 128
MAX_DATA = 20
MAX_DATA_KEY = 64
MAX_DATA_VALUE = 500


class NotificationKind(IntEnum):
    """The numbers are the contract's."""

    INFO = 0
    WARNING = 1
    ERROR = 2
    SUCCESS = 3
    ORDER_UPDATE = 4
    USER_MESSAGE = 5


class InvalidNotificationError(Exception):
    """What was asked breaks a rule. `fields` maps each wrong field to what is wrong with it."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.fields = dict(fields)
        super().__init__("; ".join(f"{field} {what}" for field, what in self.fields.items()))


class NotificationTooOldError(Exception):
    """Something that came after the notification that was named may be gone."""

    def __init__(self) -> None:
        super().__init__("what came after this notification is no longer kept whole; subscribe without resume_after")


@dataclass(frozen=True, slots=True)
class Draft:
    """What somebody wants to be told."""

    user_id: str
    kind: NotificationKind
    title: str
    message: str
    data: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Notification:
    """What is stored, and where."""

    id: str
    sequence: int
    """Its number among all notifications of all users."""
    draft: Draft
    created_at: datetime


def checked(draft: Draft, key: str, *, for_everybody: bool) -> Draft:
    """The draft itself; raises InvalidNotificationError that names all that is wrong, the idempotency key included."""
    wrong: dict[str, str] = {}
    if not for_everybody:
        wrong |= _wrong_user(draft.user_id)
    wrong |= {
        "title": text_problem(draft.title, MAX_TITLE, required=True),
        "message": text_problem(draft.message, MAX_MESSAGE, lines=True),
        "idempotency_key": text_problem(key, MAX_KEY),
        "data": _data_problem(draft.data),
    }
    wrong = {name: what for name, what in wrong.items() if what}
    if wrong:
        raise InvalidNotificationError(wrong)
    return draft


def check_user(user_id: str) -> None:
    """Raises InvalidNotificationError."""
    wrong = _wrong_user(user_id)
    if wrong:
        raise InvalidNotificationError(wrong)


def kinds_of(numbers: Collection[int], name: str = "types[{}]") -> frozenset[NotificationKind]:
    """The kinds with those numbers; raises InvalidNotificationError that names each place."""
    known = {int(kind) for kind in NotificationKind}
    wrong = {name.format(index): _UNKNOWN for index, number in enumerate(numbers) if number not in known}
    if wrong:
        raise InvalidNotificationError(wrong)
    return frozenset(NotificationKind(number) for number in numbers)


_UNKNOWN = f"must be one of {', '.join(f'{kind.value} ({kind.name})' for kind in NotificationKind)}"


def wanted(kinds: frozenset[NotificationKind], after: int) -> Callable[[Notification], bool]:
    """Whether a subscriber to these kinds (none: all) that has seen everything up to `after` wants it."""
    if not kinds:
        return lambda notification: notification.sequence > after
    return lambda notification: notification.sequence > after and notification.draft.kind in kinds


def welcome(user_id: str) -> Draft:
    return Draft(user_id, NotificationKind.INFO, "Connected", "You are now connected to notifications")


_OF_ORDERS = {
    "OrderPlaced": ("placed", "Order placed", "Your order has been received"),
    "OrderCompleted": ("completed", "Order completed", "Your order is complete"),
    "OrderRejected": ("rejected", "Order rejected", "Your order could not be fulfilled"),
    "OrderNeedsAttention": ("needs-attention", "Order needs attention", "Somebody is looking into your order"),
}


def of_order(event: str, order_id: str, about: Mapping[str, Any]) -> Draft | None:
    """What the user is told of an order's event (its name, as `OrderCompleted`); None: nothing."""
    told = _OF_ORDERS.get(event)
    user_id = about.get("user_id")
    if told is None or not isinstance(user_id, str) or _wrong_user(user_id):
        return None
    status, title, message = told
    data = {"order_id": order_id[:MAX_DATA_VALUE], "status": status}
    reason, total = about.get("reason"), about.get("total_cents")
    if isinstance(reason, str) and reason:
        data["reason"] = reason[:MAX_DATA_VALUE]
        message = f"{message}: {reason}"[:MAX_MESSAGE]
    if isinstance(total, int):
        data["total_cents"] = str(total)
    return Draft(user_id, NotificationKind.ORDER_UPDATE, title, message, data)


def _wrong_user(user_id: str) -> Mapping[str, str]:
    if not user_id:
        return {"user_id": "is required"}
    if len(user_id) > MAX_USER_ID or not all("!" <= letter <= "~" for letter in user_id):
        return {"user_id": f"must be 1 to {MAX_USER_ID} visible ASCII characters"}
    return {}


def _data_problem(data: Mapping[str, str]) -> str:
    if len(data) > MAX_DATA:
        return f"must have at most {MAX_DATA} entries"
    for key, value in data.items():
        if not 0 < len(key) <= MAX_DATA_KEY or len(value) > MAX_DATA_VALUE:
            return f"keys have 1 to {MAX_DATA_KEY} characters, values at most {MAX_DATA_VALUE}"
        if what := text_problem(key, MAX_DATA_KEY) or text_problem(value, MAX_DATA_VALUE, lines=True):
            return f"keys and values {what}"
    return ""
