"""The gRPC service of payments: proto <-> domain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf import timestamp_pb2

from demo.payment.v1 import payment_pb2 as pb
from demo.payment.v1 import payment_pb2_grpc as rpc
from meshwright.errors import AlreadyExistsError, InvalidArgumentError, NotFoundError, UnavailableError
from services.common.runtime.authorization import check_owner
from services.common.runtime.errors import StoreUnavailableError
from services.common.storage.consistency_token import token_trailers
from services.payment import domain

if TYPE_CHECKING:
    from collections.abc import Mapping

    import grpc

    from meshwright.errors import ServiceError
    from services.payment.app import Cashier

    Context = grpc.aio.ServicerContext[Any, Any]

ERRORS: Mapping[type[Exception], type[ServiceError]] = {
    domain.InvalidRequestError: InvalidArgumentError,
    domain.AccountNotFoundError: NotFoundError,
    domain.ChargeDiffersError: AlreadyExistsError,
    domain.DepositDiffersError: AlreadyExistsError,
    StoreUnavailableError: UnavailableError,
}
"""gRPC statuses and reasons of the errors of domain and application."""
PUBLIC = frozenset({"/demo.payment.v1.PaymentService/Charge", "/demo.payment.v1.PaymentService/Refund"})
"""Methods without authentication: the saga's, which continues after the buyer's request and has no token
(docs/explanation/gateway.md)."""

STATES = {
    domain.PaymentState.CHARGED: pb.CHARGED,
    domain.PaymentState.REFUNDED: pb.REFUNDED,
    domain.PaymentState.DECLINED: pb.DECLINED,
}


class PaymentService(rpc.PaymentServiceServicer):
    def __init__(self, cashier: Cashier) -> None:
        self._cashier = cashier

    async def Charge(self, request: pb.ChargeRequest, context: Context) -> pb.Payment:
        payment = await self._cashier.charge(request.key, request.user_id, request.amount_cents)
        context.set_trailing_metadata(token_trailers())
        return payment_message(payment)

    async def Refund(self, request: pb.RefundRequest, context: Context) -> pb.Payment:
        payment = await self._cashier.refund(request.key)
        context.set_trailing_metadata(token_trailers())
        return payment_message(payment)

    async def Deposit(self, request: pb.DepositRequest, context: Context) -> pb.Account:
        check_owner(request.user_id)
        account = await self._cashier.deposit(request.key, request.user_id, request.amount_cents)
        context.set_trailing_metadata(token_trailers())
        return account_message(account)

    async def GetAccount(self, request: pb.GetAccountRequest, context: Context) -> pb.Account:
        check_owner(request.user_id)
        return account_message(await self._cashier.account(request.user_id))

    async def ListBookings(self, request: pb.ListBookingsRequest, context: Context) -> pb.ListBookingsResponse:
        check_owner(request.user_id)
        found = await self._cashier.bookings(request.user_id, request.limit)
        return pb.ListBookingsResponse(bookings=[booking_message(booking) for booking in found])


def payment_message(payment: domain.Payment) -> pb.Payment:
    return pb.Payment(
        key=payment.key,
        state=STATES[payment.state],
        user_id=payment.user_id,
        amount_cents=payment.amount_cents,
        reason=payment.reason,
    )


def account_message(account: domain.Account) -> pb.Account:
    return pb.Account(user_id=account.user_id, balance_cents=account.balance_cents)


def booking_message(booking: domain.Booking) -> pb.Booking:
    booked_at = timestamp_pb2.Timestamp()
    booked_at.FromDatetime(booking.booked_at)
    return pb.Booking(
        key=booking.key,
        kind=booking.kind.value,
        amount_cents=booking.amount_cents,
        balance_after_cents=booking.balance_after_cents,
        booked_at=booked_at,
    )
