"""Stock and reservations.

A reservation is identified by its key, and each key has one outcome: HELD and then RELEASED or SHIPPED, OUT_OF_STOCK,
or RELEASED before the reservation. Every function takes the reservation stored under the key and returns the change to
store; a repeated request finds the stored outcome and changes nothing. So callers can retry, and requests can arrive in
any order: a Release that arrives before its Reserve stores a RELEASED reservation, and the late Reserve holds nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from services.common.runtime.text import text_problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_ITEMS = 100
MAX_QUANTITY = 1_000_000
MAX_PRICE = 1_000_000_000
"""Cents. The largest reservation, MAX_ITEMS * MAX_QUANTITY * MAX_PRICE, fits into 64 bits."""
MAX_STOCK = 10**15
MAX_TITLE = 200

_KEY = re.compile(r"[!-~]{1,100}")
_SKU = re.compile(r"[A-Za-z0-9.-]{1,64}")


class InvalidRequestError(Exception):
    """The request is invalid. `fields` maps each invalid field to its problem."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.fields = dict(fields)
        super().__init__("; ".join(f"{field} {what}" for field, what in self.fields.items()))


class ItemNotFoundError(Exception):
    """The item does not exist."""

    def __init__(self) -> None:
        super().__init__("there is no such item")


class ReservationDiffersError(Exception):
    """The key was used for other items."""

    def __init__(self) -> None:
        super().__init__("this key was used to reserve other items")


class RestockDiffersError(Exception):
    """The key was used for another restocking."""

    def __init__(self) -> None:
        super().__init__("this key was used to restock something else")


class ReservationNotHeldError(Exception):
    """The reservation to ship is not held."""

    def __init__(self, state: str) -> None:
        super().__init__(f"the reservation is not held: it is {state}")


class ReservationState(Enum):
    """State of a reservation."""

    HELD = "HELD"
    RELEASED = "RELEASED"
    SHIPPED = "SHIPPED"
    OUT_OF_STOCK = "OUT_OF_STOCK"


@dataclass(frozen=True, slots=True)
class Item:
    sku: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Stock:
    """Quantities of one item: available, reserved, shipped."""

    sku: str
    title: str
    price_cents: int
    available: int = 0
    reserved: int = 0
    shipped: int = 0


@dataclass(frozen=True, slots=True)
class Reservation:
    key: str
    state: ReservationState
    items: tuple[Item, ...] = ()
    """Ordered by sku; empty if it was released before it was made."""
    missing: tuple[Item, ...] = ()
    total_cents: int = 0


@dataclass(frozen=True, slots=True)
class Restock:
    key: str
    sku: str
    quantity: int
    title: str = ""
    """Empty: unchanged."""
    price_cents: int = 0
    """0: unchanged."""


@dataclass(frozen=True, slots=True)
class ReservationChange:
    """The change to store; `event`: the name of the event to publish, or empty."""

    reservation: Reservation
    stock: tuple[Stock, ...] = ()
    event: str = ""
    new: bool = False
    """Whether there is anything to store."""


def reserve(
    known: Reservation | None, key: str, items: Sequence[Item], stock: Mapping[str, Stock]
) -> ReservationChange:
    """Reserves all items or none; raises InvalidRequestError for an unknown item, and ReservationDiffersError."""
    wanted = tuple(sorted(items, key=lambda item: item.sku))
    if known is not None:
        if known.items and known.items != wanted:
            raise ReservationDiffersError
        return ReservationChange(known)
    _must_be_known(items, stock)
    missing = tuple(
        Item(item.sku, item.quantity - stock[item.sku].available)
        for item in wanted
        if item.quantity > stock[item.sku].available
    )
    if missing:
        return ReservationChange(Reservation(key, ReservationState.OUT_OF_STOCK, wanted, missing), new=True)
    total = sum(item.quantity * stock[item.sku].price_cents for item in wanted)
    held = Reservation(key, ReservationState.HELD, wanted, total_cents=total)
    return ReservationChange(held, _moved(held, stock, available=-1, reserved=1), "Reserved.v1", new=True)


