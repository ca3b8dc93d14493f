"""Orders, stock, accounts and users of the read side, as the REST API shows them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime  # noqa: TC003 - FastAPI reads the annotations

RESTING = frozenset({"completed", "rejected", "needs_attention"})
"""States in which an order changes no more without a decision."""


@dataclass(frozen=True, slots=True)
class Item:
    sku: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the order's saga. `state`: as in `done`."""

    name: str
    state: str
    attempts: int
    error: str


@dataclass(frozen=True, slots=True)
class Order:
    """An order. `state`: as in `pending`; amounts in cents."""

    id: str
    user_id: str
    state: str
    items: list[Item]
    total_cents: int
    reason: str
    steps: list[Step]
    placed_at: datetime
    updated_at: datetime
    version: int


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """An event of an order. `data` is JSON."""

    version: int
    type: str
    occurred_at: datetime
    data: str


@dataclass(frozen=True, slots=True)
class Stock:
    """An item in stock."""

    sku: str
    title: str
    price_cents: int
    available: int


@dataclass(frozen=True, slots=True)
class Balance:
    user_id: str
    balance_cents: int


@dataclass(frozen=True, slots=True)
class Booking:
    key: str
    kind: str
    amount_cents: int
    balance_after_cents: int
    booked_at: datetime


@dataclass(frozen=True, slots=True)
class UserView:
    """A user of the read side. `balance_cents` and `phone`: only for that user itself."""

    id: str
    name: str
    email: str
    status: str
    total_orders: int
    last_activity: datetime | None
    balance_cents: int | None = field(default=None)
    phone: str | None = field(default=None)
