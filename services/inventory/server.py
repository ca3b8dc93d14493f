"""The gRPC service of the inventory: proto <-> domain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from demo.inventory.v1 import inventory_pb2 as pb
from demo.inventory.v1 import inventory_pb2_grpc as rpc
from meshwright.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    UnavailableError,
)
from services.common.runtime.authorization import check_admin
from services.common.runtime.errors import StoreUnavailableError
from services.inventory import domain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import grpc

    from meshwright.errors import ServiceError
    from services.inventory.app import Warehouse

    Context = grpc.aio.ServicerContext[Any, Any]

ERRORS: Mapping[type[Exception], type[ServiceError]] = {
    domain.InvalidRequestError: InvalidArgumentError,
    domain.ItemNotFoundError: NotFoundError,
    domain.ReservationDiffersError: AlreadyExistsError,
    domain.RestockDiffersError: AlreadyExistsError,
    domain.ReservationNotHeldError: FailedPreconditionError,
    StoreUnavailableError: UnavailableError,
}
"""gRPC statuses and reasons of the errors of domain and application."""
PUBLIC = frozenset(
    {
        "/demo.inventory.v1.InventoryService/ListStock",
        "/demo.inventory.v1.InventoryService/GetStock",
        "/demo.inventory.v1.InventoryService/Reserve",
        "/demo.inventory.v1.InventoryService/Release",
        "/demo.inventory.v1.InventoryService/Ship",
    }
)
"""Methods without authentication: the stock is public; the saga's calls continue after the buyer's request and have no
token (docs/explanation/gateway.md)."""

STATES = {
    domain.ReservationState.HELD: pb.HELD,
    domain.ReservationState.RELEASED: pb.RELEASED,
    domain.ReservationState.SHIPPED: pb.SHIPPED,
    domain.ReservationState.OUT_OF_STOCK: pb.OUT_OF_STOCK,
}


class InventoryService(rpc.InventoryServiceServicer):
    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    async def Reserve(self, request: pb.ReserveRequest, context: Context) -> pb.Reservation:
        items = [domain.Item(item.sku, item.quantity) for item in request.items]
        return reservation_message(await self._warehouse.reserve(request.key, items))

    async def Release(self, request: pb.ReleaseRequest, context: Context) -> pb.Reservation:
        return reservation_message(await self._warehouse.release(request.key))

    async def Ship(self, request: pb.ShipRequest, context: Context) -> pb.Reservation:
        return reservation_message(await self._warehouse.ship(request.key))

    async def GetStock(self, request: pb.GetStockRequest, context: Context) -> pb.Stock:
        return stock_message(await self._warehouse.stock(request.sku))

    async def ListStock(self, request: pb.ListStockRequest, context: Context) -> pb.ListStockResponse:
        return pb.ListStockResponse(stock=[stock_message(stock) for stock in await self._warehouse.all_stock()])

    async def Restock(self, request: pb.RestockRequest, context: Context) -> pb.Stock:
        check_admin()
        wanted = domain.Restock(request.key, request.sku, request.quantity, request.title, request.price_cents)
        return stock_message(await self._warehouse.restock(wanted))


def reservation_message(reservation: domain.Reservation) -> pb.Reservation:
    return pb.Reservation(
        key=reservation.key,
        state=STATES[reservation.state],
        items=_items(reservation.items),
        missing=_items(reservation.missing),
        total_cents=reservation.total_cents,
    )


def stock_message(stock: domain.Stock) -> pb.Stock:
    return pb.Stock(
        sku=stock.sku,
        title=stock.title,
        price_cents=stock.price_cents,
        available=stock.available,
        reserved=stock.reserved,
        shipped=stock.shipped,
    )


def _items(items: Sequence[domain.Item]) -> list[pb.Item]:
    return [pb.Item(sku=item.sku, quantity=item.quantity) for item in items]
