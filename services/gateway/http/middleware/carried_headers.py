"""Validates headers that are propagated to all calls of a request (`MESHWRIGHT_CARRIED_HEADERS`).

The mesh drops values that it cannot propagate, and another version than requested would answer. So invalid values are
rejected here. Responses name the headers in `Vary`, since versions may answer differently.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders

from meshwright.calls import carried
from services.gateway.errors import ApiError, problem_of
from services.gateway.http.problems import ProblemResponse
from services.gateway.http.tracing import trace_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class CarriedHeadersMiddleware:
    """ASGI middleware; `names` in lower case."""

    def __init__(self, app: ASGIApp, names: Sequence[str]) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(("/api/", "/rpc")):
            await self._app(scope, receive, send)
            return
        wrong = problems_of(Headers(scope=scope), self._names)
        if wrong:
            said = "; ".join(f"{name} {what}" for name, what in wrong.items())
            failure = ApiError("INVALID_ARGUMENT", said, reason="HEADER_NOT_USABLE", fields=wrong)
            await ProblemResponse(problem_of(failure, scope["path"], trace_id()))(scope, receive, send)
            return

        async def with_vary(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name in self._names:
                    headers.add_vary_header(name)
            await send(message)

        await self._app(scope, receive, with_vary)


def problems_of(headers: Headers, names: Sequence[str]) -> dict[str, str]:
    """The problem of each invalid header, by name."""
    found = carried.picked(headers.items(), names)
    wrong = {name: what for name, value in found.items() if (what := carried.problem(value))}
    if not wrong:
        kept = carried.usable(found)
        room = f"does not fit: {', '.join(names)} may have {carried.MAX_TOTAL} characters together, names included"
        wrong = {name: room for name in found if name not in kept}
    return wrong
