"""Bodies of requests about orders and accounts."""

from __future__ import annotations

from pydantic import Field

from services.gateway.api.request_models import RequestModel, Text

MAX_ITEMS = 100
MAX_CENTS = 100_000_000


class OrderItem(RequestModel):
    """An item and its quantity."""

    sku: Text = Field(min_length=1, max_length=64, examples=["tea"])
    quantity: int = Field(ge=1, le=10_000, examples=[2])


class NewOrder(RequestModel):
    """A new order."""

    items: list[OrderItem] = Field(min_length=1, max_length=MAX_ITEMS)


class Deposit(RequestModel):
    """A deposit, in cents."""

    amount_cents: int = Field(ge=1, le=MAX_CENTS, examples=[5000])
