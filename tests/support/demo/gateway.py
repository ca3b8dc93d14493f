"""The demo's three services in one process, on real sockets, or the gateway with the whole shop behind it.

Neither Consul nor a control plane is needed. The shop is what the page at `/` is made for.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

import meshwright
from demo.calculator.v1 import calculator_pb2_grpc as calculator_rpc
from demo.user.v1 import user_pb2_grpc as user_rpc
from demo.user.v2 import user_pb2_grpc as profile_rpc
from meshwright.auth import Auth, Identity
from meshwright.config import ServiceConfig, load_config
from meshwright.telemetry import Telemetry
from meshwright.testing import SpanRecorder, resolving
from services.calculator import server as calculator_server
from services.calculator.adapters import Interval
from services.common.messaging.bus import BusConfig, open_bus
from services.common.storage.database import open_database
from services.gateway.api.calculator.client import CalculatorClient
from services.gateway.api.orders.client import ShopClient
from services.gateway.api.parameters import Backends, RequestTimeouts
from services.gateway.api.users.client import UserClient
from services.gateway.http.http_server import PING_SECONDS, serving
from services.gateway.readiness import MeshUpstream, Readiness
from services.gateway.realtime.clients import SMALL_WINDOW
from services.gateway.realtime.wiring import RealtimeConfig, realtime
from services.gateway.server import QUIET, UNTRACED, make_app
from services.gateway.tables import prepare
from services.gateway.wiring import EdgeConfig, make_dependencies
from services.user import server as user_server
from services.user.adapters import CalculatorMultiplier, DatabaseUsers, prepare_database
from services.user.app import UserBook
from support.demo import saga

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    import grpc
    from fastapi import APIRouter

    from meshwright.model import Address
    from services.calculator.app import Pace
    from services.order.saga import RetryPolicy
    from support.demo.saga import Forward


VERSION = "1.2.3"
MAX_BODY = 2000
PATIENT = RequestTimeouts(answer=60.0)
"""What tests give that are about something other than time: their machine may be busy."""


@dataclass(frozen=True)
class Live:
    """What the real-time edge needs: a NATS, and where the services behind it are."""

    nats_url: str
    chat: list[Address]
    notification: list[Address]
    settings: dict[str, str] = field(default_factory=dict)
    """Of `RealtimeConfig`, by variable."""


@dataclass
class Demo:
    """What is running, and a client of the gateway."""

    stack: contextlib.AsyncExitStack
    folder: Path
    timeouts: RequestTimeouts
    pace: Pace
    spans: SpanRecorder = field(default_factory=SpanRecorder)
    draining: bool = False
    settings: dict[str, str] = field(default_factory=dict)
    """Of `EdgeConfig`, by variable."""
    clock: Callable[[], float] = time.time
    """The gateway's."""
    database: str = ""
    """The gateway's; empty: a new SQLite file."""
    shop: ShopClient | None = None
    ping_seconds: float = PING_SECONDS
    port: int = 0
    """The gateway's; 0: a free one."""
    live: Live | None = None
    asks: bool = False
    """Whether the user service verifies its callers, as in the demo that people run."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """What a gateway that stops sets first: its sockets and streams end."""

    def telemetry(self, service: str) -> Telemetry:
        # No time for callers to hear of a stop: these servers are not found by name.
        config = load_config(
            ServiceConfig, {}, service=service, version=VERSION, register=False, grace=1.0, propagation=0.0
        )
        telemetry = Telemetry(config, exporter=self.spans)
        self.stack.push_async_callback(telemetry.close)
        return telemetry

    async def start(self) -> None:
        self.calculator = await self.serve_calculator()
        self.calculator_channel = await self.channel("calculator", self.calculator, self.telemetry("test"))
        self.user = await self.serve_user()
        self.user_channel = await self.channel("user", self.user, self.telemetry("test"))
        await self.serve_gateway()

    async def serve_calculator(self) -> meshwright.Server:
        server = self.server("calculator", calculator_server.ERRORS)
        server = await self.stack.enter_async_context(server)
        server.add(calculator_rpc.add_CalculatorServicer_to_server, calculator_server.Calculator())
        server.add(calculator_rpc.add_NumberServiceServicer_to_server, calculator_server.NumberService(self.pace))
        await server.start()
        return server

    async def serve_user(self) -> meshwright.Server:
        auth = Auth(_Gateways(self), user_server.PUBLIC) if self.asks else None
        server = await self.stack.enter_async_context(self.server("user", user_server.ERRORS, auth))
        engine = open_database("X", f"sqlite:///{self.folder}/users.db")
        await prepare_database(engine)
        server.on_stop(engine.dispose)
        channel = await self.channel("calculator", self.calculator, server.telemetry)
        figures = CalculatorMultiplier(calculator_rpc.CalculatorStub(channel))
        book = UserBook(DatabaseUsers(engine), figures, entropy=os.urandom)
        server.add(user_rpc.add_UserServiceServicer_to_server, user_server.UserService(book))
        server.add(profile_rpc.add_UserServiceServicer_to_server, user_server.UserProfileService(book))
        await server.start()
        return server

    async def serve_gateway(self) -> None:
        telemetry = self.telemetry("gateway")
        user = await self.channel("user", self.user, telemetry)
        calculator = await self.channel("calculator", self.calculator, telemetry)
        upstreams = [MeshUpstream("user", user), MeshUpstream("calculator", calculator)]
        readiness = Readiness(upstreams, draining=lambda: self.draining)
        backends = Backends(UserClient(user), CalculatorClient(calculator), readiness, self.timeouts)
        engine = open_database("X", self.database or f"sqlite:///{self.folder}/gateway.db")
        await prepare(engine)
        self.stack.push_async_callback(engine.dispose)
        config = load_config(EdgeConfig, {"GATEWAY_MAX_BODY": str(MAX_BODY), "GATEWAY_RATE": "0", **self.settings})
        self.edge = make_dependencies(
            config, engine, clock=self.clock, monotonic=time.monotonic, entropy=os.urandom, shop=self.shop
        )
        self.gateway = contextlib.AsyncExitStack()
        self.stack.push_async_callback(self.gateway.aclose)
        routers = await self._live(telemetry) if self.live else []
        carried = telemetry.config.carried_headers
        app = make_app(backends, self.edge, version=VERSION, clock=self.clock, routers=routers, carried=carried)
        traced = meshwright.AsgiMiddleware(app, quiet=QUIET, untraced=UNTRACED, telemetry=telemetry)
        self.address = await self.gateway.enter_async_context(
            serving(
                traced,
                "127.0.0.1",
                self.port,
                grace=1.0,
                header_seconds=config.header_seconds,
                send_seconds=config.send_seconds,
                ping_seconds=self.ping_seconds,
            )
        )
        self.port = self.address.port
        # Hashing passwords takes its time on a machine that is busy.
        client = httpx.AsyncClient(base_url=f"http://{self.address}", timeout=30)
        self.http = await self.stack.enter_async_context(client)

    async def _live(self, telemetry: Telemetry) -> list[APIRouter]:
        assert self.live
        enter = self.gateway.enter_async_context
        self.stopping = asyncio.Event()
        with resolving({"chat": self.live.chat, "notification": self.live.notification}):
            chat = await enter(meshwright.channel("chat", options=SMALL_WINDOW, telemetry=telemetry))
            notification = await enter(meshwright.channel("notification", options=SMALL_WINDOW, telemetry=telemetry))
        return await enter(
            realtime(
                load_config(RealtimeConfig, self.live.settings),
                self.edge,
                await enter(open_bus(BusConfig((self.live.nats_url,)), "gateway", telemetry)),
                chat=chat,
                notification=notification,
                draining=self.stopping,
                clock=self.clock,
                tracer=telemetry.tracer,
            )
        )

    async def stop_gateway(self) -> None:
        """As the process does on SIGTERM: sockets and streams are told to go, then requests end."""
        self.stopping.set()
        await self.gateway.aclose()

    def server(self, service: str, errors: Any, auth: Auth | None = None) -> meshwright.Server:
        telemetry = self.telemetry(service)
        return meshwright.Server(telemetry.config, errors=errors, telemetry=telemetry, auth=auth)

    async def channel(self, name: str, server: meshwright.Server, telemetry: Telemetry) -> meshwright.MeshChannel:
        with resolving({name: [server.address]}):
            return await self.stack.enter_async_context(meshwright.channel(name, telemetry=telemetry))

    async def user_id(self, **changes: Any) -> str:
        """The id of a user who was not there before."""
        body = {"name": "Ada", "email": f"{os.urandom(6).hex()}@example.org"} | changes
        response = await self.http.post("/api/v1/users", json=body)
        assert response.status_code == 201, response.text
        return response.json()["id"]


@dataclass
class _Gateways:
    """The verifier of a gateway that is there only when it is first asked."""

    demo: Demo

    def known(self, token: str) -> Identity | None:
        return self.demo.edge.callers.verifier.known(token)

    async def verify(self, token: str) -> Identity:
        return await self.demo.edge.callers.verifier.verify(token)


@contextlib.asynccontextmanager
async def demo(
    folder: Path, *, timeouts: RequestTimeouts | None = None, pace: Pace | None = None, **more: Any
) -> AsyncIterator[Demo]:
    """Everything, for as long as the context lasts; primes come without a pause unless `pace` says otherwise.

    `more`: fields of `Demo` from `settings` on.
    """
    async with contextlib.AsyncExitStack() as stack:
        running = Demo(stack, folder, timeouts or PATIENT, pace or Interval(0), **more)
        await running.start()
        yield running


STEPS = {"Reserve": "inventory", "Charge": "payment", "Ship": "inventory"}
"""The calls of the saga's steps, and whom they go to."""


