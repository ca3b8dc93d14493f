"""Notifications, and the events of orders that lead to them.

Everything here is a function of its arguments, time included.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from services.common.runtime.text import legible, text_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import datetime

ALL_USERS = ""
"""The user id of broadcasts."""
MAX_USER_ID = 128
MAX_TITLE = 200
MAX_MESSAGE = 2000
MAX_KEY = 128
MAX_DATA = 20
MAX_DATA_KEY = 64
MAX_DATA_VALUE = 500
_MOST_CENTS = 2**63 - 1


class NotificationKind(IntEnum):
    """Numbers as in notification.proto."""

    INFO = 0
    WARNING = 1
    ERROR = 2
    SUCCESS = 3
    ORDER_UPDATE = 4
    USER_MESSAGE = 5


class InvalidNotificationError(Exception):
    """The request is invalid. `fields` maps each invalid field to its problem."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.fields = dict(fields)
        super().__init__("; ".join(f"{field} {what}" for field, what in self.fields.items()))


class NotificationTooOldError(Exception):
    """Notifications after the given one may have been dropped."""

    def __init__(self) -> None:
        super().__init__("notifications after this one have been dropped; subscribe without resume_after")


@dataclass(frozen=True, slots=True)
class Draft:
    """A notification to be stored."""

    user_id: str
    kind: NotificationKind
    title: str
    message: str
    data: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Notification:
    """A stored notification."""

    id: str
    sequence: int
    """Its sequence in the stream of all users."""
    draft: Draft
    created_at: datetime


def checked(draft: Draft, key: str, *, for_everybody: bool) -> Draft:
    """Validates and returns the draft. Raises InvalidNotificationError with all problems, including the key's."""
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
    """The kinds with those numbers; raises InvalidNotificationError with each invalid index."""
    known = {int(kind) for kind in NotificationKind}
    wrong = {name.format(index): _UNKNOWN for index, number in enumerate(numbers) if number not in known}
    if wrong:
        raise InvalidNotificationError(wrong)
    return frozenset(NotificationKind(number) for number in numbers)


_UNKNOWN = f"must be one of {', '.join(f'{kind.value} ({kind.name})' for kind in NotificationKind)}"


def wanted(kinds: frozenset[NotificationKind], after: int) -> Callable[[Notification], bool]:
    """Whether a subscriber to these kinds (none: all), with everything up to `after`, gets it."""
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
    """The notification of an order's event, by its name, as `OrderCompleted`; None: none."""
    told = _OF_ORDERS.get(event)
    user_id = about.get("user_id")
    if told is None or not isinstance(user_id, str) or _wrong_user(user_id):
        return None
    status, title, message = told
    data = {"order_id": legible(order_id)[:MAX_DATA_VALUE], "status": status}
    reason, total = about.get("reason"), about.get("total_cents")
    if isinstance(reason, str) and reason:
        data["reason"] = legible(reason)[:MAX_DATA_VALUE]
        message = f"{message}: {legible(reason)}"[:MAX_MESSAGE]
    if isinstance(total, int) and abs(total) <= _MOST_CENTS:
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
