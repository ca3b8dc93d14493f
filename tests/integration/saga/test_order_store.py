"""What the event store promises: nothing stored twice, old events understood, one driver at a time."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from services.common.runtime.errors import StoreUnavailableError
from services.common.runtime.ids import new_id
from services.common.storage.database import open_database
from services.order import domain, saga
from services.order.app import KeyTakenError, OrderChangedError
from services.order.event_types import TYPES
from services.order.events import (
    Item,
    OrderNeedsAttention,
    OrderPlaced,
    StepCompleted,
    StepFailed,
    StepName,
    StepStarted,
)
from services.order.saga_metrics import SagaMetrics
from services.order.store import SNAPSHOT_EVERY, DatabaseOrders
from services.order.tables import events, orders

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.servers.postgres import Cluster

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ITEMS = (Item("TEA", 2), Item("MUG", 1))


@pytest.fixture
def url(new_database) -> str:
    return new_database("orders")


@pytest.fixture
async def store(url: str) -> AsyncIterator[DatabaseOrders]:
    async for made in opened(url):
        yield made


async def opened(url: str) -> AsyncIterator[DatabaseOrders]:
    engine = open_database("ORDER_DATABASE_URL", url)
    made = DatabaseOrders(engine)
    await made.prepare()
    yield made
    await engine.dispose()


def order_id(number: int) -> str:
    return new_id(NOW + number * SECOND, bytes)


async def placed(store: DatabaseOrders, number: int = 1, user: str = "ada") -> domain.Order:
    return await store.add(order_id(number), OrderPlaced(f"k{number}", user, ITEMS), NOW)


async def failed_often(store: DatabaseOrders, order: domain.Order, times: int) -> domain.Order:
    for attempt in range(1, times + 1):
        facts = [StepStarted(StepName.RESERVE, attempt), StepFailed(StepName.RESERVE, "away", NOW + attempt * SECOND)]
        order = await store.append(order, facts, NOW + attempt * SECOND)
    return order


async def test_an_order_is_the_sum_of_its_facts(store):
    order = await placed(store)
    after = await store.append(order, [StepStarted(StepName.RESERVE, 1)], NOW + SECOND)
    after = await store.append(after, [StepCompleted(StepName.RESERVE, 1700)], NOW + 2 * SECOND)
    assert after == await store.get(order.id) == await store.with_key("k1")
    assert (after.version, after.total_cents, after.updated_at) == (3, 1700, NOW + 2 * SECOND)
    assert (after.items, after.step(StepName.RESERVE).state) == (ITEMS, domain.StepState.DONE)
    assert await store.version(order.id) == 3
    assert [entry.version for entry in await store.history(order.id, 1)] == [2, 3]


async def test_of_two_who_have_seen_the_same_order_one_stores_what_comes_next(store):
    order = await placed(store)
    attempts = [store.append(order, [StepStarted(StepName.RESERVE, 1)], NOW) for _ in range(6)]
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Order"] + ["OrderChangedError"] * 5
    assert await store.version(order.id) == 2
    with pytest.raises(OrderChangedError):
        await store.append(order, [StepStarted(StepName.RESERVE, 1)], NOW)


async def test_a_key_is_taken_once(store):
    attempts = [store.add(order_id(number), OrderPlaced("k", "ada", ITEMS), NOW) for number in range(6)]
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    assert sorted(type(outcome) is KeyTakenError for outcome in outcomes) == [False] + [True] * 5
    assert len(await store.page("", [], "", 10)) == 1
    assert len(await store.log.after(0, 10)) == 1


async def test_a_long_order_is_read_from_its_snapshot(store, monkeypatch: pytest.MonkeyPatch):
    order = await failed_often(store, await placed(store), SNAPSHOT_EVERY)
    read = []
    decode = TYPES.event_of
    monkeypatch.setattr(TYPES, "event_of", lambda kind, data: read.append(kind) or decode(kind, data))
    assert await store.get(order.id) == order
    assert read == []
    # The snapshot is of the last of two events.
    assert order.version == 2 * SNAPSHOT_EVERY + 1
    after = await store.append(order, [StepStarted(StepName.RESERVE, SNAPSHOT_EVERY + 1)], NOW)
    assert await store.get(order.id) == after
    assert read == ["demo.order.StepStarted.v1"]


async def test_an_order_of_before_the_change_is_understood_driven_and_told_as_it_would_be_today(store, url):
    order = order_id(1)
    data = {"key": "old", "user_id": "ada", "items": {"TEA": 2, "MUG": 1}}
    row = {"id": order, "key": "old", "user_id": "ada", "state": "PENDING", "version": 1, "due_at": 0, "document": "{}"}
    event = {
        "type": "demo.order.OrderPlaced.v1",
        "subject": order,
        "occurred_at": NOW,
        "traceparent": "",
        "data": json.dumps(data),
        "version": 1,
    }
    engine = open_database("ORDER_DATABASE_URL", url)
    async with engine.begin() as connection:
        await connection.execute(sa.insert(orders).values(row))
        await connection.execute(sa.insert(events).values(event))

    found = await store.get(order)
    assert (found.items, found.traceparent, found.state) == (
        (Item("MUG", 1), Item("TEA", 2)),
        "",
        domain.OrderState.PENDING,
    )
    assert saga.next_step(found, NOW) == saga.Do(StepName.RESERVE, 1)
    after = await store.append(found, [StepStarted(StepName.RESERVE, 1)], NOW)
    assert await store.with_key("old") == after
    told = await store.log.after(0, 10)
    assert [event.type for event in told] == ["demo.order.OrderPlaced.v2", "demo.order.StepStarted.v1"]
    assert told[0].data["items"] == [{"sku": "MUG", "quantity": 1}, {"sku": "TEA", "quantity": 2}]
    async with engine.connect() as connection:
        assert await connection.scalar(sa.select(events.c.data).where(events.c.version == 1)) == json.dumps(data)
    await engine.dispose()


async def test_events_are_told_in_the_order_of_their_positions_with_their_data(store):
    order = await placed(store)
    await failed_often(store, order, 1)
    other = await placed(store, 2)
    told = await store.log.after(0, 10)
    assert [(event.name, event.subject) for event in told] == [
        ("OrderPlaced", order.id),
        ("StepStarted", order.id),
        ("StepFailed", order.id),
        ("OrderPlaced", other.id),
    ]
    assert told[0].data == {"key": "k1", "user_id": "ada", "items": [vars(item) for item in ITEMS]}
    assert told[2].data == {"step": "reserve_inventory", "error": "away", "retry_at": (NOW + SECOND).isoformat()}
    assert [event.subject for event in await store.log.after(told[2].sequence, 10)] == [other.id]
    assert len(await store.log.after(0, 3)) == 3


async def test_an_order_is_driven_by_one_until_its_lease_has_run_out(store):
    order = await placed(store)
    assert list(await store.due(NOW, 10)) == [order.id]
    claims = [store.claim(order.id, f"driver {number}", NOW, NOW + 5 * SECOND) for number in range(6)]
    won = await asyncio.gather(*claims)
    assert sorted(won) == [False] * 5 + [True]
    winner = f"driver {won.index(True)}"
    assert list(await store.due(NOW + 4 * SECOND, 10)) == []
    assert await store.claim(order.id, winner, NOW + 4 * SECOND, NOW + 9 * SECOND)
    assert list(await store.due(NOW + 8 * SECOND, 10)) == []
    assert list(await store.due(NOW + 9 * SECOND, 10)) == [order.id]
    assert await store.claim(order.id, "another", NOW + 9 * SECOND, NOW + 14 * SECOND)
    assert not await store.claim(order.id, winner, NOW + 10 * SECOND, NOW + 15 * SECOND)
    await store.give_back(order.id, winner)
    assert list(await store.due(NOW + 10 * SECOND, 10)) == []
    await store.give_back(order.id, "another")
    assert list(await store.due(NOW + 10 * SECOND, 10)) == [order.id]


async def test_a_step_that_waits_is_due_when_its_time_has_come(store):
    order = await failed_often(store, await placed(store), 3)
    assert list(await store.due(NOW + 2 * SECOND, 10)) == []
    assert list(await store.due(NOW + 3 * SECOND, 10)) == [order.id]
    assert saga.next_step(order, NOW) == saga.Wait(NOW + 3 * SECOND)


async def test_metrics_tell_how_many_sagas_are_under_way_and_since_when_one_waits_for_a_driver(store):
    registry = CollectorRegistry()
    metrics = SagaMetrics(registry)
    await placed(store, 1)
    order = await placed(store, 2)
    stuck = [StepStarted(StepName.RESERVE, 1), OrderNeedsAttention(StepName.RESERVE, "ada", "no answer")]
    await store.append(order, stuck, NOW)
    metrics.show(await store.overview(NOW + 90 * SECOND))
    values = {
        state: registry.get_sample_value("saga_orders", {"state": state}) for state in ("PENDING", "COMPENSATING")
    }
    assert values == {"PENDING": 1, "COMPENSATING": 0}
    assert registry.get_sample_value("saga_orders", {"state": "NEEDS_ATTENTION"}) == 1
    assert registry.get_sample_value("saga_overdue_seconds") == 90
    assert (await store.overview(NOW - SECOND)).overdue == 0


async def test_replicas_that_start_at_once_share_one_new_database(url):
    engines = [open_database("ORDER_DATABASE_URL", url) for _ in range(4)]
    stores = [DatabaseOrders(engine) for engine in engines]
    await asyncio.gather(*(store.prepare() for store in stores))
    made = [await placed(store, number) for number, store in enumerate(stores)]
    for store, engine in zip(stores, engines, strict=True):
        assert [order.id for order in await store.page("", [], "", 10)] == [order.id for order in reversed(made)]
        await engine.dispose()


async def test_a_password_that_the_url_leaves_out_is_that_of_pgpassword(postgres: Cluster, monkeypatch):
    url = postgres.new_guarded_database("o pen;sesame")
    monkeypatch.setenv("PGPASSWORD", "o pen;sesame")
    async for store in opened(url):
        assert (await placed(store)).id == order_id(1)


async def test_a_url_says_whether_the_way_to_postgresql_is_encrypted(postgres: Cluster) -> None:
    """This server cannot encrypt."""
    url = postgres.new_database()
    async for made in opened(f"{url}?sslmode=prefer"):
        order = await placed(made)
        assert await made.get(order.id) == order
    with pytest.raises(StoreUnavailableError):
        await anext(opened(f"{url}?sslmode=require"))
