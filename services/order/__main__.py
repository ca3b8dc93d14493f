"""python -m services.order"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field

import meshwright
from demo.inventory.v1 import inventory_pb2_grpc as inventory_rpc
from demo.order.v1 import order_pb2_grpc as rpc
from demo.payment.v1 import payment_pb2_grpc as payment_rpc
from meshwright.auth import Auth
from meshwright.config import AuthConfig, ServiceConfig, env_field
from meshwright.errors import ValidationError, Violation
from services.common.messaging.bus import BusConfig, open_bus
from services.common.messaging.outbox_publisher import OutboxPublisher
from services.common.runtime.entry_point import run_service
from services.common.runtime.tasks import background_task
from services.common.storage.database import Databases, ensure_database, open_database, service_database_url
from services.common.storage.database_wait import wait_for_database
from services.common.storage.table_recovery import TableRecovery
from services.order.adapters import MeshParticipants, order_changes
from services.order.app import ChangeNotifier, OrderBook
from services.order.driver import Driver
from services.order.saga import RetryPolicy
from services.order.saga_metrics import SagaMetrics
from services.order.server import ERRORS, PUBLIC, OrderService
from services.order.store import SOURCE, DatabaseOrders
from services.order.tables import metadata

DATABASE = "ORDER_DATABASE_URL"
DEFAULTS = {"MESHWRIGHT_SERVICE": "order", "MESHWRIGHT_VERSION": "1.0.0"}


@dataclass(frozen=True, slots=True)
class OrderConfig:
    """`mesh`: the configuration of every service."""

    database: str = env_field(DATABASE, "sqlite:///.meshwright/order.db", help="sqlite:///<file> or postgresql://...")
    inventory: str = env_field("ORDER_INVENTORY", "inventory", help="the name of the service that has the goods")
    payment: str = env_field("ORDER_PAYMENT", "payment", help="the name of the service that has the money")
    timeout: float = env_field("ORDER_STEP_TIMEOUT", 3.0, help="seconds for one call of a participant")
    attempts: int = env_field("ORDER_STEP_ATTEMPTS", 10, help="tries without an answer before an order is undone")
    undo_attempts: int = env_field(
        "ORDER_UNDO_ATTEMPTS", 10, help="attempts to undo a step before the order needs attention"
    )
    backoff: float = env_field("ORDER_BACKOFF", 0.2, help="seconds before the second try; doubled each time")
    backoff_max: float = env_field("ORDER_BACKOFF_MAX", 10.0, help="seconds between two tries at most")
    lease: float = env_field("ORDER_LEASE", 10.0, help="seconds after which another replica takes an order over")
    databases: Databases = field(kw_only=True)
    bus: BusConfig = field(kw_only=True)
    mesh: ServiceConfig = field(kw_only=True)
    auth: AuthConfig = field(kw_only=True, default_factory=AuthConfig)

    def __post_init__(self) -> None:
        problems = [
            Violation(variable, "must be above 0")
            for variable, value in {
                "ORDER_STEP_TIMEOUT": self.timeout,
                "ORDER_STEP_ATTEMPTS": self.attempts,
                "ORDER_UNDO_ATTEMPTS": self.undo_attempts,
                "ORDER_BACKOFF": self.backoff,
                "ORDER_BACKOFF_MAX": self.backoff_max,
            }.items()
            if value <= 0
        ]
        if self.lease <= self.timeout:
            problems.append(Violation("ORDER_LEASE", "must be above ORDER_STEP_TIMEOUT"))
        if problems:
            raise ValidationError("the environment", problems)

    @property
    def policy(self) -> RetryPolicy:
        return RetryPolicy(
            timeout=self.timeout,
            attempts=self.attempts,
            undo_attempts=self.undo_attempts,
            backoff=self.backoff,
            backoff_max=self.backoff_max,
            lease=self.lease,
        )


async def run(config: OrderConfig) -> None:
    async with meshwright.Server(
        config.mesh, errors=ERRORS, auth=Auth.configured(config.auth, public=PUBLIC)
    ) as server:
        own = service_database_url(config.database, SOURCE) if config.databases.per_service else config.database
        engine = open_database(DATABASE, own)
        server.on_stop(engine.dispose)
        orders = DatabaseOrders(engine)
        bus = await server.enter(open_bus(config.bus, SOURCE, server.telemetry))
        publisher = OutboxPublisher(bus, SOURCE, orders.log)
        notifier = ChangeNotifier()
        inventory = inventory_rpc.InventoryServiceStub(await server.channel(config.inventory))
        payment = payment_rpc.PaymentServiceStub(await server.channel(config.payment))
        participants = MeshParticipants(inventory, payment, config.timeout)

        def on_change(order_id: str) -> None:
            notifier.notify(order_id)
            publisher.wake()

        name = f"{server.identity.instance}/{os.urandom(4).hex()}"
        driver = Driver(name, orders, participants, config.policy, on_change=on_change, jitter=random.random)

        def on_stored(order_id: str) -> None:
            on_change(order_id)
            driver.wake()

        async def make_tables() -> None:
            await ensure_database(config.database, own)
            await orders.prepare()

        async def prepare() -> None:
            await wait_for_database(DATABASE, engine, make_tables, server.health)
            await server.enter(TableRecovery(engine, metadata.tables, make_tables, server.health).running())
            await server.enter(publisher.running())
            await server.enter(order_changes(bus, notifier.notify))
            await server.enter(driver.running())
            metrics = server.telemetry.metrics.family(SagaMetrics)
            await server.enter(background_task(metrics.follow(orders), "figures of sagas"))

        server.warm_up(prepare)
        book = OrderBook(orders, notifier, on_stored, entropy=os.urandom)
        server.add(rpc.add_OrderServiceServicer_to_server, OrderService(book, server.stopping))
        await server.run()


def main() -> None:
    run_service(run, OrderConfig, DEFAULTS)


if __name__ == "__main__":
    main()
