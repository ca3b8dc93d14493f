"""The use cases of the payment service: each change in one transaction, with its booking and its event."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol, TypeVar

from services.payment import domain
from services.payment.domain import Account, Booking, BookingKind, Payment, PaymentChange

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

T = TypeVar("T")


class PaymentTransaction(Protocol):
    """Reads lock payments and accounts until the transaction ends."""

    async def payment(self, key: str) -> Payment | None: ...

    async def account(self, user_id: str) -> Account | None: ...

    async def booking(self, kind: BookingKind, key: str) -> Booking | None: ...

    async def save(self, payment: Payment) -> None: ...

    async def book(self, booking: Booking) -> None:
        """Stores the booking, the account's new balance and the event."""


class PaymentStore(Protocol):
    """The store of payments. Every method may raise StoreUnavailableError."""

    async def run(self, work: Callable[[PaymentTransaction], Awaitable[T]]) -> T:
        """Runs `work` in a transaction and returns its result. `work` may run again after a conflict."""

    async def account(self, user_id: str) -> Account | None: ...

    async def bookings(self, user_id: str, limit: int) -> Sequence[Booking]:
        """Newest first."""


def utc_now() -> datetime:
    return datetime.now(UTC)


def ignore_change() -> None:
    """The default `on_change`."""


class Cashier:
    """The use cases. `on_change` is called after each change."""

    def __init__(
        self,
        store: PaymentStore,
        *,
        on_change: Callable[[], None] = ignore_change,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._store = store
        self._on_change = on_change
        self._now = now

    async def charge(self, key: str, user_id: str, amount_cents: int) -> Payment:
        """Raises InvalidRequestError and ChargeDiffersError."""
        domain.check_booking(key, user_id, amount_cents)

        async def work(transaction: PaymentTransaction) -> Payment:
            known = await transaction.payment(key)
            account = None if known else await transaction.account(user_id)
            change = domain.charge(known, key, user_id, amount_cents, account, now=self._now())
            return await _saved(transaction, change)

        return await self._run(work)

    async def refund(self, key: str) -> Payment:
        """Raises InvalidRequestError."""
        domain.check_key(key)

        async def work(transaction: PaymentTransaction) -> Payment:
            known = await transaction.payment(key)
            account = await transaction.account(known.user_id) if known else None
            return await _saved(transaction, domain.refund(known, key, account, now=self._now()))

        return await self._run(work)

    async def deposit(self, key: str, user_id: str, amount_cents: int) -> Account:
        """Deposits money; returns the account. Raises InvalidRequestError and DepositDiffersError."""
        domain.check_booking(key, user_id, amount_cents)

        async def work(transaction: PaymentTransaction) -> Account:
            account = await transaction.account(user_id)
            known = await transaction.booking(BookingKind.DEPOSIT, key)
            booking = domain.deposit(known, key, user_id, amount_cents, account, now=self._now())
            if booking is None:
                return account or Account(user_id)
            await transaction.book(booking)
            return Account(user_id, booking.balance_after_cents)

        return await self._run(work)

    async def account(self, user_id: str) -> Account:
        """Raises InvalidRequestError and AccountNotFoundError."""
        domain.check_user(user_id)
        found = await self._store.account(user_id)
        if found is None:
            raise domain.AccountNotFoundError
        return found

    async def bookings(self, user_id: str, limit: int) -> Sequence[Booking]:
        """At most `limit` (0: a default) of the user's bookings, newest first. Raises InvalidRequestError."""
        domain.check_user(user_id)
        return await self._store.bookings(user_id, domain.list_limit(limit))

    async def _run(self, work: Callable[[PaymentTransaction], Awaitable[T]]) -> T:
        answer = await self._store.run(work)
        self._on_change()
        return answer


async def _saved(transaction: PaymentTransaction, change: PaymentChange) -> Payment:
    if change.new:
        await transaction.save(change.payment)
    if change.booking is not None:
        await transaction.book(change.booking)
    return change.payment
