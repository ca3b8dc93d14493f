"""Orders, stock, accounts and the read side over the mesh: proto <-> response models."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from demo.inventory.v1 import inventory_pb2 as stock_pb
from demo.inventory.v1 import inventory_pb2_grpc as stock_rpc
from demo.order.v1 import order_pb2 as order_pb
from demo.order.v1 import order_pb2_grpc as order_rpc
from demo.payment.v1 import payment_pb2 as payment_pb
from demo.payment.v1 import payment_pb2_grpc as payment_rpc
from demo.userview.v1 import userview_pb2 as view_pb
from demo.userview.v1 import userview_pb2_grpc as view_rpc
from services.gateway.api.orders.response_models import (
    Balance,
    Booking,
    Item,
    Order,
    OrderEvent,
    Step,
    Stock,
    UserView,
)
from services.gateway.errors import ApiError
from services.gateway.grpc_errors import translate_grpc_errors
from services.gateway.http.middleware.consistency import call_noting_writes

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    import grpc
    from google.protobuf import timestamp_pb2


class ShopClient:
    """Client of the order, inventory, payment and userview services. Every method may raise ApiError; `timeout` is in
    seconds."""

    def __init__(
        self, order: grpc.aio.Channel, inventory: grpc.aio.Channel, payment: grpc.aio.Channel, view: grpc.aio.Channel
    ) -> None:
        self._orders = order_rpc.OrderServiceStub(order)
        self._stock = stock_rpc.InventoryServiceStub(inventory)
        self._payment = payment_rpc.PaymentServiceStub(payment)
        self._views = view_rpc.UserViewServiceStub(view)

    async def place(self, user_id: str, key: str, items: Sequence[Item], timeout: float) -> Order:
        request = order_pb.PlaceOrderRequest(
            idempotency_key=key,
            user_id=user_id,
            items=[order_pb.OrderItem(sku=item.sku, quantity=item.quantity) for item in items],
        )
        with translate_grpc_errors():
            return _order(await call_noting_writes(self._orders.PlaceOrder(request, timeout=timeout)))

    async def order(self, user_id: str, order_id: str, timeout: float) -> Order:
        """The order of this user; NOT_FOUND for another user's."""
        with translate_grpc_errors():
            found = _order(await self._orders.GetOrder(order_pb.GetOrderRequest(id=order_id), timeout=timeout))
        if found.user_id != user_id:
            raise ApiError("NOT_FOUND", "there is no such order", reason="ORDER_NOT_FOUND")
        return found

    async def orders(self, user_id: str, limit: int, before: str, timeout: float) -> list[Order]:
        request = order_pb.ListOrdersRequest(user_id=user_id, limit=limit, before=before)
        with translate_grpc_errors():
            answer = await self._orders.ListOrders(request, timeout=timeout)
        return [_order(message) for message in answer.orders]

    async def history(self, user_id: str, order_id: str, timeout: float) -> list[OrderEvent]:
        await self.order(user_id, order_id, timeout)
        with translate_grpc_errors():
            answer = await self._orders.GetHistory(order_pb.GetHistoryRequest(id=order_id), timeout=timeout)
        return [OrderEvent(item.version, item.type, moment(item.occurred_at), item.data) for item in answer.events]

    async def watch(self, order_id: str, timeout: float) -> AsyncGenerator[Order]:
        """Yields the order now and after each step, until it rests; closing the generator ends the call."""
        call = self._orders.WatchOrder(order_pb.WatchOrderRequest(id=order_id), timeout=timeout)
        try:
            with translate_grpc_errors():
                async for message in call:
                    yield _order(message)
        finally:
            call.cancel()

    async def stock(self, timeout: float) -> list[Stock]:
        with translate_grpc_errors():
            answer = await self._stock.ListStock(stock_pb.ListStockRequest(), timeout=timeout)
        return [_stock(message) for message in answer.stock]

    async def one_stock(self, sku: str, timeout: float) -> Stock:
        with translate_grpc_errors():
            return _stock(await self._stock.GetStock(stock_pb.GetStockRequest(sku=sku), timeout=timeout))

    async def balance(self, user_id: str, timeout: float) -> Balance:
        request = payment_pb.GetAccountRequest(user_id=user_id)
        with translate_grpc_errors():
            answer = await self._payment.GetAccount(request, timeout=timeout)
        return Balance(answer.user_id, answer.balance_cents)

    async def deposit(self, user_id: str, key: str, amount_cents: int, timeout: float) -> Balance:
        request = payment_pb.DepositRequest(key=key, user_id=user_id, amount_cents=amount_cents)
        with translate_grpc_errors():
            answer = await call_noting_writes(self._payment.Deposit(request, timeout=timeout))
        return Balance(answer.user_id, answer.balance_cents)

    async def bookings(self, user_id: str, limit: int, timeout: float) -> list[Booking]:
        request = payment_pb.ListBookingsRequest(user_id=user_id, limit=limit)
        with translate_grpc_errors():
            answer = await self._payment.ListBookings(request, timeout=timeout)
        return [
            Booking(item.key, item.kind, item.amount_cents, item.balance_after_cents, moment(item.booked_at))
            for item in answer.bookings
        ]

    async def search(
        self, query: str, limit: int, timeout: float, at_least: Sequence[view_pb.Position]
    ) -> list[UserView]:
        request = view_pb.SearchUsersRequest(query=query, limit=limit, at_least=at_least)
        with translate_grpc_errors():
            answer = await self._views.SearchUsers(request, timeout=timeout)
        return [_found(message, own=False) for message in answer.users]

    async def view(self, user_id: str, timeout: float, at_least: Sequence[view_pb.Position], *, own: bool) -> UserView:
        request = view_pb.GetUserViewRequest(id=user_id, at_least=at_least)
        with translate_grpc_errors():
            answer = await self._views.GetUserView(request, timeout=timeout)
        return _found(answer, own=own)


def moment(message: timestamp_pb2.Timestamp) -> datetime:
    return message.ToDatetime(tzinfo=UTC)


def _order(message: Any) -> Order:
    return Order(
        id=message.id,
        user_id=message.user_id,
        state=order_pb.OrderState.Name(message.state).lower(),
        items=[Item(item.sku, item.quantity) for item in message.items],
        total_cents=message.total_cents,
        reason=message.reason,
        steps=[
            Step(
                step.name,
                order_pb.SagaStepState.Name(step.state).removeprefix("STEP_").lower(),
                step.attempts,
                step.error,
            )
            for step in message.steps
        ],
        placed_at=moment(message.placed_at),
        updated_at=moment(message.updated_at),
        version=message.version,
    )


def _stock(message: Any) -> Stock:
    return Stock(message.sku, message.title, message.price_cents, message.available)


def _found(message: Any, *, own: bool) -> UserView:
    return UserView(
        id=message.id,
        name=message.name,
        email=message.email,
        status=message.status,
        total_orders=message.total_orders,
        last_activity=moment(message.last_activity) if message.HasField("last_activity") else None,
        balance_cents=message.balance_cents if own else None,
        phone=message.phone if own else None,
    )
