"""The stored names of the events of orders, their versions, and how old ones are upcast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.common.event_sourcing.event_types import EventTypes, StateCodec
from services.order import domain, events

if TYPE_CHECKING:
    from datetime import datetime

    from services.order.domain import Order
    from services.order.events import Event


def _items_as_list(data: dict[str, Any]) -> dict[str, Any]:
    """Version 1 of OrderPlaced held items as a mapping of skus to quantities."""
    items = [{"sku": sku, "quantity": quantity} for sku, quantity in sorted(data["items"].items())]
    return {**data, "items": items}


TYPES: EventTypes[Any] = EventTypes(
    *(events.OrderPlaced, events.OrderCompleted, events.OrderRejected),
    *(events.StepStarted, events.StepFailed, events.StepCompleted, events.StepRefused, events.StepAbandoned),
    *(events.CompensationStarted, events.CompensationFailed, events.CompensationCompleted),
    *(events.OrderNeedsAttention, events.AttentionResolved),
    upcasters={("OrderPlaced", 1): _items_as_list},
)
CODEC = StateCodec(domain.Order)
"""An order as JSON."""


def evolve(order: Order | None, event: Event, at: datetime, order_id: str) -> Order:
    """Applies an event; the first one creates the order."""
    if isinstance(event, events.OrderPlaced):
        return domain.placed(order_id, event, at)
    if order is None:
        raise ValueError(f"the first event of order {order_id} is no OrderPlaced")
    return domain.evolve(order, event, at)
