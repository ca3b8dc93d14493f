"""Reading one's own writes at the read side, over HTTP: the header `Demo-Position`.

An answer to a request that wrote says where, in the events of which services: `Demo-Position: payment/7, user/17`. A
read that brings the header waits until the views have seen those events, within its own deadline, and is refused with
409 (VIEW_BEHIND) where they have not: whether such events are still to come nobody can tell. The value comes from the
services' trailing metadata (`consistency_token`), and clients need not understand it.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from fastapi import Header
from pydantic import StringConstraints
from starlette.datastructures import MutableHeaders

from demo.userview.v1 import userview_pb2 as pb
from services.common.storage.consistency_token import METADATA_KEY

if TYPE_CHECKING:
    from grpc.aio import UnaryUnaryCall
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "Demo-Position"
LONGEST, MOST = 500, 20
"""Characters of a value, and values."""
_PLACE = re.compile(r"([a-z]{1,20})/([0-9]{1,18})")
_Value = Annotated[
    str, StringConstraints(max_length=LONGEST, pattern=rf"^(\s*{_PLACE.pattern}(\s*,\s*{_PLACE.pattern})*)?\s*$")
]
_WRITTEN: ContextVar[dict[str, int] | None] = ContextVar("written", default=None)

Answer = TypeVar("Answer")


async def call_noting_writes(call: UnaryUnaryCall[Any, Answer]) -> Answer:
    """What the service answers; where it has written is told to the client."""
    answer = await call
    places = _WRITTEN.get()
    if places is not None:
        for key, value in await call.trailing_metadata() or ():
            if key == METADATA_KEY and (place := _PLACE.fullmatch(str(value))):
                places[place[1]] = max(places.get(place[1], 0), int(place[2]))
    return answer


class ConsistencyTokenMiddleware:
    """ASGI middleware that says where the request has written."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        places: dict[str, int] = {}
        token = _WRITTEN.set(places)

        async def telling(message: Message) -> None:
            if message["type"] == "http.response.start" and places:
                listed = [f"{source}/{place}" for source, place in sorted(places.items())]
                MutableHeaders(scope=message)[HEADER] = ", ".join(listed)
            await send(message)

        try:
            await self._app(scope, receive, telling)
        finally:
            _WRITTEN.reset(token)


def at_least(
    values: Annotated[
        list[_Value],
        Header(
            alias=HEADER,
            max_length=MOST,
            default_factory=list,
            description="as answers had it, one or several: wait until what was written there is seen",
        ),
    ],
) -> list[pb.Position]:
    """What a route that reads depends on."""
    places = _PLACE.findall(",".join(values))
    return [pb.Position(source=source, position=int(place)) for source, place in places]
