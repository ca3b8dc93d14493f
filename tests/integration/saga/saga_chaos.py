"""The saga on real SQLite stores, in one task and with a clock of the test's, where every await may be the last.

An order service here is mortal: at each of its awaits (each call of the store or of a participant) the schedule may let
it die before or after what it awaits was done, or stall until its lease is over and another has gone on. Calls to
participants may be lost, answered into the void, doubled, delivered late, or interrupted in their transaction.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any

import grpc
import sqlalchemy as sa

from services.common.storage.database import open_database
from services.inventory import adapters as inventory_adapters
from services.inventory import domain as inventory_domain
from services.inventory.app import Warehouse
from services.inventory.server import InventoryService
from services.order.adapters import MeshParticipants
from services.order.app import ChangeNotifier, OrderBook
from services.order.domain import Order, OrderState
from services.order.driver import Driver
from services.order.events import Item
from services.order.saga import RetryPolicy
from services.order.store import DatabaseOrders
from services.payment import adapters as payment_adapters
from services.payment import domain as payment_domain
from services.payment.app import Cashier
from services.payment.server import PaymentService

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path


USER = "ada"
MONEY = 10_000
STOCK = {"TEA": 40, "MUG": 10}
PRICES = {"TEA": 250, "MUG": 1200}
POLICY = RetryPolicy(timeout=1.0, attempts=3, undo_attempts=8, backoff=0.1, backoff_max=1.0, lease=10.0)


class Fault(Enum):
    """What may happen at an await. What does not apply to it is a NONE."""

    NONE = "none"
    DIES_BEFORE = "the order service dies before it is done"
    DIES_AFTER = "the order service dies after it was done"
    STALLS = "the order service stalls until another has taken over"
    LOST = "the request is lost"
    UNHEARD = "the answer is lost"
    DOUBLED = "the request arrives twice"
    LATE = "the request arrives when nobody waits any more"
    INTERRUPTED = "the participant dies in its transaction"


class DeathError(BaseException):
    """kill -9: no handler of an error sees it."""


class CutError(Exception):
    """A participant's transaction ends here."""


@dataclass
class Mortal:
    """Whatever one order service awaits goes by here."""

    world: World
    dead: bool = False

    async def __call__(self, work: Callable[[], Awaitable[Any]]) -> Any:
        self._must_live()
        fault = self.world.next_fault()
        if fault is Fault.STALLS:
            await self.world.another_goes_on()
        if fault is Fault.DIES_BEFORE:
            self._die()
        answer = await self._passed_on(work, fault)
        if fault is Fault.DIES_AFTER:
            self._die()
        return answer

    async def _passed_on(self, work: Callable[[], Awaitable[Any]], fault: Fault) -> Any:
        return await work()

    def _die(self) -> None:
        self.dead = True
        self.world.deaths += 1
        raise DeathError

    def _must_live(self) -> None:
        # What `finally` would do after a death does not happen either.
        if self.dead:
            raise DeathError


class MortalStore:
    """A store whose every method may be its user's last."""

    def __init__(self, store: DatabaseOrders, mortal: Mortal) -> None:
        self._store = store
        self._mortal = mortal

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._store, name)
        return lambda *args: self._mortal(lambda: method(*args))


class Untold:
    """A call's context: what a servicer says beside its answer is not heard."""

    def set_trailing_metadata(self, trailers: Any) -> None: ...


class MortalStub:
    """A stub of a participant, without a network."""

    def __init__(self, world: World, service: object, mortal: Mortal) -> None:
        self._world = world
        self._service = service
        self._mortal = mortal

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        method = getattr(self._service, name)

        async def call(request: object, timeout: float) -> Any:
            fault = self._world.always.get(name) or self._world.peek_fault()
            self._world.calls.append(self._world.awaits)
            return await self._mortal(lambda: self._world.delivered(lambda: method(request, Untold()), fault))

        return call


