"""Read-your-writes consistency over HTTP: the header `Demo-Position`.

The response to a write names the positions of its events by service: `Demo-Position: payment/7, user/17`. A read with
that header waits, within its deadline, until the views include those events, and fails with 409 (VIEW_BEHIND)
otherwise. The value comes from the services' trailing metadata (`consistency_token`), and is opaque to clients.
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
"""Maximum characters of a value, and maximum values."""
_PLACE = re.compile(r"([a-z]{1,20})/([0-9]{1,18})")
_Value = Annotated[
    str, StringConstraints(max_length=LONGEST, pattern=rf"^(\s*{_PLACE.pattern}(\s*,\s*{_PLACE.pattern})*)?\s*$")
]
_WRITTEN: ContextVar[dict[str, int] | None] = ContextVar("written", default=None)

Answer = TypeVar("Answer")


async def call_noting_writes(call: UnaryUnaryCall[Any, Answer]) -> Answer:
    """Awaits the call, and collects its consistency token for the response."""
    answer = await call
    places = _WRITTEN.get()
    if places is not None:
        for key, value in await call.trailing_metadata() or ():
            if key == METADATA_KEY and (place := _PLACE.fullmatch(str(value))):
                places[place[1]] = max(places.get(place[1], 0), int(place[2]))
    return answer


class ConsistencyTokenMiddleware:
    """ASGI middleware: adds the consistency tokens of the request's writes to the response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        places: dict[str, int] = {}
        token = _WRITTEN.set(places)

        async def with_positions(message: Message) -> None:
            if message["type"] == "http.response.start" and places:
                listed = [f"{source}/{place}" for source, place in sorted(places.items())]
                MutableHeaders(scope=message)[HEADER] = ", ".join(listed)
            await send(message)

        try:
            await self._app(scope, receive, with_positions)
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
    """FastAPI dependency of reads: the positions in the header."""
    places = _PLACE.findall(",".join(values))
    return [pb.Position(source=source, position=int(place)) for source, place in places]
