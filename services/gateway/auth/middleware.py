"""ASGI middleware that authenticates requests by their bearer tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import Headers

import meshwright
from meshwright.auth import calling
from services.gateway.errors import ApiError, problem_of
from services.gateway.http.problems import ProblemResponse
from services.gateway.http.tracing import trace_id

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from services.gateway.auth.callers import Callers


_WITHOUT = ("/auth/", "/.well-known/", "/healthz", "/readyz", "/docs", "/openapi.json")
"""Paths that accept requests with an invalid token: that is where clients get a new one."""
_REFUSAL = "meshwright.refusal"


class AuthenticationMiddleware:
    """ASGI middleware that sets `meshwright.caller()`.

    An invalid token is rejected with 401 by `RejectInvalidToken`, which is inside of the rate limit: guesses count.
    """

    def __init__(self, app: ASGIApp, callers: Callers) -> None:
        self._app = app
        self._callers = callers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            identity = await self._callers.of_header(_authorization(Headers(scope=scope)))
        except ApiError as failure:
            if not _needless(scope):
                scope[_REFUSAL] = failure
            # An invalid token is not passed on to services.
            with calling(None), meshwright.without_deadline():
                await self._app(scope, receive, send)
            return
        with calling(identity):
            await self._app(scope, receive, send)


class RejectInvalidToken:
    """ASGI middleware, inside of `AuthenticationMiddleware`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        failure = scope.get(_REFUSAL)
        if failure is None:
            await self._app(scope, receive, send)
        else:
            await ProblemResponse(problem_of(failure, scope["path"], trace_id()))(scope, receive, send)


def _authorization(headers: Headers) -> str | None:
    """The header; raises ApiError if there are several, which others may read differently."""
    found = headers.getlist("authorization")
    if len(found) > 1:
        raise ApiError("UNAUTHENTICATED", "there is more than one Authorization", reason="TOKEN_INVALID")
    return found[0] if found else None


def _needless(scope: Scope) -> bool:
    """Whether the request is processed without a valid token. A social login with a token links the two."""
    links = scope["method"] == "POST" and scope["path"].startswith("/auth/social/")
    return not links and bool(scope["path"].startswith(_WITHOUT))
