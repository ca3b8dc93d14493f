"""python -m services.userview"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from prometheus_client import Gauge

import meshwright
from demo.userview.v1 import userview_pb2_grpc as rpc
from meshwright.config import AuthConfig, ServiceConfig, environment, load, setting
from services.kit.awaiting import database_ready
from services.kit.bus import BusConfig, open_bus
from services.kit.database import Databases, ensure_database, open_database, own_database
from services.kit.keeping import TableKeeper
from services.kit.running import running
from services.kit.starting import start
from services.userview.adapters import DatabaseViews, StreamSources
from services.userview.app import ReadSide, Signal
from services.userview.following import Followers
from services.userview.server import ERRORS, PUBLIC, UserViewService
from services.userview.tables import metadata

DATABASE = "USERVIEW_DATABASE_URL"
NAME = "userview"
DEFAULTS = {"MESHWRIGHT_SERVICE": NAME, "MESHWRIGHT_VERSION": "1.0.0"}


@dataclass(frozen=True, slots=True)
class UserViewConfig:
    """`mesh` is what every service has; the rest is the read side's own."""

    database: str = setting(DATABASE, "sqlite:///.meshwright/userview.db", help="sqlite:///<file> or postgresql://...")
    databases: Databases = field(kw_only=True)
    bus: BusConfig = field(kw_only=True)
    mesh: ServiceConfig = field(kw_only=True)
    auth: AuthConfig = field(kw_only=True, default_factory=AuthConfig)


async def run(config: UserViewConfig) -> None:
    async with meshwright.Server(
        config.mesh, errors=ERRORS, auth=meshwright.Auth.configured(config.auth, public=PUBLIC)
    ) as server:
        own = own_database(config.database, NAME) if config.databases.per_service else config.database
        engine = open_database(DATABASE, own)
        server.on_stop(engine.dispose)
        views = DatabaseViews(engine)
        bus = await server.enter(open_bus(config.bus, NAME, server.telemetry))
        signal = Signal()
        pending = Gauge(
            "userview_pending_events",
            "Events that the views have still to see.",
            ["source"],
            registry=server.telemetry.metrics.registry,
        )
        followers = Followers(bus, views, signal, lambda source, count: pending.labels(source).set(count))

        async def make_tables() -> None:
            await ensure_database(config.database, own)
            await views.prepare()

        async def prepare() -> None:
            await database_ready(DATABASE, engine, make_tables, server.health)
            await server.enter(TableKeeper(engine, metadata.tables, make_tables, server.health).running())
            await server.enter(running(followers.run(), "filling the views"))

        server.warm_up(prepare)
        side = ReadSide(views, StreamSources(bus), signal, now=lambda: datetime.now(UTC), rebuild_begun=followers.wake)
        server.add(rpc.add_UserViewServiceServicer_to_server, UserViewService(side))
        await server.run()


def main() -> None:
    start(lambda: run(load(UserViewConfig, DEFAULTS | environment())))


if __name__ == "__main__":
    main()
