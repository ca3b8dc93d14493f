"""Databases of both kinds, and the services of the saga, served for real on ports of their own."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from demo.inventory.v1 import inventory_pb2_grpc as inventory_rpc
from demo.payment.v1 import payment_pb2_grpc as payment_rpc
from meshwright.testing import served
from services.common.storage.database import open_database
from services.inventory import adapters as inventory_adapters
from services.inventory import app as inventory_app
from services.inventory import server as inventory_server
from services.payment import adapters as payment_adapters
from services.payment import app as payment_app
from services.payment import server as payment_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncEngine

    from support.servers.postgres import Cluster


@pytest.fixture(params=["sqlite", "postgresql"])
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """Makes the URL of an empty database of a name: once SQLite's, once PostgreSQL's."""
    if request.param == "sqlite":
        return lambda name: f"sqlite:///{tmp_path}/{name}.db"
    made: Cluster = request.getfixturevalue("postgres")
    return lambda name: made.new_database()


@pytest.fixture
async def engine(new_database: Callable[[str], str]) -> AsyncIterator[AsyncEngine]:
    """An empty database."""
    made = open_database("DATABASE_URL", new_database("store"))
    yield made
    await made.dispose()


@pytest.fixture
async def warehouse(engine: AsyncEngine) -> inventory_app.Warehouse:
    """An inventory with nothing in it."""
    store = inventory_adapters.DatabaseStore(engine)
    await store.prepare()
    return inventory_app.Warehouse(store)


@pytest.fixture
async def cashier(engine: AsyncEngine) -> payment_app.Cashier:
    """A payment service without accounts."""
    store = payment_adapters.DatabaseStore(engine)
    await store.prepare()
    return payment_app.Cashier(store)


@pytest.fixture
async def inventory(warehouse: inventory_app.Warehouse) -> AsyncIterator[inventory_rpc.InventoryServiceStub]:
    """The inventory over gRPC."""
    servicer = inventory_server.InventoryService(warehouse)
    add = inventory_rpc.add_InventoryServiceServicer_to_server
    async with served(add, servicer, service="inventory", errors=inventory_server.ERRORS) as made:
        yield inventory_rpc.InventoryServiceStub(made.channel)


@pytest.fixture
async def payment(cashier: payment_app.Cashier) -> AsyncIterator[payment_rpc.PaymentServiceStub]:
    """The payment service over gRPC."""
    servicer = payment_server.PaymentService(cashier)
    add = payment_rpc.add_PaymentServiceServicer_to_server
    async with contextlib.AsyncExitStack() as stack:
        made = await stack.enter_async_context(served(add, servicer, service="payment", errors=payment_server.ERRORS))
        yield payment_rpc.PaymentServiceStub(made.channel)
