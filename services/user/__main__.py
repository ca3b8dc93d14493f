"""python -m services.user"""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import meshwright
from demo.calculator.v1 import calculator_pb2_grpc as calculator_rpc
from demo.user.v1 import user_pb2_grpc as rpc
from demo.user.v2 import user_pb2_grpc as rpc2
from meshwright.auth import Auth
from meshwright.config import AuthConfig, ServiceConfig, env_field
from services.common.messaging.bus import BusConfig, open_bus
from services.common.messaging.outbox_publisher import OutboxPublisher
from services.common.runtime.entry_point import run_service
from services.common.runtime.errors import StoreUnavailableError
from services.common.runtime.tasks import background_task
from services.common.storage.database import Databases, ensure_database, open_database, service_database_url
from services.common.storage.database_wait import wait_for_database
from services.common.storage.table_recovery import TableRecovery
from services.user.adapters import CalculatorMultiplier, DatabaseUsers, prepare_database
from services.user.app import UserBook
from services.user.event_log import SOURCE
from services.user.migrations import VERSION_TABLE
from services.user.payment_consumer import consume_payments
from services.user.server import ERRORS, PUBLIC, UserProfileService, UserService, release_of
from services.user.tables import metadata

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("services.user")

RECONCILE_SECONDS = 300.0
DATABASE = "USER_DATABASE_URL"
DEFAULTS = {"MESHWRIGHT_SERVICE": "user", "MESHWRIGHT_VERSION": "1.0.0"}


@dataclass(frozen=True, slots=True)
class UserConfig:
    """`mesh`: the configuration of every service."""

    database: str = env_field(DATABASE, "sqlite:///.meshwright/user.db", help="sqlite:///<file> or postgresql://...")
    calculator: str = env_field("USER_CALCULATOR", "calculator", help="the name of the service that does the sums")
    failing: float | None = env_field(
        "USER_FAILING",
        None,
        help="share of calls, 0 to 1, that a bug spoils; unset: all from version 3 on",
    )
    databases: Databases = field(kw_only=True)
    bus: BusConfig = field(kw_only=True)
    mesh: ServiceConfig = field(kw_only=True)
    auth: AuthConfig = field(kw_only=True, default_factory=AuthConfig)


async def run(config: UserConfig) -> None:
    async with meshwright.Server(
        config.mesh, errors=ERRORS, auth=Auth.configured(config.auth, public=PUBLIC)
    ) as server:
        own = service_database_url(config.database, SOURCE) if config.databases.per_service else config.database
        engine = open_database(DATABASE, own)
        server.on_stop(engine.dispose)
        users = DatabaseUsers(engine)
        bus = await server.enter(open_bus(config.bus, SOURCE, server.telemetry))
        publisher = OutboxPublisher(bus, SOURCE, users.log)

        async def make_tables() -> None:
            await ensure_database(config.database, own)
            await prepare_database(engine)

        async def prepare() -> None:
            await wait_for_database(DATABASE, engine, make_tables, server.health)
            tables = (*metadata.tables, VERSION_TABLE)
            await server.enter(TableRecovery(engine, tables, make_tables, server.health).running())
            await server.enter(publisher.running())
            await server.enter(background_task(consume_payments(bus, users, publisher.wake), "following payment"))
            await server.enter(background_task(_reconciling(users, publisher.wake), "reconciling users"))

        server.warm_up(prepare)
        calculator = await server.channel(config.calculator)
        multiplier = CalculatorMultiplier(calculator_rpc.CalculatorStub(calculator))
        book = UserBook(users, multiplier, entropy=os.urandom, on_change=publisher.wake)
        release = release_of(config.mesh.version, config.failing)
        server.add(rpc.add_UserServiceServicer_to_server, UserService(book, release))
        server.add(rpc2.add_UserServiceServicer_to_server, UserProfileService(book, release))
        await server.run()


async def _reconciling(users: DatabaseUsers, on_change: Callable[[], None]) -> None:
    """Periodically records changes that releases without events have made to the table."""
    while True:
        try:
            count = await users.reconcile()
        except StoreUnavailableError as error:
            log.warning("what other releases did is recorded later: %s", error)
        except Exception:
            log.exception("what other releases did is recorded later")
        else:
            if count:
                log.info("%d users had changed without events", count)
                on_change()
        await asyncio.sleep(RECONCILE_SECONDS)


def main() -> None:
    run_service(run, UserConfig, DEFAULTS)


if __name__ == "__main__":
    main()
