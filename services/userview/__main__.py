"""python -m services.userview"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from prometheus_client import Gauge

import meshwright
from demo.userview.v1 import userview_pb2_grpc as rpc
from meshwright.auth import Auth
from meshwright.config import AuthConfig, ServiceConfig, env_field
from services.common.messaging.bus import BusConfig, open_bus
from services.common.runtime.entry_point import run_service
from services.common.runtime.tasks import background_task
from services.common.storage.database import Databases, ensure_database, open_database, service_database_url
from services.common.storage.database_wait import wait_for_database
from services.common.storage.table_recovery import TableRecovery
from services.userview.adapters import DatabaseViews, StreamSources
from services.userview.app import ChangeNotifier, ReadSide
from services.userview.server import ERRORS, PUBLIC, UserViewService
from services.userview.tables import metadata
from services.userview.view_consumers import ViewConsumers

DATABASE = "USERVIEW_DATABASE_URL"
NAME = "userview"
DEFAULTS = {"MESHWRIGHT_SERVICE": NAME, "MESHWRIGHT_VERSION": "1.0.0"}


@dataclass(frozen=True, slots=True)
class UserViewConfig:
    """`mesh`: the configuration of every service."""

    database: str = env_field(
        DATABASE, "sqlite:///.meshwright/userview.db", help="sqlite:///<file> or postgresql://..."
    )
    databases: Databases = field(kw_only=True)
    bus: BusConfig = field(kw_only=True)
    mesh: ServiceConfig = field(kw_only=True)
    auth: AuthConfig = field(kw_only=True, default_factory=AuthConfig)


async def run(config: UserViewConfig) -> None:
    async with meshwright.Server(
        config.mesh, errors=ERRORS, auth=Auth.configured(config.auth, public=PUBLIC)
    ) as server:
        own = service_database_url(config.database, NAME) if config.databases.per_service else config.database
        engine = open_database(DATABASE, own)
        server.on_stop(engine.dispose)
        views = DatabaseViews(engine)
        bus = await server.enter(open_bus(config.bus, NAME, server.telemetry))
        signal = ChangeNotifier()
        pending = Gauge(
            "userview_pending_events",
            "Events that the views have still to see.",
            ["source"],
            registry=server.telemetry.metrics.registry,
        )
        consumers = ViewConsumers(bus, views, signal, lambda source, count: pending.labels(source).set(count))

        async def make_tables() -> None:
            await ensure_database(config.database, own)
            await views.prepare()

        async def prepare() -> None:
            await wait_for_database(DATABASE, engine, make_tables, server.health)
            await server.enter(TableRecovery(engine, metadata.tables, make_tables, server.health).running())
            await server.enter(background_task(consumers.run(), "filling the views"))

        server.warm_up(prepare)
        side = ReadSide(views, StreamSources(bus), signal, now=lambda: datetime.now(UTC), rebuild_begun=consumers.wake)
        server.add(rpc.add_UserViewServiceServicer_to_server, UserViewService(side))
        await server.run()


def main() -> None:
    run_service(run, UserViewConfig, DEFAULTS)


if __name__ == "__main__":
    main()
