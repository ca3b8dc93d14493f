"""An order's saga as server-sent events: the order as it is, and again after each step, until it comes to rest.

The id of an event is the order's version, so that a client that comes back with `Last-Event-ID` hears of what it has
not seen, and of nothing twice. The order service tells states and not changes: a client that was away sees the state of
now, which is all that there is to show. An order at rest has no more to tell: a client that knows that state already is
answered 204, which is how `EventSource` is told to stay away (HTML, 9.2.3). A stream that cannot go on says why in a
`problem` event, and ends: the client comes back.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import TypeAdapter

from services.gateway.api.orders.response_models import RESTING, Order
from services.gateway.api.orders.routes import BASE, Me, OrderId, TheShop
from services.gateway.api.parameters import Seen, StreamWithin  # noqa: TC001 - FastAPI reads the annotations
from services.gateway.domain import ApiError, problem_of
from services.gateway.http.openapi import problems
from services.gateway.http.tracing import trace_id

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

MEDIA_TYPE = "text/event-stream"
QUIET_SECONDS = 15.0
"""A comment goes out after so long without an event: proxies end connections on which nothing moves."""
RETRY_MILLISECONDS = 1000
_ORDER = TypeAdapter(Order)
_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"description": "An event for each state", "content": {MEDIA_TYPE: {"example": "id: 3\nevent: order\n"}}},
    204: {"description": "The order rests, and the client has seen that"},
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
    """One of one's own orders now, and after each step of its saga, until it comes to rest."""
    order = await shop.order(me, order_id, within)
    if seen is not None and seen > order.version:
        seen = None  # it is no event of this order: all versions come from one database
    if seen is not None and order.version <= seen and order.state in RESTING:
        return Response(status_code=204)
    changes = shop.watch(order_id, within)
    return StreamingResponse(
        _events(changes, seen or 0, request.url.path), media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"}
    )


async def _events(changes: AsyncGenerator[Order], seen: int, path: str) -> AsyncIterator[str]:
    yield f"retry: {RETRY_MILLISECONDS}\n\n"
    # A client that goes away cancels us here; closing ends the call behind, which must not go on for nobody.
    async with contextlib.aclosing(_with_pauses(changes)) as coming:
        try:
            async for order in coming:
                if order is None:
                    yield ": still here\n\n"
                elif order.version > seen:
                    yield f"id: {order.version}\nevent: order\ndata: {_ORDER.dump_json(order).decode()}\n\n"
        except ApiError as failure:
            document = problem_of(failure, path, trace_id()).document()
            yield f"event: problem\ndata: {json.dumps(document)}\n\n"


async def _with_pauses(changes: AsyncGenerator[Order]) -> AsyncGenerator[Order | None]:
    """None where nothing has come for a while."""
    async with contextlib.aclosing(changes):
        while True:
            coming = asyncio.ensure_future(anext(changes, None))
            try:
                while not (await asyncio.wait({coming}, timeout=QUIET_SECONDS))[0]:
                    yield None
                order = coming.result()
            finally:
                coming.cancel()
                with contextlib.suppress(asyncio.CancelledError, ApiError):
                    await coming
            if order is None:
                return
            yield order
