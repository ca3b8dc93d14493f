"""The saga's three services in one process, on real sockets and real databases, with proxies between them.

A proxy loses, doubles and repeats calls where a test wants it; neither side knows.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc

import meshwright
from demo.inventory.v1 import inventory_pb2 as inventory_pb
from demo.inventory.v1 import inventory_pb2_grpc as inventory_rpc
from demo.order.v1 import order_pb2 as pb
from demo.order.v1 import order_pb2_grpc as rpc
from demo.payment.v1 import payment_pb2 as payment_pb
from demo.payment.v1 import payment_pb2_grpc as payment_rpc
from meshwright.model import Address
from meshwright.testing import Served, resolving, served
from services.common.storage.database import open_database
from services.inventory import adapters as inventory_adapters
from services.inventory import app as inventory_app
from services.inventory import server as inventory_server
from services.order import server as order_server
from services.order.adapters import MeshParticipants
from services.order.app import ChangeNotifier, OrderBook
from services.order.driver import Driver
from services.order.saga import RetryPolicy
from services.order.store import DatabaseOrders
from services.payment import adapters as payment_adapters
from services.payment import app as payment_app
from services.payment import server as payment_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine

    from meshwright.auth import Auth
    from meshwright.calls.errors import ErrorDetails
    from services.common.messaging.event_metrics import EventLog
    from services.common.messaging.events import Event

    Forward = Callable[[], Awaitable[bytes]]
    Fault = Callable[[Forward], Awaitable[bytes]]


class LostError(Exception):
    """The caller cannot know what became of its call. (No UNAVAILABLE, with which its channel would try again.)"""


class Proxy(grpc.GenericRpcHandler):
    """Forwards unary calls as bytes. `calls` are the methods that came by, in their order."""

    def __init__(self, target: Address) -> None:
        self.calls: list[str] = []
        self.address = Address("127.0.0.1", 0)
        self._target = target
        self._faults: dict[str, deque[Fault]] = defaultdict(deque)
        self._always: dict[str, Fault] = {}
        self._delivered: list[tuple[str, bytes]] = []

    def once(self, method: str, *faults: Fault) -> None:
        """What happens to the next calls of the method, as `Charge`, one after the other; then they pass."""
        self._faults[method].extend(faults)

    def always(self, method: str, fault: Fault | None) -> None:
        """What happens to every call of the method until told otherwise."""
        self._always.pop(method, None)
        if fault is not None:
            self._always[method] = fault

    async def redeliver(self) -> None:
        """Every request that ever arrived arrives again, the last one first; the responses are dropped."""
        for method, request in reversed(list(self._delivered)):
            with contextlib.suppress(grpc.aio.AioRpcError):
                await self._unary(method)(request, timeout=5)

    def _unary(self, method: str) -> Any:
        return self._channel.unary_unary(method)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = handler_call_details.method

        async def handle(request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
            return await self._handle(method, request, context)

        return grpc.unary_unary_rpc_method_handler(handle)

    async def _handle(self, method: str, request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        name = method.rpartition("/")[2]
        self.calls.append(name)
        metadata = [(key, value) for key, value in context.invocation_metadata() or () if key == "traceparent"]

        async def forward() -> bytes:
            self._delivered.append((method, request))
            return await self._unary(method)(request, timeout=5, metadata=metadata)

        queue = self._faults[name]
        fault = queue.popleft() if queue else self._always.get(name, passed)
        try:
            return await fault(forward)
        except LostError:
            await context.abort(grpc.StatusCode.UNKNOWN, "lost on the way")
        except grpc.aio.AioRpcError as error:
            trailers = tuple(error.trailing_metadata() or ())
            await context.abort(error.code(), error.details() or "", trailers)
        raise AssertionError("abort raises")

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Proxy]:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers([self])
        self.address = Address("127.0.0.1", server.add_insecure_port("127.0.0.1:0"))
        # A target that comes back is found at once.
        options = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 100)]
        async with grpc.aio.insecure_channel(str(self._target), options=options) as self._channel:
            await server.start()
            try:
                yield self
            finally:
                await server.stop(None)


async def passed(forward: Forward) -> bytes:
    return await forward()


async def lost_request(forward: Forward) -> bytes:
    raise LostError


async def lost_answer(forward: Forward) -> bytes:
    await forward()
    raise LostError


async def doubled(forward: Forward) -> bytes:
    await forward()
    return await forward()


ADA = "01890000-0000-7000-8000-000000000001"
TEA, MUG = "TEA", "MUG"
PRICES = {TEA: 250, MUG: 1200}
RESTING = {pb.COMPLETED, pb.REJECTED, pb.NEEDS_ATTENTION}
QUICK = RetryPolicy(timeout=2.0, attempts=4, undo_attempts=4, backoff=0.01, backoff_max=0.05, lease=5.0)


async def refusal(call: Awaitable[object]) -> ErrorDetails:
    """How the call was refused."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return meshwright.error_details(error)
    raise AssertionError(f"the call succeeded: {answer}")


def order_request(key: str, user: str = ADA, **quantities: int) -> pb.PlaceOrderRequest:
    """`tea=2, mug=1`."""
    items = [pb.OrderItem(sku=name.upper(), quantity=quantity) for name, quantity in quantities.items()]
    return pb.PlaceOrderRequest(idempotency_key=key, user_id=user, items=items)


async def settled(orders: rpc.OrderServiceStub, order: pb.Order) -> pb.Order:
    """The order when it has come to rest."""
    async for change in orders.WatchOrder(pb.WatchOrderRequest(id=order.id), timeout=60):
        order = change
    assert order.state in RESTING, order
    return order


