"""The saga's services as processes that can be killed, two of each, with NATS, and a proxy on each way between them.

Each order replica finds its participants in a dev Consul under names of its own, which lead to proxies of its own,
and those to replicas of their own: so a test sees which replica calls, and may kill it, or whom it calls, in the middle
of any call; and who takes an order over asks another replica than the one that was asked before.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import grpc
import httpx

from demo.inventory.v1 import inventory_pb2 as inventory_pb
from demo.inventory.v1 import inventory_pb2_grpc as inventory_rpc
from demo.order.v1 import order_pb2 as pb
from demo.order.v1 import order_pb2_grpc as rpc
from demo.payment.v1 import payment_pb2 as payment_pb
from demo.payment.v1 import payment_pb2_grpc as payment_rpc
from meshwright.model import Address
from services.common.messaging.bus import BusConfig, open_bus
from support.consul.servers import dev_consul
from support.demo.saga import ADA, RESTING, LostError, Proxy, order_request, passed
from support.mesh.mesh import serving
from support.processes import Process, promised_port, python, running
from support.servers.nats import NatsServer, events_after, nats_server
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from pathlib import Path

    from services.common.messaging.events import Event
    from support.demo.saga import Fault, Forward


METHODS = {"inventory": ("Reserve", "Ship", "Release"), "payment": ("Charge", "Refund")}
PARTICIPANTS = tuple(METHODS)
REPLICAS = ("a", "b")
SKU, PRICE, PIECES = "TEA", 100, 1_000
MONEY = 1_000_000
MOST_BOOKINGS = 500
QUICK = {
    "ORDER_STEP_TIMEOUT": "1.0",
    "ORDER_STEP_ATTEMPTS": "200",
    "ORDER_UNDO_ATTEMPTS": "200",
    "ORDER_BACKOFF": "0.05",
    "ORDER_BACKOFF_MAX": "0.2",
    "ORDER_LEASE": "1.2",
    "INVENTORY_CATALOGUE": "false",
    "MESHWRIGHT_PROPAGATION": "0",
}


class Member:
    """One service process, on a port that stays its own."""

    def __init__(self, service: str, folder: Path, environ: Mapping[str, str]) -> None:
        self.service = service
        self.address = Address("127.0.0.1", promised_port())
        self._folder = folder
        self._environ = {**environ, "MESHWRIGHT_PORT": str(self.address.port), "MESHWRIGHT_REGISTER": "false"}
        self._stack = contextlib.AsyncExitStack()
        self.process: Process | None = None

    async def start(self) -> None:
        log = self._folder / f"{self.service}-{self.address.port}.log"
        command = python("-m", f"services.{self.service}")
        self.process = await self._stack.enter_async_context(running(command, log, self._environ))
        await serving(self.address, "", self.process)

    async def kill(self) -> None:
        """kill -9."""
        assert self.process
        await self.process.kill()

    async def close(self) -> None:
        await self._stack.aclose()


@dataclass
class Town:
    """Everything, and what tests do with it."""

    folder: Path
    stack: contextlib.AsyncExitStack
    database: Callable[[str], Mapping[str, str]]
    nats: NatsServer
    registry: str
    members: dict[str, Member] = field(default_factory=dict)
    proxies: dict[tuple[str, str], Proxy] = field(default_factory=dict)
    """By participant and replica."""
    restarting: list[asyncio.Task[None]] = field(default_factory=list)
    placed: list[pb.Order] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    async def start(self) -> None:
        common = {**QUICK, "NATS_URL": self.nats.url}
        for service, replica in itertools.product(PARTICIPANTS, REPLICAS):
            self._member(f"{service}-{replica}", service, {**common, **self.database(service)})
            await self._proxy(service, replica)
        for replica in REPLICAS:
            found = {
                "ORDER_INVENTORY": f"inventory-{replica}",
                "ORDER_PAYMENT": f"payment-{replica}",
                "MESHWRIGHT_DISCOVERY": "consul",
                "CONSUL_HTTP_ADDR": self.registry,
            }
            self._member(replica, "order", {**common, **self.database("order"), **found})
        await asyncio.gather(*(member.start() for member in self.members.values()))
        await self._connect()
        stock = inventory_pb.RestockRequest(key="seed", sku=SKU, quantity=PIECES, price_cents=PRICE)
        await self.inventory.Restock(stock)
        await self.payment.Deposit(payment_pb.DepositRequest(key="seed", user_id=ADA, amount_cents=MONEY))

    def _member(self, name: str, service: str, environ: Mapping[str, str]) -> None:
        self.members[name] = Member(service, self.folder, environ)
        self.stack.push_async_callback(self.members[name].close)

    async def _proxy(self, service: str, replica: str) -> None:
        proxy = await self.stack.enter_async_context(Proxy(self.members[f"{service}-{replica}"].address).serving())
        self.proxies[service, replica] = proxy
        entry = {"Name": f"{service}-{replica}", "Address": proxy.address.host, "Port": proxy.address.port}
        async with httpx.AsyncClient(base_url=f"http://{self.registry}") as client:
            (await client.put("/v1/agent/service/register", json=entry)).raise_for_status()

    async def channel(self, name: str) -> grpc.aio.Channel:
        options = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 100)]
        made = grpc.aio.insecure_channel(str(self.members[name].address), options=options)
        return await self.stack.enter_async_context(made)

    async def _connect(self) -> None:
        self.inventory = inventory_rpc.InventoryServiceStub(await self.channel("inventory-a"))
        self.payment = payment_rpc.PaymentServiceStub(await self.channel("payment-a"))
        self.orders = {replica: rpc.OrderServiceStub(await self.channel(replica)) for replica in REPLICAS}

    def kill_during(self, method: str, *, after: bool, participant: bool = False) -> asyncio.Event:
        """At the next call of the method, before it arrives or after it was answered, the replica that calls is killed,
        or the participant that it calls; and started again. The event says that it has happened."""
        happened = asyncio.Event()
        claimed = asyncio.Event()
        """The one call is on its way that ends so. The restart is under way only when it has `happened`."""
        service = next(service for service, methods in METHODS.items() if method in methods)

        def fault(victim: str) -> Fault:
            async def kill(forward: Forward) -> bytes:
                if claimed.is_set():
                    return await forward()
                claimed.set()
                if after:
                    try:
                        await forward()
                    except BaseException:
                        claimed.clear()  # it was not answered: the next one is it
                        raise
                dead = asyncio.Event()
                # Beside this call, which ends with its caller where that is the victim.
                self.restarting.append(asyncio.create_task(self._again(victim, dead)))
                happened.set()
                await dead.wait()
                raise LostError

            return kill

        for replica in REPLICAS:
            self.proxies[service, replica].always(method, fault(f"{service}-{replica}" if participant else replica))
        return happened

    async def _again(self, victim: str, dead: asyncio.Event) -> None:
        await self.members[victim].kill()
        dead.set()
        await self.members[victim].start()

    def refuse_shipping(self, *, refused: bool) -> None:
        """So that what was done is undone."""
        for replica in REPLICAS:
            self.proxies["inventory", replica].always("Ship", refused_shipping if refused else None)

    def disturb(self, chosen: Callable[[str], Fault]) -> None:
        """What befalls each call, by its method, until told otherwise."""

        def fault(method: str) -> Fault:
            async def whatever(forward: Forward) -> bytes:
                return await chosen(method)(forward)

            return whatever

        for (service, _), proxy in self.proxies.items():
            for method in METHODS[service]:
                proxy.always(method, fault(method))

    def leave_alone(self) -> None:
        """No call is disturbed any more, and no process is killed."""
        self.disturb(lambda _: passed)

    async def place(self, replica: str = "a", quantity: int = 2) -> pb.Order:
        """As a client does: again with the same key, at any replica, until there is an answer."""
        key = f"order-{next(self.numbers)}"
        order = await self.answered("PlaceOrder", order_request(key, tea=quantity), replica)
        self.placed.append(order)
        return order

    async def answered(self, method: str, request: object, replica: str = "a") -> Any:
        others = [replica, *(name for name in REPLICAS if name != replica)]

        async def call() -> Any:
            others.append(others.pop(0))
            return await getattr(self.orders[others[-1]], method)(request, timeout=3)

        return await eventually(call, 60, ignore=(grpc.aio.AioRpcError,))

    async def settled(self, order: pb.Order) -> pb.Order:
        async def rests() -> pb.Order | None:
            found = await self.answered("GetOrder", pb.GetOrderRequest(id=order.id))
            return found if found.state in RESTING else None

        return await eventually(rests, 60)

    async def up(self) -> None:
        """Every killed process is back."""
        await asyncio.gather(*self.restarting)
        self.restarting.clear()

    async def redeliver(self) -> None:
        """Every request that ever arrived arrives again."""
        await asyncio.gather(*(proxy.redeliver() for proxy in self.proxies.values()))

    async def check(self) -> None:
        """Money and stock add up to what the orders say, and no order is left on its way."""
        orders = [await self.settled(order) for order in self.placed]
        done = [order for order in orders if order.state == pb.COMPLETED]
        assert {order.state for order in orders} <= {pb.COMPLETED, pb.REJECTED}, orders
        sold = sum(item.quantity for order in done for item in order.items)
        stock = await self.inventory.GetStock(inventory_pb.GetStockRequest(sku=SKU), timeout=5)
        assert (stock.available, stock.reserved, stock.shipped) == (PIECES - sold, 0, sold)
        account = await self.payment.GetAccount(payment_pb.GetAccountRequest(user_id=ADA), timeout=5)
        assert account.balance_cents == MONEY - sold * PRICE
        booked = await self.payment.ListBookings(
            payment_pb.ListBookingsRequest(user_id=ADA, limit=MOST_BOOKINGS), timeout=5
        )
        names = [(booking.kind, booking.key) for booking in booked.bookings]
        assert len(names) < MOST_BOOKINGS, "not all of them were read"
        assert len(names) == len(set(names))
        charges = {key for kind, key in names if kind == "charge"} - {key for kind, key in names if kind == "refund"}
        assert charges == {f"order/{order.id}" for order in done}


async def refused_shipping(forward: Forward) -> bytes:
    raise grpc.aio.AioRpcError(
        grpc.StatusCode.FAILED_PRECONDITION, grpc.aio.Metadata(), grpc.aio.Metadata(), "the carrier is on strike"
    )


@contextlib.asynccontextmanager
async def town(folder: Path, database: Callable[[str], Mapping[str, str]] | None = None) -> AsyncIterator[Town]:
    """Two replicas each of order, inventory and payment, NATS and a registry.

    `database`: a service's variables for its own.
    """

    def sqlite(service: str) -> Mapping[str, str]:
        return {f"{service.upper()}_DATABASE_URL": f"sqlite:///{folder}/{service}.db"}

    async with contextlib.AsyncExitStack() as stack:
        nats = await stack.enter_async_context(nats_server(folder / "nats"))
        registry = await stack.enter_async_context(dev_consul())
        made = Town(folder, stack, database or sqlite, nats, str(registry.address))
        try:
            await made.start()
            yield made
        finally:
            # While all processes are still there: one that starts after the end of the others would be left behind.
            await made.up()


def on_one(url: str) -> Callable[[str], Mapping[str, str]]:
    """For `town`: that PostgreSQL, in which each service takes a database of its own."""
    return lambda service: {f"{service.upper()}_DATABASE_URL": url, "DEMO_DATABASE_PER_SERVICE": "true"}


async def published(nats: NatsServer, source: str, count: int) -> list[Event]:
    """The events of that service's stream, as soon as there are so many."""
    async with open_bus(BusConfig((nats.url,)), "test") as bus:
        found: list[Event] = []

        async def read() -> None:
            async with contextlib.aclosing(events_after(bus, source, 0)) as events:
                async for _, event in events:
                    found.append(event)
                    if len(found) == count:
                        return

        await asyncio.wait_for(read(), 30)
    return found
