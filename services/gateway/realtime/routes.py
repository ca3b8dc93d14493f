"""Routes of the socket and of polling. `event_streams` has those of server-sent events."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Header, Query, WebSocket

from services.common.messaging.stream_position import InvalidPositionError, parse_position
from services.gateway.auth.callers import require_identity, token_of
from services.gateway.errors import ApiError, problem_of
from services.gateway.http.openapi import problems
from services.gateway.http.problems import ProblemResponse
from services.gateway.realtime import frames
from services.gateway.realtime.clients import UserCredentials
from services.gateway.realtime.socket import Socket

if TYPE_CHECKING:
    from services.gateway.realtime.connections import ConnectionManager

SUBPROTOCOL = "meshwright.v1"
_BEARER = "bearer."
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
LAST_SECOND = 253_402_300_799
"""The end of the year 9999, the maximum of a protobuf timestamp."""
FIRST_ROOM = "hall"
"""The default room, as on the lecture's slide."""


def socket_router(connections: ConnectionManager) -> APIRouter:
    """`/ws` and `/api/v3/messages`."""
    router = APIRouter()

    @router.websocket("/ws")
    async def socket(websocket: WebSocket) -> None:
        try:
            connections.check_capacity()
            _check_origin(websocket, connections.limits.origins)
            token = _token(websocket)
            connections.check_rate(websocket.scope, await connections.callers.of_token(token) if token else None)
        except ApiError as failure:
            await websocket.send_denial_response(ProblemResponse(problem_of(failure, "/ws", "")))
            return
        offered = websocket.scope.get("subprotocols", [])
        with connections.counted():
            await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
            await Socket(websocket, connections, token).serve()

    @router.get("/api/v3/messages", tags=["real time"], responses=problems(400, 401, 422, 503))
    async def poll_messages(
        room: Annotated[str, Query(min_length=1, max_length=64, description="which room")] = FIRST_ROOM,
        since: Annotated[
            str, Query(max_length=64, description="`next` of the last poll, or seconds since 1970; empty: the latest")
        ] = "",
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
        authorization: Annotated[str, Header(include_in_schema=False)] = "",
    ) -> dict[str, Any]:
        """The messages of a room since a position or time: polling, the lecture's baseline."""
        who = UserCredentials(require_identity().subject, token_of(authorization))
        moment = seconds(since)
        page = await connections.chat.history(who, room, "" if moment is not None else since, limit, moment)
        messages = [frames.document(message) for message in page.messages]
        after = messages[-1]["id"] if messages else (since if moment is None else "")
        # In an empty room the next poll starts from 0, not from the latest.
        return {"messages": messages, "has_new": bool(messages), "next": after or since or "0", "more": page.more}

    return router


def seconds(since: str) -> float | None:
    """Parses `since` as seconds since 1970; None if it is a message id or empty. Raises ApiError."""
    if _NUMBER.fullmatch(since) and 0 <= (found := float(since)) <= LAST_SECOND:
        return found
    with contextlib.suppress(InvalidPositionError):
        if since:
            parse_position(since)
        return None
    what = (
        f"must be `next` of the last poll, or seconds since 1970 (not milliseconds): a number from 0 to {LAST_SECOND}"
    )
    raise ApiError("INVALID_ARGUMENT", f"since {what}", reason="INVALID_SINCE", fields={"since": what})


def _token(websocket: WebSocket) -> str:
    """The token of the handshake; empty: none. Raises ApiError."""
    header = websocket.headers.get("authorization")
    if header is not None:
        return token_of(header)
    for offered in websocket.scope.get("subprotocols", []):
        if offered.startswith(_BEARER):
            return str(offered.removeprefix(_BEARER))
    return ""


def _check_origin(websocket: WebSocket, allowed: tuple[str, ...]) -> None:
    """Checks the Origin header of browsers. Raises ApiError."""
    origin = websocket.headers.get("origin")
    if origin is None or origin in allowed:
        return
    try:
        host = urlsplit(origin).netloc
    except ValueError:
        host = ""
    if not host or host != websocket.headers.get("host", ""):
        raise ApiError("PERMISSION_DENIED", "pages of this origin may not connect", reason="ORIGIN_NOT_ALLOWED")
