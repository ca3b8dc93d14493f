"""Adapters of the order service: participants over the mesh, and changes by other replicas."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

import grpc
from nats import errors as nats_errors

import meshwright
from demo.inventory.v1 import inventory_pb2 as inventory_pb
from demo.payment.v1 import payment_pb2 as payment_pb
from services.common.messaging.events import InvalidEventError, decode
from services.common.runtime.tasks import background_task
from services.order.events import StepName
from services.order.saga import Do, Done, NoAnswer, Outcome, Refused, TooLate, Undo
from services.order.store import SOURCE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from demo.inventory.v1 import inventory_pb2_grpc as inventory_rpc
    from demo.payment.v1 import payment_pb2_grpc as payment_rpc
    from services.common.messaging.bus import Bus
    from services.order.domain import Order

log = logging.getLogger(__name__)

REFUSALS = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)
"""Permanent codes. After any other code the step may have been done, or will be."""
MAX_ERROR = 300


class MeshParticipants:
    """The participants inventory and payment. Every call has the order's key."""

    def __init__(
        self,
        inventory: inventory_rpc.InventoryServiceStub,
        payment: payment_rpc.PaymentServiceStub,
        timeout: float,
    ) -> None:
        self._inventory = inventory
        self._payment = payment
        self._timeout = timeout

    async def do(self, call: Do, order: Order) -> Outcome:
        """Does the step."""
        match call.step:
            case StepName.RESERVE:
                return await _outcome(self._reserve(order))
            case StepName.CHARGE:
                return await _outcome(self._charge(order))
            case StepName.SHIP:
                return await _outcome(self._ship(order))

    async def undo(self, call: Undo, order: Order) -> Outcome:
        """Undoes the step. Shipping is undone by releasing the reservation."""
        return await _outcome(self._refund(order) if call.step is StepName.CHARGE else self._release(order))

    async def _reserve(self, order: Order) -> Outcome:
        items = [inventory_pb.Item(sku=item.sku, quantity=item.quantity) for item in order.items]
        request = inventory_pb.ReserveRequest(key=key_of(order), items=items)
        answer = await self._inventory.Reserve(request, timeout=self._timeout)
        match answer.state:
            case inventory_pb.HELD | inventory_pb.SHIPPED:
                return Done(answer.total_cents)
            case inventory_pb.OUT_OF_STOCK:
                missing = ", ".join(f"{item.sku} ({item.quantity} too few)" for item in answer.missing)
                return Refused(f"out of stock: {missing}", certain=True)
            case inventory_pb.RELEASED:
                return Refused("the reservation was given back", certain=True)
        return _unknown(answer.state)

    async def _release(self, order: Order) -> Outcome:
        request = inventory_pb.ReleaseRequest(key=key_of(order))
        answer = await self._inventory.Release(request, timeout=self._timeout)
        match answer.state:
            case inventory_pb.RELEASED | inventory_pb.OUT_OF_STOCK:
                return Done()
            case inventory_pb.SHIPPED:
                return TooLate()
        return _unknown(answer.state)

    async def _ship(self, order: Order) -> Outcome:
        answer = await self._inventory.Ship(inventory_pb.ShipRequest(key=key_of(order)), timeout=self._timeout)
        return Done() if answer.state == inventory_pb.SHIPPED else _unknown(answer.state)

    async def _charge(self, order: Order) -> Outcome:
        request = payment_pb.ChargeRequest(key=key_of(order), user_id=order.user_id, amount_cents=order.total_cents)
        answer = await self._payment.Charge(request, timeout=self._timeout)
        match answer.state:
            case payment_pb.CHARGED:
                return Done()
            case payment_pb.DECLINED:
                return Refused(f"payment declined: {answer.reason}", certain=True)
            case payment_pb.REFUNDED:
                return Refused("the payment was given back", certain=True)
        return _unknown(answer.state)

    async def _refund(self, order: Order) -> Outcome:
        request = payment_pb.RefundRequest(key=key_of(order))
        answer = await self._payment.Refund(request, timeout=self._timeout)
        match answer.state:
            case payment_pb.REFUNDED | payment_pb.DECLINED:
                return Done()
        return _unknown(answer.state)


def key_of(order: Order) -> str:
    """The order's key for participants."""
    return f"order/{order.id}"


async def _outcome(call: Awaitable[Outcome]) -> Outcome:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        found = meshwright.error_details(error)
        fields = ", ".join(f"{field} {what}" for field, what in found.fields.items())
        text = f"{found.reason or found.code}: {fields or found.message}"[:MAX_ERROR]
        return Refused(text) if error.code() in REFUSALS else NoAnswer(text)
    except Exception as error:  # any error is retried with pauses, and finally compensated
        log.exception("a call of a participant failed in an unexpected way")
        return NoAnswer(f"{type(error).__name__}: {error}"[:MAX_ERROR])


def _unknown(state: object) -> NoAnswer:
    return NoAnswer(f"an answer that this version does not know: {state}")


def order_changes(bus: Bus, heard: Callable[[str], None]) -> AbstractAsyncContextManager[None]:
    """Calls `heard` with the id of each order that any replica changes, for as long as the context lasts.

    Changes are missed while NATS is unavailable: watchers also poll.
    """
    return background_task(_hear(bus, heard), "news of orders")


async def _hear(bus: Bus, heard: Callable[[str], None]) -> None:
    while True:
        try:
            subscription = await bus.connection.subscribe(f"events.{SOURCE}.>")
            async for message in subscription.messages:
                with contextlib.suppress(InvalidEventError):
                    heard(decode(message.data).subject)
        except (nats_errors.Error, OSError) as error:
            log.debug("news of orders: %s", error)
        await asyncio.sleep(1.0)
