"""An order's saga as server-sent events: the order now, and after each step, until it rests.

The id of an event is the order's version, so that a client that reconnects with `Last-Event-ID` gets each later state
once. Events are states, not changes: a client that reconnects gets the current state. If the client has seen the
resting order's state, the response is 204, which stops `EventSource` from reconnecting (HTML, 9.2.3). A stream that
fails sends a `problem` event and ends; the client reconnects.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import TypeAdapter

from services.gateway.api.orders.response_models import RESTING, Order
from services.gateway.api.orders.routes import BASE, Me, OrderId, TheShop
from services.gateway.api.parameters import Seen, StreamWithin  # noqa: TC001 - FastAPI reads the annotations
from services.gateway.errors import ApiError
from services.gateway.http import server_sent_events as sse
from services.gateway.http.openapi import problems

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

_ORDER = TypeAdapter(Order)
_EVENTS: dict[int | str, dict[str, Any]] = {
    200: sse.EVENTS | {"description": "An event for each state"},
    204: {"description": "The order rests, and the client has seen its last state"},
}

router = APIRouter(prefix=BASE)


@router.get(
    "/orders/{order_id}/watch",
    tags=["orders"],
    response_class=StreamingResponse,
    responses=_EVENTS | problems(401, 404, 422, 503),
)
async def watch_order(
    *, order_id: OrderId, me: Me, shop: TheShop, request: Request, within: StreamWithin, seen: Seen = None
) -> Response:
    """An order of the caller now, and after each step of its saga, until it rests."""
    order = await shop.order(me, order_id, within)
    if seen is not None and seen > order.version:
        seen = None  # not an event of this order: versions never exceed the stored one
    if seen is not None and order.version <= seen and order.state in RESTING:
        return Response(status_code=204)
    changes = shop.watch(order_id, within)
    return sse.streaming(_events(changes, seen or 0, request.url.path))


async def _events(changes: AsyncGenerator[Order], seen: int, path: str) -> AsyncIterator[bytes]:
    yield sse.RETRY
    # A disconnect cancels this generator; closing it ends the upstream call.
    async with contextlib.aclosing(_with_pauses(changes)) as coming:
        try:
            async for order in coming:
                if order is None:
                    yield sse.QUIET
                elif order.version > seen:
                    yield sse.event("order", _ORDER.dump_json(order).decode(), order.version)
        except ApiError as failure:
            yield sse.problem_event(failure, path)


async def _with_pauses(changes: AsyncGenerator[Order]) -> AsyncGenerator[Order | None]:
    """Yields None after each `sse.QUIET_SECONDS` without an order."""
    async with contextlib.aclosing(changes):
        while True:
            coming = asyncio.ensure_future(anext(changes, None))
            try:
                while not (await asyncio.wait({coming}, timeout=sse.QUIET_SECONDS))[0]:
                    yield None
                order = coming.result()
            finally:
                coming.cancel()
                with contextlib.suppress(asyncio.CancelledError, ApiError):
                    await coming
            if order is None:
                return
            yield order
