"""The use cases of the inventory: each change in one transaction, which stores state, stock and event."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol, TypeVar

from services.inventory import domain
from services.inventory.domain import Item, Reservation, Restock, Stock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

T = TypeVar("T")

CATALOGUE = (
    Restock("catalogue/TEA-EARL-GREY", "TEA-EARL-GREY", 200, "Earl Grey, 100 g", 850),
    Restock("catalogue/TEA-SENCHA", "TEA-SENCHA", 80, "Sencha, 100 g", 1490),
    Restock("catalogue/MUG-BLUE", "MUG-BLUE", 40, "Mug, blue", 1200),
    Restock("catalogue/KETTLE-1L", "KETTLE-1L", 10, "Kettle, 1 litre", 4900),
    Restock("catalogue/SAMOVAR", "SAMOVAR", 1, "Samovar, the last one", 129_900),
)
"""The initial stock of an empty shop."""


class InventoryTransaction(Protocol):
    """Reads lock rows until the transaction ends."""

    async def reservation(self, key: str) -> Reservation | None: ...

    async def stock(self, skus: Iterable[str]) -> Mapping[str, Stock]:
        """The existing ones."""

    async def restocked(self, key: str) -> Restock | None: ...

    async def save(self, change: domain.ReservationChange, at: datetime) -> None: ...

    async def save_restock(self, restock: Restock, after: Stock, at: datetime) -> None: ...


class InventoryStore(Protocol):
    """The store of stock. Every method may raise StoreUnavailableError."""

    async def run(self, work: Callable[[InventoryTransaction], Awaitable[T]]) -> T:
        """Runs `work` in a transaction and returns its result. `work` may run again after a conflict."""

    async def all(self) -> Sequence[Stock]:
        """Ordered by sku."""

    async def one(self, sku: str) -> Stock | None: ...


def utc_now() -> datetime:
    return datetime.now(UTC)


def ignore_change() -> None:
    """The default `on_change`."""


class Warehouse:
    """The use cases. `on_change` is called after each change."""

    def __init__(
        self,
        store: InventoryStore,
        *,
        on_change: Callable[[], None] = ignore_change,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._store = store
        self._on_change = on_change
        self._now = now

    async def reserve(self, key: str, items: Sequence[Item]) -> Reservation:
        """Raises InvalidRequestError and ReservationDiffersError."""
        domain.check_reserve(key, items)

        async def work(transaction: InventoryTransaction) -> Reservation:
            known = await transaction.reservation(key)
            stock = {} if known else await transaction.stock(item.sku for item in items)
            return await self._saved(transaction, domain.reserve(known, key, items, stock))

        return await self._run(work)

    async def release(self, key: str) -> Reservation:
        """Raises InvalidRequestError."""
        domain.check_key(key)

        async def work(transaction: InventoryTransaction) -> Reservation:
            known = await transaction.reservation(key)
            return await self._saved(transaction, domain.release(known, key, await _stock_of(transaction, known)))

        return await self._run(work)

    async def ship(self, key: str) -> Reservation:
        """Raises InvalidRequestError and ReservationNotHeldError."""
        domain.check_key(key)

        async def work(transaction: InventoryTransaction) -> Reservation:
            known = await transaction.reservation(key)
            return await self._saved(transaction, domain.ship(known, await _stock_of(transaction, known)))

        return await self._run(work)

    async def restock(self, wanted: Restock) -> Stock:
        """Restocks an item; returns its stock. Raises InvalidRequestError and RestockDiffersError."""
        domain.check_restock(wanted)

        async def work(transaction: InventoryTransaction) -> Stock:
            done = await transaction.restocked(wanted.key)
            before = (await transaction.stock([wanted.sku])).get(wanted.sku)
            if done is not None:
                if done != wanted or before is None:
                    raise domain.RestockDiffersError
                return before
            after = domain.restock(wanted, before)
            await transaction.save_restock(wanted, after, self._now())
            return after

        return await self._run(work)

    async def stock(self, sku: str) -> Stock:
        """Raises ItemNotFoundError."""
        found = await self._store.one(sku) if domain.known_sku(sku) else None
        if found is None:
            raise domain.ItemNotFoundError
        return found

    async def all_stock(self) -> Sequence[Stock]:
        return await self._store.all()

    async def fill(self) -> None:
        """Restocks an empty shop from the catalogue; entries have keys, so that concurrent replicas restock once."""
        if not await self._store.all():
            for entry in CATALOGUE:
                await self.restock(entry)

    async def _saved(self, transaction: InventoryTransaction, change: domain.ReservationChange) -> Reservation:
        if change.new:
            await transaction.save(change, self._now())
        return change.reservation

    async def _run(self, work: Callable[[InventoryTransaction], Awaitable[T]]) -> T:
        answer = await self._store.run(work)
        self._on_change()
        return answer


async def _stock_of(transaction: InventoryTransaction, known: Reservation | None) -> Mapping[str, Stock]:
    return await transaction.stock(item.sku for item in known.items) if known else {}
