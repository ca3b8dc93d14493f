"""Orders in the event store: the library's application, and its use from asyncio.

The library is synchronous: its calls run in threads. Drivers use optimistic concurrency: of two that store an event
as the same version of an order, one fails with OrderChangedError.
"""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import sqlalchemy as sa
from eventsourcing import persistence
from eventsourcing.application import AggregateNotFoundError, Application

from meshwright.config import environment
from services.common.runtime.errors import StoreUnavailableError
from services.common.storage.consistency_token import record_write
from services.common.storage.database import SQLITE, parse_database, translate_store_errors
from services.common.storage.transactions import make_tables
from services.order import aggregate, saga
from services.order.aggregate import EVENTS, OrderAggregate, fields_of
from services.order.app import KeyTakenError, OrderChangedError, StoredEvent
from services.order.domain import OrderState
from services.order.recorders import SSLMODE, metadata, orders
from services.order.saga_metrics import SagaOverview

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from eventsourcing.persistence import JSONTranscoder
    from sqlalchemy.ext.asyncio import AsyncEngine

    from services.order.domain import Order
    from services.order.events import Event, OrderPlaced

T = TypeVar("T")

SOURCE = "order"
SNAPSHOT_EVERY = 25
"""Events between snapshots. Most orders need none; an order whose participants were unavailable for long does."""
THREADS = 8
ANSWER_SECONDS = 10.0
"""Timeout of a library call; a hanging call is abandoned."""
OPEN_ATTEMPTS = 50
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class OrdersApplication(Application[UUID]):
    """The library's side: event store, snapshots, notification log."""

    snapshotting_intervals = {OrderAggregate: SNAPSHOT_EVERY}  # noqa: RUF012 - the library's way to say it

    def register_transcodings(self, transcoder: JSONTranscoder) -> None:
        super().register_transcodings(transcoder)
        for transcoding in aggregate.TRANSCODINGS:
            transcoder.register(transcoding())


