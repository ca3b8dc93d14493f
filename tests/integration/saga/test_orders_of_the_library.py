"""A database in which the `eventsourcing` library kept orders is taken over at the first start."""

from __future__ import annotations

import asyncio
import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from services.common.runtime.errors import StoreUnavailableError
from services.common.storage.database import open_database
from services.common.storage.transactions import make_tables
from services.order import saga
from services.order.domain import OrderState, StepState
from services.order.events import Item, OrderPlaced, StepName, StepStarted
from services.order.store import DatabaseOrders
from services.order.tables import metadata, orders

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
FIRST, SECOND = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))
LAST_POSITION = 9


def tagged(moment: datetime) -> dict[str, str]:
    return {"_type_": "datetime_iso", "_data_": moment.isoformat()}


def item(sku: str, quantity: int) -> dict[str, object]:
    return {"_type_": "item", "_data_": {"sku": sku, "quantity": quantity}}


def stored() -> list[tuple[int, str, int, str, dict[str, object]]]:
    """Position, order, version, topic, state; there may be gaps between positions."""
    of_old: dict[str, object] = {"originator_topic": "order.Order", "key": "k1", "user_id": "ada", "items": {"TEA": 2}}
    present: dict[str, object] = {
        "originator_topic": "order.Order",
        "key": "k2",
        "user_id": "bob",
        "items": [item("MUG", 1)],
        "traceparent": TRACE,
        "class_version": 2,
    }
    failed: dict[str, object] = {
        "step": "reserve_inventory",
        "error": "away",
        "retry_at": tagged(NOW + timedelta(seconds=5)),
    }
    return [
        (1, FIRST, 1, "order.OrderPlaced", of_old),
        (2, SECOND, 1, "order.OrderPlaced", present),
        (4, SECOND, 2, "order.StepStarted", {"step": "reserve_inventory", "attempt": 1}),
        (LAST_POSITION, SECOND, 3, "order.StepFailed", failed),
    ]


TABLES = {
    "sqlite": (
        "CREATE TABLE stored_events (originator_id TEXT, originator_version INTEGER, topic TEXT, state BLOB, "
        "PRIMARY KEY (originator_id, originator_version))",
        "INSERT INTO stored_events (rowid, originator_id, originator_version, topic, state) "
        "VALUES (:position, :id, :version, :topic, :state)",
    ),
    "postgresql": (
        "CREATE TABLE ordersapplication_events (originator_id uuid NOT NULL, originator_version bigint NOT NULL, "
        "topic text, state bytea, notification_id bigserial, PRIMARY KEY (originator_id, originator_version))",
        "INSERT INTO ordersapplication_events (notification_id, originator_id, originator_version, topic, state) "
        "VALUES (:position, CAST(:id AS uuid), :version, :topic, :state)",
    ),
}


@pytest.fixture
async def engine(new_database):
    """The database as the release with the library has left it."""
    made = open_database("ORDER_DATABASE_URL", new_database("orders"))
    await make_tables(made, sa.MetaData())
    create, insert = TABLES[made.dialect.name]
    async with made.execution_options(writes=True).begin() as connection:
        await connection.run_sync(lambda sync: metadata.create_all(sync, [orders]))
        await connection.execute(sa.text(create))
        for position, order, version, topic, state in stored():
            body = {"timestamp": tagged(NOW), **state}
            key = uuid.UUID(order).hex
            values = {"position": position, "id": key, "version": version, "topic": topic}
            await connection.execute(sa.text(insert), {**values, "state": json.dumps(body).encode()})
        for number, (order, version) in enumerate(((FIRST, 1), (SECOND, 3)), 1):
            row = {"id": order, "key": f"k{number}", "user_id": "ada", "state": "PENDING", "version": version}
            await connection.execute(sa.insert(orders).values(**row, document='{"_type_": "order", "_data_": {}}'))
    yield made
    await made.dispose()


async def test_its_orders_are_read_listed_driven_and_told_as_before(engine):
    store = DatabaseOrders(engine)
    await store.prepare()
    first, second = await store.get(FIRST), await store.get(SECOND)
    assert first is not None
    assert second is not None
    assert (first.items, first.version, first.traceparent) == ((Item("TEA", 2),), 1, "")
    assert (second.items, second.version, second.traceparent) == ((Item("MUG", 1),), 3, TRACE)
    assert second.step(StepName.RESERVE).state is StepState.WAITING
    assert saga.next_step(second, NOW) == saga.Wait(NOW + timedelta(seconds=5))
    assert await store.page("", [OrderState.PENDING], "", 10) == [second, first]
    told = await store.log.after(0, 10)
    assert [(event.sequence, event.type, event.subject, event.traceparent) for event in told] == [
        (1, "demo.order.OrderPlaced.v2", FIRST, ""),
        (2, "demo.order.OrderPlaced.v2", SECOND, TRACE),
        (4, "demo.order.StepStarted.v1", SECOND, TRACE),
        (LAST_POSITION, "demo.order.StepFailed.v1", SECOND, TRACE),
    ]
    assert told[1].data == {"key": "k2", "user_id": "bob", "items": [{"sku": "MUG", "quantity": 1}]}
    assert {event.time for event in told} == {NOW}


async def test_new_events_follow_the_last_position(engine):
    store = DatabaseOrders(engine)
    await store.prepare()
    order = await store.get(SECOND)
    assert order is not None
    await store.append(order, [StepStarted(StepName.RESERVE, 2)], NOW)
    await store.add(str(uuid.UUID(int=3)), OrderPlaced("k3", "ada", (Item("TEA", 1),)), NOW)
    positions = [event.sequence for event in await store.log.after(LAST_POSITION, 10)]
    assert len(positions) == 2
    assert LAST_POSITION < positions[0] < positions[1]


async def test_replicas_that_start_at_once_take_them_over_once(engine):
    stores = [DatabaseOrders(engine) for _ in range(4)]
    await asyncio.gather(*(store.prepare() for store in stores))
    assert len(await stores[0].log.after(0, 100)) == len(stored())


async def test_a_replica_of_the_earlier_release_fails_instead_of_writing_what_is_not_read(engine):
    await DatabaseOrders(engine).prepare()
    _, insert = TABLES[engine.dialect.name]
    values = {"position": 10, "id": uuid.UUID(FIRST).hex, "version": 2, "topic": "order.StepStarted", "state": b"{}"}
    with pytest.raises(sa.exc.SQLAlchemyError, match=r"no such table|does not exist"):
        async with engine.execution_options(writes=True).begin() as connection:
            await connection.execute(sa.text(insert), values)


async def test_events_that_an_earlier_release_wrote_after_all_are_reported_and_left_alone(engine, caplog):
    store = DatabaseOrders(engine)
    await store.prepare()
    create, _ = TABLES[engine.dialect.name]
    async with engine.execution_options(writes=True).begin() as connection:
        await connection.execute(sa.text(create))
    await store.prepare()
    assert "has events that are not read" in caplog.text
    assert len(await store.log.after(0, 100)) == len(stored())


async def test_what_cannot_be_read_is_left_as_it_was(engine):
    table = "stored_events" if engine.dialect.name == "sqlite" else "ordersapplication_events"
    async with engine.execution_options(writes=True).begin() as connection:
        await connection.execute(sa.text(f"UPDATE {table} SET state = :state"), {"state": b"no JSON"})
    with pytest.raises((ValueError, StoreUnavailableError)):
        await DatabaseOrders(engine).prepare()
    async with engine.connect() as connection:
        assert await connection.scalar(sa.text(f"SELECT count(*) FROM {table}")) == len(stored())
