"""python -m services.gateway"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, field, replace

import meshwright
from meshwright.config import ServiceConfig, env_field
from meshwright.errors import ValidationError, Violation
from services.common.messaging.bus import BusConfig, open_bus
from services.common.runtime.entry_point import run_service
from services.common.storage.database import Databases, ensure_database, open_database, service_database_url
from services.common.storage.database_wait import wait_for_database
from services.common.storage.table_recovery import HEALTH_CAUSE, TableRecovery
from services.gateway.api.calculator.client import CalculatorClient
from services.gateway.api.dependencies import GatewayDependencies, sweeping
from services.gateway.api.orders.client import ShopClient
from services.gateway.api.parameters import Backends, RequestTimeouts
from services.gateway.api.users.client import UserClient
from services.gateway.http.http_server import serving
from services.gateway.readiness import MeshUpstream, Readiness
from services.gateway.realtime.clients import SMALL_WINDOW
from services.gateway.realtime.wiring import RealtimeConfig, realtime
from services.gateway.server import QUIET, UNTRACED, make_app
from services.gateway.tables import metadata, prepare
from services.gateway.wiring import EdgeConfig, make_dependencies

DATABASE = "GATEWAY_DATABASE_URL"
DEFAULTS = {
    "MESHWRIGHT_SERVICE": "gateway",
    "MESHWRIGHT_VERSION": "1.0.0",
    "MESHWRIGHT_PORT": "8080",
    # The gateway serves no gRPC calls; docs/explanation/gateway.md.
    "MESHWRIGHT_REGISTER": "false",
}


@dataclass(frozen=True, slots=True)
class TimeConfig:
    """Timeouts of requests, in seconds."""

    answer: float = env_field("GATEWAY_TIMEOUT", 5.0, help="seconds for a request that names none")
    stream: float = env_field("GATEWAY_STREAM_TIMEOUT", 60.0, help="the same for streams")
    most: float = env_field("GATEWAY_MAX_TIMEOUT", 300.0, help="seconds that a request may name at most")

    def __post_init__(self) -> None:
        limits = {
            "GATEWAY_TIMEOUT": self.answer,
            "GATEWAY_STREAM_TIMEOUT": self.stream,
            "GATEWAY_MAX_TIMEOUT": self.most,
        }
        wrong = [name for name, value in limits.items() if not 0 < value < float("inf")]
        if wrong:
            raise ValidationError("the environment", [Violation(name, "must be above 0") for name in wrong])


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """`mesh`: the configuration of every service; its port is the HTTP port."""

    host: str = env_field("GATEWAY_HOST", "", help="address to bind for HTTP; empty: that of MESHWRIGHT_HOST")
    admin_port: int = env_field("GATEWAY_ADMIN_PORT", 0, help="gRPC health, channelz and CSDS; 0: a free one")
    database: str = env_field(DATABASE, "sqlite:///.meshwright/gateway.db", help="accounts, keys, tenants")
    user: str = env_field("GATEWAY_USER", "user", help="the name of the user service")
    calculator: str = env_field("GATEWAY_CALCULATOR", "calculator", help="the name of the calculator")
    order: str = env_field("GATEWAY_ORDER", "order", help="the name of the order service")
    inventory: str = env_field("GATEWAY_INVENTORY", "inventory", help="the name of the inventory service")
    payment: str = env_field("GATEWAY_PAYMENT", "payment", help="the name of the payment service")
    userview: str = env_field("GATEWAY_USERVIEW", "userview", help="the name of the read side")
    chat: str = env_field("GATEWAY_CHAT", "chat", help="the name of the chat")
    notification: str = env_field("GATEWAY_NOTIFICATION", "notification", help="the name of the notification service")
    times: TimeConfig = field(kw_only=True)
    realtime: RealtimeConfig = field(kw_only=True)
    bus: BusConfig = field(kw_only=True)
    mesh: ServiceConfig = field(kw_only=True)
    edge: EdgeConfig = field(kw_only=True)
    databases: Databases = field(kw_only=True)


async def run(config: GatewayConfig) -> None:
    """Runs the gateway. Resources close in reverse order: requests end first, then the channels that they use."""
    async with meshwright.Server(replace(config.mesh, port=config.admin_port)) as server:
        user = await server.channel(config.user)
        calculator = await server.channel(config.calculator)
        upstreams = [MeshUpstream(config.user, user), MeshUpstream(config.calculator, calculator)]
        backends = Backends(
            UserClient(user),
            CalculatorClient(calculator),
            Readiness(upstreams, draining=server.stopping.is_set, own=lambda: server.health.reasons),
            RequestTimeouts(config.times.answer, config.times.stream, config.times.most),
        )
        started = asyncio.Event()
        dependencies = await _dependencies(config, server, started)
        bus = await server.enter(open_bus(config.bus, config.mesh.service, server.telemetry))
        routers = await server.enter(
            realtime(
                config.realtime,
                dependencies,
                bus,
                chat=await server.channel(config.chat, options=SMALL_WINDOW),
                notification=await server.channel(config.notification, options=SMALL_WINDOW),
                draining=server.stopping,
                clock=time.time,
                tracer=server.telemetry.tracer,
                host=config.host or config.mesh.host,
            )
        )
        mesh = config.mesh
        app = make_app(
            backends,
            dependencies,
            version=mesh.version,
            routers=routers,
            carried=mesh.carried_headers,
            is_started=started.is_set,
        )
        traced = meshwright.AsgiMiddleware(app, quiet=QUIET, untraced=UNTRACED, telemetry=server.telemetry)
        host, port = config.host or config.mesh.host, config.mesh.port
        await server.enter(
            serving(
                traced,
                host,
                port,
                grace=config.mesh.grace,
                header_seconds=config.edge.header_seconds,
                send_seconds=config.edge.send_seconds,
            )
        )
        await server.run()


async def _dependencies(
    config: GatewayConfig, server: meshwright.Server, started: asyncio.Event
) -> GatewayDependencies:
    """Builds the dependencies; `started` is set once the database was reached."""
    given = config.database
    own = service_database_url(given, config.mesh.service) if config.databases.per_service else given
    engine = open_database(DATABASE, own)
    server.on_stop(engine.dispose)

    async def make_tables() -> None:
        await ensure_database(given, own)
        await prepare(engine)

    names = (config.order, config.inventory, config.payment, config.userview)
    channels = [await server.channel(name) for name in names]
    dependencies = make_dependencies(
        config.edge, engine, clock=time.time, monotonic=time.monotonic, entropy=os.urandom, shop=ShopClient(*channels)
    )

    async def warm_up() -> None:
        await wait_for_database(DATABASE, engine, make_tables, server.health)
        started.set()
        await server.enter(TableRecovery(engine, metadata.tables, make_tables, server.health).running())
        await server.enter(sweeping(dependencies, time.time))

    # HTTP is served before the database is ready: `/readyz` answers with the reason.
    server.health.hold(HEALTH_CAUSE, "has not checked its tables yet")
    server.warm_up(warm_up)
    return dependencies


def main() -> None:
    run_service(run, GatewayConfig, DEFAULTS)


if __name__ == "__main__":
    main()
