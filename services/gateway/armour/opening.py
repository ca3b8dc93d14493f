"""Nothing of the API is answered before the gateway has seen its database: not some of it either.

Requests that need no table of the gateway's own would succeed while others fail, and who has had one answer believes
that the gateway is there. Pages and probes are answered from the first moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.gateway.domain import Failure, problem_of
from services.gateway.problems import ProblemResponse
from services.gateway.tracing import trace_id

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from starlette.types import ASGIApp, Receive, Scope, Send

WHAT = "the gateway starts, and waits for its database"
REASON = "STARTING"


class Opening:
    """ASGI middleware: 503 with a problem, for WebSockets too, until `opened`. `always`: paths that are served before;
    one that ends in `*` stands for all that begin so."""

    def __init__(self, app: ASGIApp, opened: Callable[[], bool], always: Collection[str]) -> None:
        self._app = app
        self._opened = opened
        self._always = frozenset(always)
        self._below = tuple(path[:-1] for path in always if path.endswith("*"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or self._opened() or self._is_always(scope["path"]):
            await self._app(scope, receive, send)
            return
        problem = problem_of(Failure("UNAVAILABLE", WHAT, reason=REASON), scope["path"], trace_id())
        await ProblemResponse(problem)(scope, receive, send)

    def _is_always(self, path: str) -> bool:
        return path in self._always or path.startswith(self._below)