@dataclass
class Replica:
    """One order service."""

    store: DatabaseOrders
    book: OrderBook
    driver: Driver
    served: Served
    stopping: asyncio.Event
    """Set it, and its watches end."""

    @property
    def stub(self) -> rpc.OrderServiceStub:
        return rpc.OrderServiceStub(self.served.channel)


@dataclass
class Shop:
    """Goods, money, and what stands between them and the order service."""

    new_database: Callable[[str], str]
    stack: contextlib.AsyncExitStack
    policy: RetryPolicy
    orders_url: str = ""
    proxies: dict[str, Proxy] = field(default_factory=dict)
    proxied: dict[str, Served] = field(default_factory=dict)
    logs: dict[str, EventLog] = field(default_factory=dict)

    async def start(self) -> None:
        self.orders_url = self.new_database("orders")
        self.inventory = inventory_rpc.InventoryServiceStub(await self._serve_inventory())
        self.payment = payment_rpc.PaymentServiceStub(await self._serve_payment())
        for sku, price in PRICES.items():
            request = inventory_pb.RestockRequest(key=f"seed/{sku}", sku=sku, quantity=10, price_cents=price)
            await self.inventory.Restock(request)
        await self.deposit("seed", 5000)

    async def deposit(self, key: str, amount: int, user: str = ADA) -> None:
        await self.payment.Deposit(payment_pb.DepositRequest(key=key, user_id=user, amount_cents=amount))

    async def balance(self, user: str = ADA) -> int:
        return (await self.payment.GetAccount(payment_pb.GetAccountRequest(user_id=user))).balance_cents

    async def stock(self, sku: str = TEA) -> tuple[int, int, int]:
        """Available, reserved, shipped."""
        found = await self.inventory.GetStock(inventory_pb.GetStockRequest(sku=sku))
        return found.available, found.reserved, found.shipped

    async def events(self, source: str, limit: int) -> Sequence[Event]:
        """The first events that the service has stored for its publisher."""
        return await self.logs[source].after(0, limit)

    async def engine(self, url: str) -> AsyncEngine:
        made = open_database("DATABASE_URL", url)
        self.stack.push_async_callback(made.dispose)
        return made

    async def replica(self, name: str, *, driving: bool = True, auth: Auth | None = None) -> Replica:
        """One more replica of the order service, on the database of the others; `auth` has it ask who calls."""
        engine = await self.engine(self.orders_url)
        store = DatabaseOrders(engine)
        await store.prepare()
        self.logs["order"] = store.log
        bell = ChangeNotifier()
        stubs = [await self._participant(service) for service in ("inventory", "payment")]
        participants = MeshParticipants(
            inventory_rpc.InventoryServiceStub(stubs[0]), payment_rpc.PaymentServiceStub(stubs[1]), self.policy.timeout
        )
        driver = Driver(name, store, participants, self.policy, on_change=bell.notify, jitter=random.random)

        def stored(order_id: str) -> None:
            bell.notify(order_id)
            driver.wake()

        book = OrderBook(store, bell, stored, entropy=os.urandom)
        if driving:
            await self.stack.enter_async_context(driver.running())
        stopping = asyncio.Event()
        return Replica(store, book, driver, await self._serve_orders(book, stopping, auth), stopping)

    async def _serve_orders(self, book: OrderBook, stopping: asyncio.Event, auth: Auth | None) -> Served:
        service = order_server.OrderService(book, stopping)
        add = rpc.add_OrderServiceServicer_to_server
        return await self.stack.enter_async_context(
            served(add, service, service="order", errors=order_server.ERRORS, auth=auth)
        )

    async def _participant(self, service: str) -> meshwright.MeshChannel:
        with resolving({service: [self.proxies[service].address]}):
            config = self.proxied[service].server.config
            return await self.stack.enter_async_context(
                meshwright.channel(service, config, telemetry=self.proxied[service].telemetry)
            )

    async def _serve_inventory(self) -> meshwright.MeshChannel:
        store = inventory_adapters.DatabaseStore(await self.engine(self.new_database("inventory")))
        await store.prepare()
        self.logs["inventory"] = store.events
        service = inventory_server.InventoryService(inventory_app.Warehouse(store))
        add = inventory_rpc.add_InventoryServiceServicer_to_server
        return await self._serve("inventory", add, service, inventory_server.ERRORS)

    async def _serve_payment(self) -> meshwright.MeshChannel:
        store = payment_adapters.DatabaseStore(await self.engine(self.new_database("payment")))
        await store.prepare()
        self.logs["payment"] = store.events
        service = payment_server.PaymentService(payment_app.Cashier(store))
        return await self._serve(
            "payment", payment_rpc.add_PaymentServiceServicer_to_server, service, payment_server.ERRORS
        )

    async def _serve(self, name: str, add: Any, service: Any, errors: Any) -> meshwright.MeshChannel:
        made = await self.stack.enter_async_context(served(add, service, service=name, errors=errors))
        self.proxied[name] = made
        self.proxies[name] = await self.stack.enter_async_context(Proxy(made.address).serving())
        return made.channel


@contextlib.asynccontextmanager
async def shop(new_database: Callable[[str], str], policy: RetryPolicy = QUICK) -> AsyncIterator[Shop]:
    """Ten of each item, and 5000 cents on Ada's account."""
    async with contextlib.AsyncExitStack() as stack:
        made = Shop(new_database, stack, policy)
        await made.start()
        yield made