@dataclass
class World:
    """Stores, clock, and the schedule of what goes wrong."""

    orders: DatabaseOrders
    warehouse: Warehouse
    cashier: Cashier
    engines: tuple[Any, ...]
    faults: list[Fault] = field(default_factory=list)
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    deaths: int = 0
    awaits: int = 0
    calls: list[int] = field(default_factory=list)
    """Which of the awaits were calls of participants."""
    undo_fails: bool = False
    always: dict[str, Fault] = field(default_factory=dict)
    """What befalls every call of a method, as `Charge`, whatever the schedule says."""
    holds_late: bool = False
    """What is late arrives when all orders rest, and not between two turns."""
    late: list[Callable[[], Awaitable[Any]]] = field(default_factory=list)
    seen: list[Callable[[], Awaitable[Any]]] = field(default_factory=list)
    _names: Iterator[int] = field(default_factory=itertools.count)
    _statements: int = -1
    _stalled: bool = False

    def next_fault(self) -> Fault:
        self.awaits += 1
        return self.faults.pop(0) if self.faults else Fault.NONE

    def peek_fault(self) -> Fault:
        return self.faults[0] if self.faults else Fault.NONE

    def statement(self, *_: Any) -> None:
        """Called before each statement of a participant."""
        self._statements -= 1
        if self._statements == 0:
            raise CutError

    async def delivered(self, work: Callable[[], Awaitable[Any]], fault: Fault) -> Any:
        """The answer, or what a caller sees of a fault."""
        if fault is Fault.LOST:
            raise unknown()
        if fault is Fault.LATE:
            self.late.append(work)
            raise unknown()
        self.seen.append(work)
        # The second write at the latest: some transactions have no more.
        self._statements = 1 + self.awaits % 4 if fault is Fault.INTERRUPTED else -1
        try:
            if fault is Fault.DOUBLED:
                await work()
            answer = await work()
        except inventory_domain.ReservationNotHeldError as error:
            raise refused(grpc.StatusCode.FAILED_PRECONDITION, str(error)) from error
        except CutError as error:
            raise unknown() from error
        finally:
            self._statements = -1
        if fault is Fault.UNHEARD:
            raise unknown()
        return answer

    def service(self) -> tuple[OrderBook, Driver]:
        """A new order service, as a process that has just started."""
        mortal = Mortal(self)
        # They have every method of what they stand before.
        store: Any = MortalStore(self.orders, mortal)
        inventory: Any = MortalStub(self, InventoryService(self.warehouse), mortal)
        payment: Any = MortalStub(self, Payment(self, self.cashier), mortal)
        participants = MeshParticipants(inventory, payment, 1.0)
        bell = ChangeNotifier()
        name = f"driver {next(self._names)}"
        driver = Driver(
            name, store, participants, POLICY, on_change=bell.notify, jitter=lambda: 0.5, now=lambda: self.now
        )
        book = OrderBook(store, bell, bell.notify, entropy=os.urandom, now=lambda: self.now)
        return book, driver

    async def place(self, key: str, **quantities: int) -> Order:
        """As a client does: again with the same key until there is an answer."""
        items = [Item(name.upper(), quantity) for name, quantity in quantities.items()]
        while True:
            book, _ = self.service()
            with contextlib.suppress(DeathError):
                return await book.place(key, USER, items, "")

    async def turn(self) -> None:
        """A new process drives whatever is due; it may not live to the end."""
        _, driver = self.service()
        with contextlib.suppress(DeathError):
            for order_id in await self.orders.due(self.now, 10):
                await driver.drive(order_id)

    async def another_goes_on(self) -> None:
        """The lease of the stalled driver is over, and another one drives the order."""
        if not self._stalled:
            self._stalled = True
            self.now += POLICY.lease_time * 2
            await self.turn()
            self._stalled = False

    async def run(self, turns: int = 200) -> list[Order]:
        """Until all orders rest; what was late arrives on the way, and whatever arrived arrives again."""
        for _ in range(turns):
            await self.turn()
            await self.check_sums()
            self.now += POLICY.lease_time + timedelta(seconds=1)
            if self.late and not self.holds_late:
                await self._arrive(self.late.pop())
            orders = await self.orders.page("", [], "", 100)
            if all(order.resting for order in orders):
                break
        for work in (*reversed(self.seen), *self.late):
            await self._arrive(work)
        return list(await self.orders.page("", [], "", 100))

    async def _arrive(self, work: Callable[[], Awaitable[Any]]) -> None:
        with contextlib.suppress(inventory_domain.ReservationNotHeldError, grpc.aio.AioRpcError):
            await work()

    async def check_sums(self) -> None:
        """What must hold at every moment: nothing comes or goes."""
        for stock in await self.warehouse.all_stock():
            assert stock.available + stock.reserved + stock.shipped == STOCK[stock.sku]
        bookings = await self.cashier.bookings(USER, 500)
        account = await self.cashier.account(USER)
        assert account.balance_cents == sum(booking.amount_cents for booking in bookings) >= 0
        made = [(booking.key, booking.kind) for booking in bookings]
        assert len(made) == len(set(made)), "something was booked twice"

    async def check(self, orders: list[Order]) -> None:
        """What must hold when all orders rest."""
        await self.check_sums()
        done = [order for order in orders if order.state is OrderState.COMPLETED]
        assert all(order.state in {OrderState.COMPLETED, OrderState.REJECTED} for order in orders), orders
        paid = sum(order.total_cents for order in done)
        assert (await self.cashier.account(USER)).balance_cents == MONEY - paid
        for stock in await self.warehouse.all_stock():
            sold = sum(item.quantity for order in done for item in order.items if item.sku == stock.sku)
            assert (stock.available, stock.reserved, stock.shipped) == (STOCK[stock.sku] - sold, 0, sold)
        bookings = await self.cashier.bookings(USER, 500)
        for order in orders:
            booked = [booking.kind for booking in bookings if booking.key == f"order/{order.id}"]
            charged = booked.count(payment_domain.BookingKind.CHARGE) - booked.count(payment_domain.BookingKind.REFUND)
            assert charged == (order in done)
            history = await self.orders.history(order.id)
            assert [entry.version for entry in history] == list(range(1, order.version + 1))