class DatabaseOrders:
    """Orders, their events and leases. Opened by `prepare`."""

    def __init__(self, variable: str, url: str, engine: AsyncEngine) -> None:
        self._url = parse_database(variable, url)
        self._reading = engine
        self._writing = engine.execution_options(writes=True)
        self._threads = ThreadPoolExecutor(THREADS, "orders")
        self._application: OrdersApplication | None = None

    @property
    def application(self) -> OrdersApplication:
        """The library's own object, once prepared."""
        if self._application is None:
            raise StoreUnavailableError
        return self._application

    async def prepare(self) -> None:
        """Creates missing tables, and opens the event store. Raises StoreUnavailableError."""
        await make_tables(self._reading, metadata)
        aggregate.register_topics()
        before = self._application
        for attempt in range(1, OPEN_ATTEMPTS + 1):
            try:
                self._application = await self._in_thread(lambda: OrdersApplication(environment_of(self._url)))
            except (StoreUnavailableError, persistence.IntegrityError):
                # Replicas that start concurrently conflict: the library creates its tables without a lock.
                if attempt == OPEN_ATTEMPTS:
                    raise
                await asyncio.sleep(0.1)
            else:
                break
        if before is not None:
            await asyncio.to_thread(before.close)

    def tables(self) -> Sequence[str]:
        """The names of the required tables, once prepared."""
        recorders: list[Any] = [self.application.recorder, self.application.snapshots.recorder]  # type: ignore[union-attr]
        return [*metadata.tables, *(recorder.events_table_name for recorder in recorders)]

    async def close(self) -> None:
        """Waits for the threads, and closes the library's connections."""
        await asyncio.to_thread(self._threads.shutdown)
        if self._application is not None:
            await asyncio.to_thread(self._application.close)

    async def add(self, order_id: str, event: OrderPlaced, at: datetime) -> Order:
        """Raises KeyTakenError."""
        try:
            return self._with_token(await self._in_thread(lambda: self._add(order_id, event, at)))
        except persistence.IntegrityError as error:
            raise KeyTakenError from error

    async def append(self, order: Order, events: Sequence[Event], at: datetime) -> Order:
        """Appends events; raises OrderChangedError if the order has changed since it was read."""
        try:
            return self._with_token(await self._in_thread(lambda: self._append(order, events, at)))
        except persistence.IntegrityError as error:
            raise OrderChangedError from error

    async def get(self, order_id: str) -> Order | None:
        """The sum of the order's events."""
        try:
            found: OrderAggregate = await self._in_thread(lambda: self._aggregate(order_id))
        except AggregateNotFoundError:
            return None
        return found.order

    async def history(self, order_id: str, after: int = 0) -> Sequence[StoredEvent]:
        """The events after that version, in their order."""
        return await self._in_thread(lambda: self._history(order_id, after))

    async def notifications(self, after: int, limit: int) -> Sequence[tuple[int, Any]]:
        """At most `limit` events of all orders after that position, with their positions, ascending."""
        return await self._in_thread(lambda: self._notifications(after, limit))

    async def with_key(self, key: str) -> Order | None:
        """The order that was placed with that key."""
        return next(iter(await self._documents(sa.select(orders).where(orders.c.key == key))), None)

    async def traceparents(self, order_ids: Collection[str]) -> Mapping[str, str]:
        """The traces in which these orders were placed, if any."""
        if not order_ids:
            return {}
        found = await self._documents(sa.select(orders).where(orders.c.id.in_(sorted(order_ids))))
        return {order.id: order.traceparent for order in found}

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
                return [self._decoded(row.document) for row in rows]

    def _add(self, order_id: str, event: OrderPlaced, at: datetime) -> tuple[Order, int]:
        kind = EVENTS[type(event)]
        made = OrderAggregate._create(kind, id=UUID(order_id), timestamp=at, **fields_of(event))  # type: ignore[arg-type]  # noqa: SLF001
        return self._saved(made)

    def _append(self, order: Order, events: Sequence[Event], at: datetime) -> tuple[Order, int]:
        found = self._aggregate(order.id)
        if found.version != order.version:
            raise OrderChangedError
        for event in events:
            found.trigger_event(EVENTS[type(event)], timestamp=at, **fields_of(event))
        return self._saved(found)

    def _saved(self, changed: OrderAggregate) -> tuple[Order, int]:
        """Saves the order; returns it and the position of its last event in the log of all orders."""
        order = changed.order
        due = saga.due(order)
        row = {
            "id": order.id,
            "key": order.key,
            "user_id": order.user_id,
            "state": order.state.value,
            "version": order.version,
            "due_at": None if due is None else _milliseconds(due),
            "document": self._transcoder.encode(order).decode(),
        }
        recorded = self.application.save(changed, row=row)
        return order, recorded[-1].notification.id if recorded else 0

    @staticmethod
    def _with_token(saved: tuple[Order, int]) -> Order:
        """Returns the order, and sets the consistency token of the call."""
        order, position = saved
        record_write(SOURCE, position)
        return order

    def _aggregate(self, order_id: str) -> OrderAggregate:
        return self.application.repository.get(UUID(order_id))

    def _history(self, order_id: str, after: int) -> Sequence[StoredEvent]:
        stored = self.application.events.get(UUID(order_id), gt=after or None)
        return [StoredEvent(event.originator_version, event, event.timestamp) for event in stored]  # type: ignore[attr-defined, arg-type]

    def _notifications(self, after: int, limit: int) -> Sequence[tuple[int, Any]]:
        found = self.application.recorder.select_notifications(after, limit, inclusive_of_start=False)
        return [(stored.id, self.application.mapper.to_domain_event(stored)) for stored in found]

    @property
    def _transcoder(self) -> persistence.Transcoder:
        return self.application.mapper.transcoder

    def _decoded(self, document: str) -> Order:
        found: Order = self._transcoder.decode(document.encode())
        return found

    async def _in_thread(self, work: Callable[[], T]) -> T:
        with unavailable():
            running = asyncio.get_running_loop().run_in_executor(self._threads, work)
            return await asyncio.wait_for(running, ANSWER_SECONDS)


def environment_of(url: sa.URL) -> dict[str, str]:
    """The library's variables for a database; they override the process's environment."""
    if url.get_backend_name() == SQLITE:
        return {
            "PERSISTENCE_MODULE": "eventsourcing.sqlite",
            "APPLICATION_RECORDER_TOPIC": "services.order.recorders:SQLiteOrdersRecorder",
            "SQLITE_DBNAME": str(url.database),
            "SQLITE_LOCK_TIMEOUT": "5",
        }
    return {
        "PERSISTENCE_MODULE": "services.order.recorders:PostgresOrdersFactory",
        "POSTGRES_DBNAME": str(url.database or "postgres"),
        "POSTGRES_HOST": str(url.host or "127.0.0.1"),
        "POSTGRES_PORT": str(url.port or 5432),
        "POSTGRES_USER": str(url.username or "postgres"),
        # PGPASSWORD is read here: libpq ignores it for an empty password, which the library passes.
        "POSTGRES_PASSWORD": str(url.password or environment().get("PGPASSWORD", "")),
        "POSTGRES_CONNECT_TIMEOUT": "3",
        "POSTGRES_LOCK_TIMEOUT": "5",
        "POSTGRES_POOL_SIZE": "1",
        "POSTGRES_MAX_OVERFLOW": "4",
        "POSTGRES_PRE_PING": "yes",
        SSLMODE: str(url.query.get("sslmode", "")),
    }


@contextlib.contextmanager
def unavailable() -> Iterator[None]:
    """Converts the library's errors that concern the database's state or the connection to StoreUnavailableError.

    IntegrityError (a concurrent write) passes.
    """
    try:
        yield
    except persistence.IntegrityError:
        raise
    except (persistence.PersistenceError, persistence.ConnectionPoolClosedError, TimeoutError) as error:
        raise StoreUnavailableError from error


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MILLISECOND
