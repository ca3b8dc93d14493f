"""The inventory in a database.

A transaction locks the rows that it reads: the reservation first, then the stock ordered by sku, so that transactions
do not deadlock. A missing reservation cannot be locked: of two transactions that insert the same key the second fails,
and runs again.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa

from services.common.messaging.outbox import Outbox, outbox_table
from services.common.storage.database import translate_store_errors
from services.common.storage.transactions import in_transaction, make_tables
from services.inventory.domain import Item, Reservation, ReservationState, Restock, Stock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from services.inventory.app import InventoryTransaction
    from services.inventory.domain import ReservationChange

T = TypeVar("T")

SOURCE = "inventory"
metadata = sa.MetaData()
stock_table = sa.Table(
    "stock",
    metadata,
    sa.Column("sku", sa.String(64), primary_key=True),
    sa.Column("title", sa.String(200), nullable=False),
    sa.Column("price_cents", sa.BigInteger, nullable=False),
    sa.Column("available", sa.BigInteger, nullable=False),
    sa.Column("reserved", sa.BigInteger, nullable=False),
    sa.Column("shipped", sa.BigInteger, nullable=False),
    sa.CheckConstraint("available >= 0 AND reserved >= 0 AND shipped >= 0", name="stock_is_not_negative"),
)
reservations = sa.Table(
    "reservations",
    metadata,
    sa.Column("key", sa.String(100), primary_key=True),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("items", sa.Text, nullable=False),
    sa.Column("missing", sa.Text, nullable=False),
    sa.Column("total_cents", sa.BigInteger, nullable=False),
)
restocks = sa.Table(
    "restocks",
    metadata,
    sa.Column("key", sa.String(100), primary_key=True),
    sa.Column("sku", sa.String(64), nullable=False),
    sa.Column("quantity", sa.BigInteger, nullable=False),
    sa.Column("title", sa.String(200), nullable=False),
    sa.Column("price_cents", sa.BigInteger, nullable=False),
)
outbox = outbox_table(metadata)


class DatabaseStore:
    """`events`: the log for the outbox publisher."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self.events = Outbox(SOURCE, outbox, engine)

    async def prepare(self) -> None:
        """Creates missing tables."""
        await make_tables(self._engine, metadata)

    async def run(self, work: Callable[[InventoryTransaction], Awaitable[T]]) -> T:
        return await in_transaction(self._engine, lambda connection: work(DatabaseTransaction(connection, self.events)))

    async def all(self) -> Sequence[Stock]:
        with translate_store_errors():
            async with self._engine.connect() as connection:
                rows = await connection.execute(sa.select(stock_table).order_by(stock_table.c.sku))
                return [_stock(row) for row in rows]

    async def one(self, sku: str) -> Stock | None:
        with translate_store_errors():
            async with self._engine.connect() as connection:
                found = await connection.execute(sa.select(stock_table).where(stock_table.c.sku == sku))
                row = found.one_or_none()
        return None if row is None else _stock(row)


class DatabaseTransaction:
    """Implements `app.InventoryTransaction`."""

    def __init__(self, connection: AsyncConnection, events: Outbox) -> None:
        self._connection = connection
        self._events = events
        self._reservations: set[str] = set()
        self._skus: set[str] = set()
        # Keys of rows that were read, and so are locked. Others are inserted, never updated: they may exist by now.

    async def reservation(self, key: str) -> Reservation | None:
        query = sa.select(reservations).where(reservations.c.key == key).with_for_update()
        row = (await self._connection.execute(query)).one_or_none()
        if row is None:
            return None
        self._reservations.add(key)
        return Reservation(
            row.key, ReservationState(row.state), _items(row.items), _items(row.missing), row.total_cents
        )

    async def stock(self, skus: Iterable[str]) -> Mapping[str, Stock]:
        chosen = stock_table.c.sku.in_(sorted(skus))
        query = sa.select(stock_table).where(chosen).order_by(stock_table.c.sku).with_for_update()
        found = {row.sku: _stock(row) for row in await self._connection.execute(query)}
        self._skus.update(found)
        return found

    async def restocked(self, key: str) -> Restock | None:
        row = (await self._connection.execute(sa.select(restocks).where(restocks.c.key == key))).one_or_none()
        return None if row is None else Restock(row.key, row.sku, row.quantity, row.title, row.price_cents)

    async def save(self, change: ReservationChange, at: datetime) -> None:
        reservation = change.reservation
        row = {
            "key": reservation.key,
            "state": reservation.state.value,
            "items": _json(reservation.items),
            "missing": _json(reservation.missing),
            "total_cents": reservation.total_cents,
        }
        if reservation.key in self._reservations:
            same = reservations.c.key == reservation.key
            await self._connection.execute(sa.update(reservations).where(same).values(row))
        else:
            await self._connection.execute(sa.insert(reservations).values(row))
        for stock in change.stock:
            await self._write(stock)
        if change.event:
            data = {"key": reservation.key, "items": _plain(reservation.items)}
            await self._events.add(self._connection, change.event, reservation.key, data, at)

    async def save_restock(self, restock: Restock, after: Stock, at: datetime) -> None:
        row = {
            "key": restock.key,
            "sku": restock.sku,
            "quantity": restock.quantity,
            "title": restock.title,
            "price_cents": restock.price_cents,
        }
        await self._connection.execute(sa.insert(restocks).values(row))
        await self._write(after)
        data = {"key": restock.key, "items": _plain([Item(restock.sku, restock.quantity)])}
        await self._events.add(self._connection, "Restocked.v1", restock.sku, data, at)

    async def _write(self, stock: Stock) -> None:
        row = {
            "sku": stock.sku,
            "title": stock.title,
            "price_cents": stock.price_cents,
            "available": stock.available,
            "reserved": stock.reserved,
            "shipped": stock.shipped,
        }
        if stock.sku in self._skus:
            same = stock_table.c.sku == stock.sku
            await self._connection.execute(sa.update(stock_table).where(same).values(row))
        else:
            await self._connection.execute(sa.insert(stock_table).values(row))


def _stock(row: sa.Row[Any]) -> Stock:
    return Stock(row.sku, row.title, row.price_cents, row.available, row.reserved, row.shipped)


def _plain(items: Sequence[Item]) -> list[dict[str, Any]]:
    return [{"sku": item.sku, "quantity": item.quantity} for item in items]


def _json(items: Sequence[Item]) -> str:
    return json.dumps(_plain(items), separators=(",", ":"))


def _items(text: str) -> tuple[Item, ...]:
    return tuple(Item(entry["sku"], entry["quantity"]) for entry in json.loads(text))
