"""Users hear of their orders: each thing once, however many replicas follow, however often they start."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from demo.notification.v1 import notification_pb2 as pb
from services.common.messaging import event_consumer
from services.common.messaging.bus import Bus, BusConfig, open_bus
from services.common.messaging.events import Event
from services.common.messaging.outbox_publisher import OutboxPublisher
from support.demo.realtime import titles
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence


class Orders:
    """The order service's log, and its publisher."""

    def __init__(self, bus: Bus) -> None:
        self.events: list[Event] = []
        self.publisher = OutboxPublisher(bus, "order", self)

    async def after(self, sequence: int, limit: int) -> Sequence[Event]:
        return [event for event in self.events if event.sequence > sequence][:limit]

    async def happen(self, name: str, user_id: object = "ada", age: timedelta = timedelta(), **data: object) -> None:
        number = len(self.events) + 1
        moment = datetime.now(UTC) - age
        about = {"user_id": user_id, **data}
        self.events.append(Event("order", number, f"demo.order.{name}.v1", f"o{number}", moment, about))
        await self.publisher.publish_all()


@pytest.fixture
async def orders(nats) -> AsyncIterator[Orders]:
    async with open_bus(BusConfig((nats.url,)), "order") as bus:
        yield Orders(bus)


async def test_an_orders_user_is_told_what_became_of_it(notifier, orders):
    async with notifier() as a, a.subscribed("ada", pb.ORDER_UPDATE) as ada:
        await orders.happen("OrderPlaced", items=[])
        await orders.happen("StepCompleted", step="pay")
        await orders.happen("OrderCompleted", user_id="bob")
        await orders.happen("OrderCompleted", total_cents=4200)
        await orders.happen("OrderRejected", reason="out of stock")
        await orders.happen("OrderCompleted", user_id=7)
        await orders.happen("OrderNeedsAttention", reason="refund failed")
        told = ["Order placed", "Order completed", "Order rejected", "Order needs attention"]
        await eventually(lambda: titles(ada) == told)
    placed, completed, rejected, _ = ada.got[1:]
    assert dict(placed.data) == {"order_id": "o1", "status": "placed"}
    assert dict(completed.data) == {"order_id": "o4", "status": "completed", "total_cents": "4200"}
    assert rejected.data["reason"] == "out of stock"
    assert rejected.message.endswith(": out of stock")


async def test_each_event_is_told_once_by_any_number_of_replicas_that_come_and_go(notifier, orders):
    async with notifier() as watching, watching.subscribed("ada") as ada:
        for round_ in range(3):
            async with contextlib.AsyncExitStack() as stack:
                for _ in range(3):
                    await stack.enter_async_context(notifier())
                for _ in range(20):
                    await orders.happen("OrderCompleted")
                await eventually(lambda count=20 * (round_ + 1): len(titles(ada)) >= count)
        await watching.send("ada", "last")
        await eventually(lambda: titles(ada)[-1] == "last")
    told = [item.data["order_id"] for item in ada.got[1:-1]]
    assert told == [f"o{number}" for number in range(1, 61)]


async def test_orders_of_a_log_that_was_lost_and_then_its_stream_are_told(notifier, orders, nats, monkeypatch):
    monkeypatch.setattr(event_consumer, "QUIET_SECONDS", 0.5)
    monkeypatch.setattr(event_consumer, "SETTLED_SECONDS", 0.3)
    async with notifier() as a, notifier(), a.subscribed("ada") as ada:
        for _ in range(5):
            await orders.happen("OrderCompleted")
        await eventually(lambda: len(titles(ada)) == 5)
        async with open_bus(BusConfig((nats.url,)), "an operator") as bus:
            await bus.streams.delete_stream("EVENTS_ORDER")
        orders.events = [replace(orders.events[-1], sequence=1)]
        await orders.happen("OrderRejected", reason="out of stock")
        await eventually(lambda: len(titles(ada)) > 5)
        await orders.happen("OrderNeedsAttention", reason="refund failed")
        await eventually(lambda: titles(ada)[-1] == "Order needs attention")
    assert titles(ada)[5:] == ["Order rejected", "Order needs attention"]


async def test_what_happened_while_no_replica_ran_is_told_when_one_starts_unless_it_is_too_old(notifier, orders):
    await orders.happen("OrderCompleted", age=timedelta(days=8))
    await orders.happen("OrderCompleted", age=timedelta(days=1))
    async with notifier() as a, a.subscribed("ada") as first:
        await orders.happen("OrderCompleted")
        await eventually(lambda: first.got[-1].data.get("order_id") == "o3")
    await orders.happen("OrderCompleted")
    async with notifier() as b, b.subscribed("ada", after=first.got[0].id) as second:
        await orders.happen("OrderCompleted")
        await eventually(lambda: second.got[-1].data.get("order_id") == "o5")
    told = [item.data["order_id"] for item in second.got[1:]]
    assert told in (["o2", "o3", "o4", "o5"], ["o3", "o4", "o5"])
    assert [item.data["order_id"] for item in first.got[1:]] == told[:-2]
