"""Views of users, and how events change them.

Views are built from two logs, users' and orders', which arrive independently. So the order between the logs must not
matter: counts add up, the last activity is the latest, and events that arrive before their user are kept in a hidden
view. Within a log the order is the log's.

A deleted user keeps a view without personal data: its existence and number of orders.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

USER, ORDER, PAYMENT = "user", "order", "payment"
SOURCES = (USER, ORDER)
"""The services whose events the views consume."""
POSITIONS = (*SOURCES, PAYMENT)
"""Services whose positions a reader can wait for: the payment service's arrive in the user service's events."""
ACTIVE, INACTIVE, DELETED = "active", "inactive", "deleted"
MAX_QUERY = 200
MAX_TERMS = 10
_WORD = re.compile(r"[^\W_]+")
_CHANGES = {
    "NameChanged": ("name", "new"),
    "EmailChanged": ("email", "new_email"),
    "PhoneChanged": ("phone", "new"),
    "BalanceUpdated": ("balance_cents", "new_balance_cents"),
}
"""Events that change one field of the view: the field, and its key in the event."""
_STATES = {"UserDeactivated": INACTIVE, "UserReactivated": ACTIVE}
_WITHOUT_EFFECT = {"AvatarChanged"}
"""Events that change only the last activity."""
_ORDERS = {"OrderPlaced": 0, "OrderCompleted": 1, "OrderRejected": 0, "OrderNeedsAttention": 0}
"""Events of orders that count as activity, and the orders that each adds."""


class InvalidRequestError(Exception):
    """The request is invalid. `fields` maps each invalid field to its problem."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.fields = dict(fields)
        super().__init__("; ".join(f"{field} {what}" for field, what in self.fields.items()))


class UserNotFoundError(Exception):
    """The user is unknown."""

    def __init__(self) -> None:
        super().__init__("there is no such user")


class ViewBehindError(Exception):
    """The view does not include the requested positions."""

    def __init__(self, missing: Mapping[str, int]) -> None:
        what = ", ".join(f"{source}/{position}" for source, position in sorted(missing.items()))
        super().__init__(f"the view has not seen {what} yet")


class RebuildRunningError(Exception):
    """A rebuild is running."""

    def __init__(self) -> None:
        super().__init__("a rebuild is already running")


@dataclass(frozen=True, slots=True)
class UserView:
    """The view of a user."""

    id: str
    name: str = ""
    email: str = ""
    status: str = ACTIVE
    balance_cents: int = 0
    last_activity: datetime | None = None
    total_orders: int = 0
    """Completed orders."""
    phone: str = ""
    known: bool = False
    """False: only events of its orders have arrived."""

    @property
    def words(self) -> str:
        """The searchable words; empty if the view is hidden."""
        return " ".join(words(f"{self.name} {self.email}")) if self.known and self.status != DELETED else ""


@dataclass(frozen=True, slots=True)
class ViewEvent:
    """An event as views use it."""

    source: str
    name: str
    """As in `EmailChanged`."""
    subject: str
    at: datetime
    data: Mapping[str, Any]

    @property
    def user_id(self) -> str | None:
        """The user whose view it changes; None: none."""
        if self.source == USER:
            return self.subject
        return self.data.get("user_id") if self.source == ORDER and self.name in _ORDERS else None


def payment_seen(view_event: ViewEvent) -> int:
    """Position of the payment event behind this one; 0: none."""
    source, _, position = str(view_event.data.get("key", "")).partition("/")
    follows = (view_event.source, view_event.name, source) == (USER, "BalanceUpdated", PAYMENT)
    return int(position) if follows and position.isdigit() else 0


def apply_event(view: UserView, view_event: ViewEvent) -> UserView:
    """Applies an event to a view; ignores unknown events of newer services."""
    if view_event.source == ORDER:
        return _active(replace(view, total_orders=view.total_orders + _ORDERS[view_event.name]), view_event.at)
    match view_event.name:
        case "UserCreated":
            changed = _created(view, view_event.data)
        case "UserDeleted":
            changed = replace(view, status=DELETED, name="", email="", phone="", balance_cents=0, known=True)
        case name if name in _CHANGES:
            field, key = _CHANGES[name]
            changed = replace(view, **{field: view_event.data[key]})
        case name if name in _STATES:
            changed = replace(view, status=_STATES[name])
        case name if name in _WITHOUT_EFFECT:
            changed = view
        case _:
            return view
    return _active(changed, view_event.at)


def _created(view: UserView, data: Mapping[str, Any]) -> UserView:
    status = ACTIVE if data.get("active", True) else INACTIVE
    return replace(view, name=data["name"], email=data["email"], phone=data.get("phone", ""), status=status, known=True)


def _active(view: UserView, at: datetime) -> UserView:
    latest = at if view.last_activity is None else max(view.last_activity, at)
    return replace(view, last_activity=latest)


def folded(text: str) -> str:
    """Removes marks and case, so that `Jose` finds `José` on every database."""
    # Decompose before case folding, too: ℡ decomposes to capitals.
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return unicodedata.normalize("NFKC", "".join(char for char in plain if not unicodedata.combining(char)))


def words(text: str) -> list[str]:
    """The words of a text: runs of letters and digits, folded."""
    return _WORD.findall(folded(text))


def terms(query: str) -> list[str]:
    """The search terms, each a prefix of a word. Raises InvalidRequestError."""
    if len(query) > MAX_QUERY:
        raise InvalidRequestError({"query": f"must have at most {MAX_QUERY} characters"})
    found = list(dict.fromkeys(words(query)))
    if not found:
        raise InvalidRequestError({"query": "must have a word in it: letters or digits"})
    if len(found) > MAX_TERMS:
        raise InvalidRequestError({"query": f"must have at most {MAX_TERMS} words"})
    return found


def best_first(views: Iterable[UserView], wanted: Iterable[str]) -> list[UserView]:
    """Sorts views by the number of terms that are whole words, in names before addresses."""
    asked = set(wanted)

    def rank(view: UserView) -> tuple[int, int, str, str]:
        in_name = len(asked & set(words(view.name)))
        in_all = len(asked & set(words(f"{view.name} {view.email}")))
        return -in_all, -in_name, folded(view.name), view.id

    return sorted(views, key=rank)