class Payment(PaymentService):
    """The payment service; while `undo_fails`, nothing is given back."""

    def __init__(self, world: World, cashier: Cashier) -> None:
        super().__init__(cashier)
        self._world = world

    async def Refund(self, request: Any, context: Any) -> Any:
        if self._world.undo_fails:
            raise unknown()
        return await super().Refund(request, context)


def unknown() -> grpc.aio.AioRpcError:
    return refused(grpc.StatusCode.UNAVAILABLE, "gone")


def refused(code: grpc.StatusCode, text: str) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), text)


NAMES = ("orders", "inventory", "payment")


@contextlib.asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    """A world on the SQLite files in that folder, made where they are missing."""
    urls = [f"sqlite:///{folder}/{name}.db" for name in NAMES]
    engines = tuple(open_database("DATABASE_URL", url) for url in urls)
    orders = DatabaseOrders(engines[0])
    goods, money = inventory_adapters.DatabaseStore(engines[1]), payment_adapters.DatabaseStore(engines[2])
    try:
        await orders.prepare()
        await goods.prepare()
        await money.prepare()
        made = World(orders, Warehouse(goods), Cashier(money), engines)
        for sku, quantity in STOCK.items():
            await made.warehouse.restock(inventory_domain.Restock(sku, sku, quantity, sku, PRICES[sku]))
        await made.cashier.deposit("seed", USER, MONEY)
        for engine in engines[1:]:
            sa.event.listen(engine.sync_engine, "before_cursor_execute", made.statement)
        yield made
    finally:
        for engine in engines:
            await engine.dispose()


def copied(template: Path, folder: Path) -> Path:
    """A folder with the template's files: quicker than to make tables anew."""
    shutil.copytree(template, folder)
    return folder