@dataclass
class Gate:
    """A step of the saga that waits until the test lets it through."""

    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, forward: Forward) -> bytes:
        await self.opened.wait()
        return await forward()


@dataclass
class Storefront:
    """What is running."""

    demo: Demo
    shop: saga.Shop
    orders: saga.Replica

    def gate(self, call: str) -> Gate:
        """The next call of that name, as `Charge`, waits there."""
        gate = Gate()
        self.shop.proxies[STEPS[call]].once(call, gate)
        return gate


@contextlib.asynccontextmanager
async def storefront(
    folder: Path, policy: RetryPolicy = saga.QUICK, views: grpc.aio.Channel | None = None, **more: Any
) -> AsyncIterator[Storefront]:
    """Ten of each item on sale, one replica of each service; `views`: a read side. `more`: fields of `Demo`."""
    async with contextlib.AsyncExitStack() as stack:
        made = await stack.enter_async_context(saga.shop(lambda name: f"sqlite:///{folder}/{name}.db", policy))
        orders = await made.replica("one")
        with resolving({}):
            absent = await stack.enter_async_context(meshwright.channel("userview"))
        participants = [made.proxied[name].channel for name in ("inventory", "payment")]
        channels = [orders.served.channel, *participants, views or absent]
        running = await stack.enter_async_context(demo(folder, shop=ShopClient(*channels), **more))
        yield Storefront(running, made, orders)
