"""Orders in the database: a row for each, and its events, in one transaction.

Concurrency is optimistic: a row is changed only at the version that its driver has read. Of two drivers that store the
next event of an order, one fails with OrderChangedError.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import exc

from services.common.event_sourcing.event_store import Entity, EventStore
from services.common.event_sourcing.event_types import StoredEvent
from services.common.storage.consistency_token import record_write
from services.common.storage.database import translate_store_errors
from services.common.storage.transactions import make_tables
from services.order import domain, saga
from services.order.app import KeyTakenError, OrderChangedError
from services.order.domain import OrderState
from services.order.event_types import CODEC, TYPES, evolve
from services.order.library_events import copy_library_events
from services.order.saga_metrics import SagaOverview
from services.order.tables import events, metadata, orders, snapshots

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from services.order.domain import Order
    from services.order.events import Event, OrderPlaced

SOURCE = "order"
SNAPSHOT_EVERY = 25
"""Events between snapshots. Most orders need none; an order whose participants were unavailable for long does."""
ORDERS = Entity(SOURCE, events, snapshots, TYPES, domain.Order, evolve, SNAPSHOT_EVERY)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class DatabaseOrders:
    """Orders, their events and leases. Every method may raise StoreUnavailableError."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._reading = engine
        self._writing = engine.execution_options(writes=True)
        self._store = EventStore(ORDERS, engine)
        self.log = self._store.log
        """The events of all orders in their order, for the outbox publisher."""

    async def prepare(self) -> None:
        """Creates missing tables, and takes the events of earlier releases over."""
        await make_tables(self._reading, metadata)
        with translate_store_errors():
            async with self._writing.begin() as connection:
                await copy_library_events(connection, self._store)

    async def add(self, order_id: str, event: OrderPlaced, at: datetime) -> Order:
        """Raises KeyTakenError."""
        order = domain.placed(order_id, event, at)
        try:
            with translate_store_errors():
                async with self._writing.begin() as connection:
                    await connection.execute(sa.insert(orders).values(id=order.id, key=order.key, **_row(order)))
                    sequence = await self._append(connection, order, 0, [event], at)
        except exc.IntegrityError as error:
            raise KeyTakenError from error
        record_write(SOURCE, sequence)
        return order

    async def append(self, order: Order, happened: Sequence[Event], at: datetime) -> Order:
        """Appends events; raises OrderChangedError if the order has changed since it was read."""
        after = order
        for event in happened:
            after = domain.evolve(after, event, at)
        seen = sa.and_(orders.c.id == order.id, orders.c.version == order.version)
        try:
            with translate_store_errors():
                async with self._writing.begin() as connection:
                    done = await connection.execute(sa.update(orders).where(seen).values(_row(after)))
                    if done.rowcount != 1:
                        raise OrderChangedError
                    sequence = await self._append(connection, after, order.version, happened, at)
        except exc.IntegrityError as error:
            raise OrderChangedError from error
        record_write(SOURCE, sequence)
        return after

    async def get(self, order_id: str) -> Order | None:
        """The sum of the order's events."""
        with translate_store_errors():
            async with self._reading.connect() as connection:
                order, _ = await self._store.state(connection, order_id)
        return order

    async def history(self, order_id: str, after: int = 0) -> Sequence[StoredEvent[Event]]:
        """The events after that version, in their order."""
        with translate_store_errors():
            async with self._reading.connect() as connection:
                return await self._store.history(connection, order_id, after)

    async def with_key(self, key: str) -> Order | None:
        """The order that was placed with that key."""
        return next(iter(await self._documents(sa.select(orders).where(orders.c.key == key))), None)

    async def version(self, order_id: str) -> int:
        """Number of events of the order; 0 if it does not exist."""
        query = sa.select(orders.c.version).where(orders.c.id == order_id)
        with translate_store_errors():
            async with self._reading.connect() as connection:
                return int(await connection.scalar(query) or 0)

    async def page(self, user_id: str, states: Sequence[OrderState], before: str, limit: int) -> Sequence[Order]:
        """Newest first; empty arguments do not filter."""
        query = sa.select(orders).order_by(orders.c.id.desc()).limit(limit)
        if user_id:
            query = query.where(orders.c.user_id == user_id)
        if states:
            query = query.where(orders.c.state.in_([state.value for state in states]))
        if before:
            query = query.where(orders.c.id < before)
        return await self._documents(query)

    async def due(self, now: datetime, limit: int) -> Sequence[str]:
        """Ids of due orders without a lease, the longest due first."""
        free = sa.and_(orders.c.due_at <= _milliseconds(now), orders.c.lease_until <= _milliseconds(now))
        query = sa.select(orders.c.id).where(free).order_by(orders.c.due_at).limit(limit)
        with translate_store_errors():
            async with self._reading.connect() as connection:
                return list(await connection.scalars(query))

    async def overview(self, now: datetime) -> SagaOverview:
        """Orders in progress, and the delay of the longest due one."""
        under_way = [OrderState.PENDING.value, OrderState.COMPENSATING.value, OrderState.NEEDS_ATTENTION.value]
        counting = sa.select(orders.c.state, sa.func.count()).where(orders.c.state.in_(under_way))
        first = sa.select(sa.func.min(orders.c.due_at)).where(orders.c.due_at <= _milliseconds(now))
        with translate_store_errors():
            async with self._reading.connect() as connection:
                found = {row.state: row[1] for row in await connection.execute(counting.group_by(orders.c.state))}
                since = await connection.scalar(first)
        counts = {state: found.get(state, 0) for state in under_way}
        return SagaOverview(counts, 0.0 if since is None else (_milliseconds(now) - since) / 1000)

    async def claim(self, order_id: str, driver: str, now: datetime, until: datetime) -> bool:
        """Acquires or renews the lease until `until`; returns whether the driver holds it."""
        mine = sa.or_(orders.c.driver == driver, orders.c.lease_until <= _milliseconds(now))
        taking = {"driver": driver, "lease_until": _milliseconds(until)}
        return await self._update(sa.and_(orders.c.id == order_id, mine), taking)

    async def give_back(self, order_id: str, driver: str) -> None:
        """Releases the lease."""
        mine = sa.and_(orders.c.id == order_id, orders.c.driver == driver)
        await self._update(mine, {"driver": "", "lease_until": 0})

    async def _update(self, which: sa.ColumnElement[bool], values: dict[str, Any]) -> bool:
        with translate_store_errors():
            async with self._writing.begin() as connection:
                done = await connection.execute(sa.update(orders).where(which).values(values))
        return done.rowcount == 1

    async def _documents(self, query: sa.Select[Any]) -> Sequence[Order]:
        with translate_store_errors():
            async with self._reading.connect() as connection:
                rows = await connection.execute(query)
                return [CODEC.decode(row.document) for row in rows]

    async def _append(
        self, connection: AsyncConnection, order: Order, after: int, happened: Sequence[Event], at: datetime
    ) -> int:
        """All events of an order belong to the trace in which it was placed."""
        stored = [StoredEvent(0, event, at) for event in happened]
        return await self._store.append(connection, order.id, stored, after=after, trace=order.traceparent)


def _row(order: Order) -> dict[str, Any]:
    """What events change in the order's row."""
    due = saga.due(order)
    return {
        "user_id": order.user_id,
        "state": order.state.value,
        "version": order.version,
        "due_at": None if due is None else _milliseconds(due),
        "document": CODEC.encode(order),
    }


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MILLISECOND
