"""python -m services.payment"""

from __future__ import annotations

from dataclasses import dataclass, field

import meshwright
from demo.payment.v1 import payment_pb2_grpc as rpc
from meshwright.auth import Auth
from meshwright.config import AuthConfig, ServiceConfig, env_field
from services.common.messaging.bus import BusConfig, open_bus
from services.common.messaging.outbox_publisher import OutboxPublisher
from services.common.runtime.entry_point import run_service
from services.common.storage.database import Databases, ensure_database, open_database, service_database_url
from services.common.storage.database_wait import wait_for_database
from services.common.storage.table_recovery import TableRecovery
from services.payment.adapters import SOURCE, DatabaseStore, metadata
from services.payment.app import Cashier
from services.payment.server import ERRORS, PUBLIC, PaymentService

DATABASE = "PAYMENT_DATABASE_URL"
DEFAULTS = {"MESHWRIGHT_SERVICE": "payment", "MESHWRIGHT_VERSION": "1.0.0"}


@dataclass(frozen=True, slots=True)
class PaymentConfig:
    """`mesh`: the configuration of every service."""

    database: str = env_field(DATABASE, "sqlite:///.meshwright/payment.db", help="sqlite:///<file> or postgresql://...")
    databases: Databases = field(kw_only=True)
    bus: BusConfig = field(kw_only=True)
    mesh: ServiceConfig = field(kw_only=True)
    auth: AuthConfig = field(kw_only=True, default_factory=AuthConfig)


async def run(config: PaymentConfig) -> None:
    async with meshwright.Server(
        config.mesh, errors=ERRORS, auth=Auth.configured(config.auth, public=PUBLIC)
    ) as server:
        own = service_database_url(config.database, SOURCE) if config.databases.per_service else config.database
        engine = open_database(DATABASE, own)
        server.on_stop(engine.dispose)
        store = DatabaseStore(engine)
        bus = await server.enter(open_bus(config.bus, SOURCE, server.telemetry))
        publisher = OutboxPublisher(bus, SOURCE, store.events)
        cashier = Cashier(store, on_change=publisher.wake)

        async def make_tables() -> None:
            await ensure_database(config.database, own)
            await store.prepare()

        async def prepare() -> None:
            await wait_for_database(DATABASE, engine, make_tables, server.health)
            await server.enter(TableRecovery(engine, metadata.tables, make_tables, server.health).running())
            await server.enter(publisher.running())

        server.warm_up(prepare)
        server.add(rpc.add_PaymentServiceServicer_to_server, PaymentService(cashier))
        await server.run()


def main() -> None:
    run_service(run, PaymentConfig, DEFAULTS)


if __name__ == "__main__":
    main()
