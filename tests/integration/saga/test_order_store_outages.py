"""PostgreSQL goes away under the event store: callers get an error soon, and a response soon after it is back."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from services.common.runtime.errors import StoreUnavailableError
from services.common.runtime.ids import new_id
from services.common.storage.database import open_database
from services.common.storage.postgresql import CONNECT_SECONDS, SILENCE_SECONDS
from services.order.events import Item, OrderPlaced, StepName, StepStarted
from services.order.store import DatabaseOrders
from support.processes import frozen
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from services.order.domain import Order
    from support.servers.postgres import Cluster

AT_ONCE = 8
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def store(own_postgres: Cluster) -> AsyncIterator[DatabaseOrders]:
    url = own_postgres.new_database()
    engine = open_database("ORDER_DATABASE_URL", url)
    made = DatabaseOrders(engine)
    await made.prepare()
    yield made
    await engine.dispose()


@pytest.fixture
async def order(store: DatabaseOrders) -> Order:
    return await store.add(new_id(NOW, os.urandom), OrderPlaced("k", "ada", (Item("TEA", 1),)), NOW)


async def refused(call: Callable[[], Awaitable[object]]) -> BaseException | None:
    """Why the store could not answer."""
    with pytest.raises(StoreUnavailableError) as caught:
        await call()
    return caught.value.__cause__


async def found_soon(store: DatabaseOrders, order: Order) -> None:
    async def found() -> bool:
        return await store.get(order.id) == order

    await eventually(found, 5, ignore=(StoreUnavailableError,))


@pytest.mark.slow
async def test_who_asks_while_the_database_is_away_is_told_so_and_leaves_no_connection_behind(
    store, order, own_postgres
):
    await asyncio.to_thread(own_postgres.stop)
    fact = StepStarted(StepName.RESERVE, 1)
    calls = (
        lambda: store.get(order.id),
        lambda: store.append(order, [fact], NOW),
        lambda: store.history(order.id),
        lambda: store.log.after(0, 10),
    )
    for _ in range(4):
        causes = await asyncio.gather(*(refused(call) for call in calls * (AT_ONCE // len(calls))))
        # Not "the pool is exhausted": then connections of failed calls were not given back.
        assert {type(cause) for cause in causes} == {sa.exc.OperationalError}
    await asyncio.to_thread(own_postgres.start)
    await found_soon(store, order)


@pytest.mark.slow
async def test_a_database_that_does_not_answer_holds_up_no_call_for_long(store, order, own_postgres):
    """As one that a broken network hides."""
    with frozen(*own_postgres.processes()):
        calls = [asyncio.create_task(refused(lambda: store.get(order.id))) for _ in range(2 * AT_ONCE)]
        _, waiting = await asyncio.wait(calls, timeout=CONNECT_SECONDS + SILENCE_SECONDS + 5)
        assert not waiting
    await found_soon(store, order)
