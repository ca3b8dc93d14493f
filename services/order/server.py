"""The gRPC service of orders: proto <-> domain."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from google.protobuf import timestamp_pb2

import meshwright
from demo.order.v1 import order_pb2 as pb
from demo.order.v1 import order_pb2_grpc as rpc
from meshwright.errors import (
    AbortedError,
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    UnavailableError,
)
from services.common.event_sourcing.event_types import to_json
from services.common.runtime.authorization import check_admin, check_owner
from services.common.runtime.errors import StoreUnavailableError
from services.common.runtime.trace_context import current_traceparent
from services.common.storage.consistency_token import token_trailers
from services.order import domain
from services.order.app import OrderChangedError
from services.order.events import Item, Resolution

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from datetime import datetime

    import grpc

    from meshwright.errors import ServiceError
    from services.common.event_sourcing.event_types import StoredEvent
    from services.order.app import OrderBook
    from services.order.events import Event

    Context = grpc.aio.ServicerContext[Any, Any]

ERRORS: Mapping[type[Exception], type[ServiceError]] = {
    domain.InvalidOrderError: InvalidArgumentError,
    domain.OrderNotFoundError: NotFoundError,
    domain.OrderDiffersError: AlreadyExistsError,
    domain.NoAttentionNeededError: FailedPreconditionError,
    OrderChangedError: AbortedError,
    StoreUnavailableError: UnavailableError,
}
"""gRPC statuses and reasons of the errors of domain and application."""
PUBLIC = frozenset[str]()
"""Methods without authentication: none."""

STATES: Mapping[domain.OrderState, pb.OrderState] = {
    domain.OrderState.PENDING: pb.PENDING,
    domain.OrderState.COMPLETED: pb.COMPLETED,
    domain.OrderState.REJECTED: pb.REJECTED,
    domain.OrderState.COMPENSATING: pb.COMPENSATING,
    domain.OrderState.NEEDS_ATTENTION: pb.NEEDS_ATTENTION,
}
STEP_STATES: Mapping[domain.StepState, pb.SagaStepState] = {
    domain.StepState.WAITING: pb.STEP_WAITING,
    domain.StepState.RUNNING: pb.STEP_RUNNING,
    domain.StepState.DONE: pb.STEP_DONE,
    domain.StepState.REFUSED: pb.STEP_REFUSED,
    domain.StepState.COMPENSATING: pb.STEP_COMPENSATING,
    domain.StepState.COMPENSATED: pb.STEP_COMPENSATED,
    domain.StepState.STUCK: pb.STEP_STUCK,
}
RESOLUTIONS = {pb.RETRY: Resolution.RETRY, pb.GIVE_UP: Resolution.GIVE_UP}


class OrderService(rpc.OrderServiceServicer):
    """`stopping` ends watches, so that clients continue at another replica."""

    def __init__(self, book: OrderBook, stopping: asyncio.Event) -> None:
        self._book = book
        self._stopping = stopping

    async def PlaceOrder(self, request: pb.PlaceOrderRequest, context: Context) -> pb.Order:
        check_owner(request.user_id)
        items = [Item(item.sku, item.quantity) for item in request.items]
        key, user_id = request.idempotency_key, request.user_id
        order = await self._book.place(key, user_id, items, current_traceparent())
        context.set_trailing_metadata(token_trailers())
        return order_message(order)

    async def GetOrder(self, request: pb.GetOrderRequest, context: Context) -> pb.Order:
        return order_message(await self._own(request.id))

    async def ListOrders(self, request: pb.ListOrdersRequest, context: Context) -> pb.ListOrdersResponse:
        if request.user_id:
            check_owner(request.user_id)
        else:
            check_admin()
        states = _states(request.states)
        found = await self._book.page(request.user_id, states, request.before, request.limit)
        return pb.ListOrdersResponse(orders=[order_message(order) for order in found])

    async def WatchOrder(self, request: pb.WatchOrderRequest, context: Context) -> AsyncIterator[pb.Order]:
        await self._own(request.id)
        async with contextlib.aclosing(self._book.watch(request.id)) as changes:
            while True:
                change = await self._unless_stopping(anext(changes, None))
                if change is None:
                    return
                yield order_message(change)

    async def GetHistory(self, request: pb.GetHistoryRequest, context: Context) -> pb.GetHistoryResponse:
        await self._own(request.id)
        found = await self._book.history(request.id)
        return pb.GetHistoryResponse(events=[event_message(recorded) for recorded in found])

    async def ResolveOrder(self, request: pb.ResolveOrderRequest, context: Context) -> pb.Order:
        check_admin()
        request.actor = _decider(request.actor)
        resolution = RESOLUTIONS.get(request.resolution)
        if resolution is None:
            raise domain.InvalidOrderError({"resolution": "must be RETRY or GIVE_UP"})
        order = await self._book.resolve(request.id, resolution, request.actor, request.reason)
        context.set_trailing_metadata(token_trailers())
        return order_message(order)

    async def _own(self, order_id: str) -> domain.Order:
        """The order, if the caller may read it."""
        order = await self._book.get(order_id)
        check_owner(order.user_id)
        return order

    async def _unless_stopping(self, change: Any) -> domain.Order | None:
        coming = asyncio.ensure_future(change)
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({coming, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                raise UnavailableError("this replica stops; watch again", reason="STOPPING")
            found: domain.Order | None = coming.result()
            return found
        finally:
            coming.cancel()
            stopping.cancel()
            await asyncio.gather(coming, stopping, return_exceptions=True)


def _decider(claimed: str) -> str:
    """The actor: the authenticated caller, or else the claimed one."""
    caller = meshwright.caller()
    return claimed if caller is None else caller.subject


def order_message(order: domain.Order) -> pb.Order:
    return pb.Order(
        id=order.id,
        user_id=order.user_id,
        items=[pb.OrderItem(sku=item.sku, quantity=item.quantity) for item in order.items],
        state=STATES[order.state],
        total_cents=order.total_cents,
        reason=order.reason,
        steps=[_step_message(step) for step in order.steps],
        placed_at=_timestamp(order.placed_at),
        updated_at=_timestamp(order.updated_at),
        version=order.version,
    )


def event_message(recorded: StoredEvent[Event]) -> pb.OrderEvent:
    return pb.OrderEvent(
        version=recorded.version,
        type=type(recorded.event).__name__,
        occurred_at=_timestamp(recorded.at),
        data=to_json(recorded.event),
    )


def _step_message(step: domain.Step) -> pb.SagaStep:
    message = pb.SagaStep(name=step.name.value, state=STEP_STATES[step.state], attempts=step.attempts, error=step.error)
    if step.updated_at is not None:
        message.updated_at.FromDatetime(step.updated_at)
    return message


def _states(wanted: Sequence[int]) -> list[domain.OrderState]:
    known = {number: state for state, number in STATES.items()}
    domain.refuse({f"states[{n}]": "" if state in known else "is not known" for n, state in enumerate(wanted)})
    return [known[state] for state in wanted]  # type: ignore[index]


def _timestamp(moment: datetime) -> timestamp_pb2.Timestamp:
    message = timestamp_pb2.Timestamp()
    message.FromDatetime(moment)
    return message
