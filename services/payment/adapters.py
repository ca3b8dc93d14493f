"""Accounts in a database.

A transaction locks the rows that it reads: the payment first, then its account. Missing rows cannot be locked: of two
transactions that insert the same key the second fails, and runs again. A unique constraint also prevents duplicate
bookings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa

from services.common.messaging.outbox import Outbox, outbox_table
from services.common.storage.columns import UtcDateTime
from services.common.storage.consistency_token import record_write
from services.common.storage.database import translate_store_errors
from services.common.storage.transactions import in_transaction, make_tables
from services.payment.domain import Account, Booking, BookingKind, Payment, PaymentState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from services.payment.app import PaymentTransaction

T = TypeVar("T")

SOURCE = "payment"
EVENTS = {BookingKind.DEPOSIT: "Deposited.v1", BookingKind.CHARGE: "Charged.v1", BookingKind.REFUND: "Refunded.v1"}

metadata = sa.MetaData()
payments = sa.Table(
    "payments",
    metadata,
    sa.Column("key", sa.String(100), primary_key=True),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("user_id", sa.String(64), nullable=False),
    sa.Column("amount_cents", sa.BigInteger, nullable=False),
    sa.Column("reason", sa.String(200), nullable=False),
)
accounts = sa.Table(
    "accounts",
    metadata,
    sa.Column("user_id", sa.String(64), primary_key=True),
    sa.Column("balance_cents", sa.BigInteger, nullable=False),
    sa.CheckConstraint("balance_cents >= 0", name="no_account_is_below_zero"),
)
bookings = sa.Table(
    "bookings",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("key", sa.String(100), nullable=False),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("user_id", sa.String(64), nullable=False, index=True),
    sa.Column("amount_cents", sa.BigInteger, nullable=False),
    sa.Column("balance_after_cents", sa.BigInteger, nullable=False),
    sa.Column("booked_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("kind", "key", name="booked_once"),
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

    async def run(self, work: Callable[[PaymentTransaction], Awaitable[T]]) -> T:
        async def attempt(connection: AsyncConnection) -> tuple[T, int]:
            transaction = DatabaseTransaction(connection, self.events)
            return await work(transaction), transaction.position

        answer, position = await in_transaction(self._engine, attempt)
        record_write(SOURCE, position)
        return answer

    async def account(self, user_id: str) -> Account | None:
        query = sa.select(accounts).where(accounts.c.user_id == user_id)
        with translate_store_errors():
            async with self._engine.connect() as connection:
                row = (await connection.execute(query)).one_or_none()
        return None if row is None else Account(row.user_id, row.balance_cents)

    async def bookings(self, user_id: str, limit: int) -> Sequence[Booking]:
        query = sa.select(bookings).where(bookings.c.user_id == user_id).order_by(bookings.c.id.desc()).limit(limit)
        with translate_store_errors():
            async with self._engine.connect() as connection:
                return [_booking(row) for row in await connection.execute(query)]


class DatabaseTransaction:
    """Implements `app.PaymentTransaction`."""

    def __init__(self, connection: AsyncConnection, events: Outbox) -> None:
        self._connection = connection
        self._events = events
        self.position = 0
        """Sequence of the stored event; 0: none."""
        self._payments: set[str] = set()
        self._accounts: set[str] = set()
        # Keys of rows that were read, and so are locked. Others are inserted, never updated: they may exist by now.

    async def payment(self, key: str) -> Payment | None:
        query = sa.select(payments).where(payments.c.key == key).with_for_update()
        row = (await self._connection.execute(query)).one_or_none()
        if row is None:
            return None
        self._payments.add(key)
        return Payment(row.key, PaymentState(row.state), row.user_id, row.amount_cents, row.reason)

    async def account(self, user_id: str) -> Account | None:
        query = sa.select(accounts).where(accounts.c.user_id == user_id).with_for_update()
        row = (await self._connection.execute(query)).one_or_none()
        if row is None:
            return None
        self._accounts.add(user_id)
        return Account(row.user_id, row.balance_cents)

    async def booking(self, kind: BookingKind, key: str) -> Booking | None:
        query = sa.select(bookings).where(bookings.c.kind == kind.value, bookings.c.key == key)
        row = (await self._connection.execute(query)).one_or_none()
        return None if row is None else _booking(row)

    async def save(self, payment: Payment) -> None:
        row = {
            "key": payment.key,
            "state": payment.state.value,
            "user_id": payment.user_id,
            "amount_cents": payment.amount_cents,
            "reason": payment.reason,
        }
        if payment.key in self._payments:
            same = payments.c.key == payment.key
            await self._connection.execute(sa.update(payments).where(same).values(row))
        else:
            await self._connection.execute(sa.insert(payments).values(row))

    async def book(self, booking: Booking) -> None:
        row = {
            "key": booking.key,
            "kind": booking.kind.value,
            "user_id": booking.user_id,
            "amount_cents": booking.amount_cents,
            "balance_after_cents": booking.balance_after_cents,
            "booked_at": booking.booked_at,
        }
        await self._connection.execute(sa.insert(bookings).values(row))
        await self._write(Account(booking.user_id, booking.balance_after_cents))
        data = {
            "user_id": booking.user_id,
            "amount_cents": abs(booking.amount_cents),
            "balance_after_cents": booking.balance_after_cents,
            "key": booking.key,
        }
        kind = EVENTS[booking.kind]
        self.position = await self._events.add(self._connection, kind, booking.user_id, data, booking.booked_at)

    async def _write(self, account: Account) -> None:
        row = {"user_id": account.user_id, "balance_cents": account.balance_cents}
        if account.user_id in self._accounts:
            same = accounts.c.user_id == account.user_id
            await self._connection.execute(sa.update(accounts).where(same).values(row))
        else:
            await self._connection.execute(sa.insert(accounts).values(row))


def _booking(row: sa.Row[Any]) -> Booking:
    return Booking(
        row.key, BookingKind(row.kind), row.user_id, row.amount_cents, row.balance_after_cents, row.booked_at
    )
