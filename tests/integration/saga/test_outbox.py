"""What the outbox holds is what happened, and a reader that never looks back misses nothing."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from services.common.messaging.outbox import Outbox, outbox_table
from services.common.storage.transactions import make_tables
from services.inventory.adapters import DatabaseStore as InventoryStore
from services.inventory.app import CATALOGUE, Warehouse
from services.inventory.domain import Item
from services.payment.adapters import DatabaseStore as PaymentStore
from services.payment.app import Cashier

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def test_each_booking_is_told_with_what_it_did(engine: AsyncEngine) -> None:
    store = PaymentStore(engine)
    await store.prepare()
    cashier = Cashier(store)
    for _ in range(2):
        await cashier.deposit("d", "ada", 1000)
        await cashier.charge("c", "ada", 400)
        await cashier.charge("too-much", "ada", 4000)
        await cashier.refund("c")
    events = await store.events.after(0, 100)
    assert [(event.type, event.subject) for event in events] == [
        ("demo.payment.Deposited.v1", "ada"),
        ("demo.payment.Charged.v1", "ada"),
        ("demo.payment.Refunded.v1", "ada"),
    ]
    assert [event.data for event in events] == [
        {"user_id": "ada", "amount_cents": 1000, "balance_after_cents": 1000, "key": "d"},
        {"user_id": "ada", "amount_cents": 400, "balance_after_cents": 600, "key": "c"},
        {"user_id": "ada", "amount_cents": 400, "balance_after_cents": 1000, "key": "c"},
    ]
    assert await store.events.after(events[0].sequence, 1) == [events[1]]


async def test_each_movement_of_stock_is_told_once(engine: AsyncEngine) -> None:
    store = InventoryStore(engine)
    await store.prepare()
    warehouse = Warehouse(store)
    await asyncio.gather(warehouse.fill(), warehouse.fill())
    sku = CATALOGUE[0].sku
    for key in ("a", "a", "b"):
        await warehouse.reserve(key, [Item(sku, 2)])
    await warehouse.ship("a")
    await warehouse.release("b")
    await warehouse.release("never")
    events = [event for event in await store.events.after(0, 100) if event.name != "Restocked"]
    assert [(event.name, event.subject) for event in events] == [
        ("Reserved", "a"),
        ("Reserved", "b"),
        ("Shipped", "a"),
        ("Released", "b"),
    ]
    assert events[0].data == {"key": "a", "items": [{"sku": sku, "quantity": 2}]}
    assert len(await store.events.after(0, 100)) == len(CATALOGUE) + 4


async def test_an_event_never_appears_before_one_that_a_reader_has_passed(engine: AsyncEngine) -> None:
    metadata = sa.MetaData()
    outbox = Outbox("shop", outbox_table(metadata), engine)
    await make_tables(engine, metadata)
    added, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        async with engine.execution_options(writes=True).begin() as connection:
            await outbox.add(connection, "Sold.v1", "slow", {}, NOW)
            added.set()
            await go_on.wait()

    async def quick() -> None:
        async with engine.execution_options(writes=True).begin() as connection:
            await outbox.add(connection, "Sold.v1", "quick", {}, NOW)

    first = asyncio.create_task(slow())
    await added.wait()
    second = asyncio.create_task(quick())
    # An outbox that let it overtake would do so well within this time.
    await asyncio.wait({second}, timeout=0.3)
    read = list(await outbox.after(0, 10))
    go_on.set()
    await asyncio.gather(first, second)
    read += await outbox.after(read[-1].sequence if read else 0, 10)
    assert [event.subject for event in read] == ["slow", "quick"]
