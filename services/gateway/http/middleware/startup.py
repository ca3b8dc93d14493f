"""Rejects API requests with 503 until the gateway's database was reached once.

Some routes need no table of the gateway and would succeed while others fail. Pages and probes are served at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshwright.calls.http.asgi import path_matcher
from services.gateway.errors import ApiError, problem_of
from services.gateway.http.problems import ProblemResponse
from services.gateway.http.tracing import trace_id

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from starlette.types import ASGIApp, Receive, Scope, Send

MESSAGE = "the gateway is starting, and waits for its database"
REASON = "STARTING"


class StartupMiddleware:
    """ASGI middleware: answers HTTP requests and WebSocket handshakes with 503 until `is_started`.

    `exempt`: paths that are served before, as `path_matcher` takes them.
    """

    def __init__(self, app: ASGIApp, is_started: Callable[[], bool], exempt: Collection[str]) -> None:
        self._app = app
        self._is_started = is_started
        self._is_exempt = path_matcher(exempt)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or self._is_started() or self._is_exempt(scope["path"]):
            await self._app(scope, receive, send)
            return
        problem = problem_of(ApiError("UNAVAILABLE", MESSAGE, reason=REASON), scope["path"], trace_id())
        await ProblemResponse(problem)(scope, receive, send)