def release(known: Reservation | None, key: str, stock: Mapping[str, Stock]) -> ReservationChange:
    """Releases a held reservation. A shipped one stays SHIPPED, as the result says."""
    if known is None:
        return ReservationChange(Reservation(key, ReservationState.RELEASED), new=True)
    if known.state is not ReservationState.HELD:
        return ReservationChange(known)
    after = replace(known, state=ReservationState.RELEASED)
    return ReservationChange(after, _moved(known, stock, available=1, reserved=-1), "Released.v1", new=True)


def ship(known: Reservation | None, stock: Mapping[str, Stock]) -> ReservationChange:
    """Ships a held reservation; raises ReservationNotHeldError."""
    if known is None:
        raise ReservationNotHeldError("unknown")
    if known.state is ReservationState.SHIPPED:
        return ReservationChange(known)
    if known.state is not ReservationState.HELD:
        raise ReservationNotHeldError(known.state.value)
    after = replace(known, state=ReservationState.SHIPPED)
    return ReservationChange(after, _moved(known, stock, reserved=-1, shipped=1), "Shipped.v1", new=True)


def restock(wanted: Restock, stock: Stock | None) -> Stock:
    """The stock after restocking; raises InvalidRequestError."""
    if stock is None and not wanted.price_cents:
        raise InvalidRequestError({"price_cents": "is required for an item that is new"})
    before = stock or Stock(wanted.sku, wanted.title or wanted.sku, wanted.price_cents)
    if before.available + before.reserved + before.shipped + wanted.quantity > MAX_STOCK:
        raise InvalidRequestError({"quantity": f"would make more than {MAX_STOCK} of the item"})
    return replace(
        before,
        title=wanted.title or before.title,
        price_cents=wanted.price_cents or before.price_cents,
        available=before.available + wanted.quantity,
    )


def _moved(
    reservation: Reservation, stock: Mapping[str, Stock], *, available: int = 0, reserved: int = 0, shipped: int = 0
) -> tuple[Stock, ...]:
    return tuple(
        replace(
            stock[item.sku],
            available=stock[item.sku].available + available * item.quantity,
            reserved=stock[item.sku].reserved + reserved * item.quantity,
            shipped=stock[item.sku].shipped + shipped * item.quantity,
        )
        for item in reservation.items
    )


def _must_be_known(items: Sequence[Item], stock: Mapping[str, Stock]) -> None:
    unknown = {f"items[{n}].sku": "names no item" for n, item in enumerate(items) if item.sku not in stock}
    if unknown:
        raise InvalidRequestError(unknown)


def check_key(key: str) -> None:
    """Raises InvalidRequestError for an invalid key."""
    _refuse({"key": _key_problem(key)})


def check_reserve(key: str, items: Sequence[Item]) -> None:
    """Raises InvalidRequestError, which lists every wrong field."""
    found = {"key": _key_problem(key), "items": "" if 1 <= len(items) <= MAX_ITEMS else _COUNT}
    seen: set[str] = set()
    for number, item in enumerate(items[:MAX_ITEMS]):
        found[f"items[{number}].sku"] = "is named twice" if item.sku in seen else _sku_problem(item.sku)
        found[f"items[{number}].quantity"] = _range_problem(item.quantity, 1, MAX_QUANTITY)
        seen.add(item.sku)
    _refuse(found)


def check_restock(wanted: Restock) -> None:
    """Raises InvalidRequestError, which lists every wrong field."""
    _refuse(
        {
            "key": _key_problem(wanted.key),
            "sku": _sku_problem(wanted.sku),
            "quantity": _range_problem(wanted.quantity, 1, MAX_QUANTITY),
            "title": text_problem(wanted.title, MAX_TITLE),
            "price_cents": _range_problem(wanted.price_cents, 0, MAX_PRICE),
        }
    )


def known_sku(sku: str) -> bool:
    """Whether the sku is valid."""
    return not _sku_problem(sku)


_COUNT = f"must be 1 to {MAX_ITEMS} items"


def _refuse(found: Mapping[str, str]) -> None:
    wrong = {field: what for field, what in found.items() if what}
    if wrong:
        raise InvalidRequestError(wrong)


def _key_problem(key: str) -> str:
    return "" if _KEY.fullmatch(key) else "must be 1 to 100 visible ASCII characters"


def _sku_problem(sku: str) -> str:
    return "" if _SKU.fullmatch(sku) else "must be 1 to 64 letters, digits, dashes and dots"


def _range_problem(value: int, low: int, high: int) -> str:
    return "" if low <= value <= high else f"must be {low} to {high}"
