"""Orders in the event-sourcing library: the aggregate, its events by name and version, and its snapshots.

The library's events are the domain's events with an order, a version and a time; `evolve` applies them. Their topics
are fixed names, not module paths, so that modules can move while stored events stay.

An event whose fields change gets a new `class_version` and an upcaster from the previous version. Stored events are
never rewritten: they are upcast when they are read, and published in the new version.
"""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import TYPE_CHECKING, Any

from eventsourcing.domain import Aggregate
from eventsourcing.persistence import Transcoding
from eventsourcing.utils import register_topic

from services.order import domain, events

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.order.events import Event


class OrderAggregate(Aggregate):
    """Holds an `Order`."""

    TOPIC = "order.Order"

    if TYPE_CHECKING:
        # Only for type checking: at run time the library would make it an argument of `__init__`.
        order: domain.Order

    class Event(Aggregate.Event):
        """An event of an order."""

        TOPIC = "order.Event"

        def apply(self, aggregate: OrderAggregate) -> None:
            aggregate.order = domain.evolve(aggregate.order, self, self.timestamp)  # type: ignore[arg-type]


class OrderPlaced(events.OrderPlaced, OrderAggregate.Event, Aggregate.Created):
    """Version 1 held items as a mapping of skus to quantities, and no trace."""

    TOPIC = "order.OrderPlaced"
    class_version = 2

    def apply(self, aggregate: OrderAggregate) -> None:
        aggregate.order = domain.placed(str(self.originator_id), self, self.timestamp)

    @staticmethod
    def upcast_v1_v2(state: dict[str, Any]) -> None:
        state["items"] = [events.Item(sku, quantity) for sku, quantity in sorted(state["items"].items())]
        state["traceparent"] = ""


class StepStarted(events.StepStarted, OrderAggregate.Event):
    TOPIC = "order.StepStarted"


class StepFailed(events.StepFailed, OrderAggregate.Event):
    TOPIC = "order.StepFailed"


class StepCompleted(events.StepCompleted, OrderAggregate.Event):
    TOPIC = "order.StepCompleted"


class StepRefused(events.StepRefused, OrderAggregate.Event):
    TOPIC = "order.StepRefused"


class StepAbandoned(events.StepAbandoned, OrderAggregate.Event):
    TOPIC = "order.StepAbandoned"


class CompensationStarted(events.CompensationStarted, OrderAggregate.Event):
    TOPIC = "order.CompensationStarted"


class CompensationFailed(events.CompensationFailed, OrderAggregate.Event):
    TOPIC = "order.CompensationFailed"


class CompensationCompleted(events.CompensationCompleted, OrderAggregate.Event):
    TOPIC = "order.CompensationCompleted"


class OrderNeedsAttention(events.OrderNeedsAttention, OrderAggregate.Event):
    TOPIC = "order.OrderNeedsAttention"


class AttentionResolved(events.AttentionResolved, OrderAggregate.Event):
    TOPIC = "order.AttentionResolved"


class OrderCompleted(events.OrderCompleted, OrderAggregate.Event):
    TOPIC = "order.OrderCompleted"


class OrderRejected(events.OrderRejected, OrderAggregate.Event):
    TOPIC = "order.OrderRejected"


EVENTS: Mapping[type[Any], type[OrderAggregate.Event]] = {
    events.OrderPlaced: OrderPlaced,
    events.StepStarted: StepStarted,
    events.StepFailed: StepFailed,
    events.StepCompleted: StepCompleted,
    events.StepRefused: StepRefused,
    events.StepAbandoned: StepAbandoned,
    events.CompensationStarted: CompensationStarted,
    events.CompensationFailed: CompensationFailed,
    events.CompensationCompleted: CompensationCompleted,
    events.OrderNeedsAttention: OrderNeedsAttention,
    events.AttentionResolved: AttentionResolved,
    events.OrderCompleted: OrderCompleted,
    events.OrderRejected: OrderRejected,
}
_DOMAIN_EVENTS: Mapping[type[Any], type[Any]] = {stored: event for event, stored in EVENTS.items()}


def register_topics() -> None:
    """Registers the stored names with the library."""
    register_topic(OrderAggregate.TOPIC, OrderAggregate)
    for kind in EVENTS.values():
        register_topic(kind.TOPIC, kind)


def fields_of(event: Event) -> dict[str, Any]:
    """The event's own fields, without the library's."""
    kind = _DOMAIN_EVENTS.get(type(event), type(event))
    return {field.name: getattr(event, field.name) for field in dataclasses.fields(kind)}


def plain_fields(event: Event) -> dict[str, Any]:
    """The event's own fields as JSON has them."""
    return {name: _plain(value) for name, value in fields_of(event).items()}


def name_of(event: object) -> str:
    """As in `OrderPlaced`."""
    return type(event).__name__


def version_of(event: object) -> int:
    """The version of the event's fields."""
    return int(getattr(type(event), "class_version", 1))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, events.Item):
        return {"sku": value.sku, "quantity": value.quantity}
    return [_plain(entry) for entry in value] if isinstance(value, list | tuple) else value


class ItemAsDict(Transcoding):
    type = events.Item
    name = "item"

    def encode(self, obj: events.Item) -> dict[str, Any]:
        return dict(vars(obj))

    def decode(self, data: dict[str, Any]) -> events.Item:
        return events.Item(**data)


class StepAsDict(Transcoding):
    type = domain.Step
    name = "step"

    def encode(self, obj: domain.Step) -> dict[str, Any]:
        return dict(vars(obj))

    def decode(self, data: dict[str, Any]) -> domain.Step:
        named = {"name": events.StepName(data["name"]), "state": domain.StepState(data["state"])}
        return domain.Step(**data | named)


class OrderAsDict(Transcoding):
    type = domain.Order
    name = "order"

    def encode(self, obj: domain.Order) -> dict[str, Any]:
        return dict(vars(obj))

    def decode(self, data: dict[str, Any]) -> domain.Order:
        typed = {
            "state": domain.OrderState(data["state"]),
            "items": tuple(data["items"]),
            "steps": tuple(data["steps"]),
        }
        return domain.Order(**data | typed)


TRANSCODINGS = (ItemAsDict, StepAsDict, OrderAsDict)
