"""Who asks, and what they may: the gateway's own rules, on top of the tokens that `meshwright.auth` verifies.

Version 1 of the API and JSON-RPC stay open, as the lecture has them. From version 2 on a write needs a token by
default (`GATEWAY_AUTH=writes`), and changes to a user need that user's own, or an admin's of the same tenant. So do
changes by the open ones to a user who has an account here, and can be asked. Orders, the account and version 4 are
somebody's, and need a token always.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers

import meshwright
from meshwright.auth.guard import bearer
from meshwright.auth.identity import calling
from meshwright.errors import ServiceError
from services.gateway.domain import Failure, problem_of
from services.gateway.problems import ProblemResponse
from services.gateway.tracing import trace_id

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from meshwright import Identity, JwtVerifier

ADMIN = "admin"
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_WITHOUT = ("/auth/", "/.well-known/", "/healthz", "/readyz", "/docs", "/openapi.json")
"""Addresses where a token that has ended is no reason to refuse: that is where one gets a new one."""
_REFUSAL = "meshwright.refusal"


class Mode(Enum):
    """What needs a token, from version 2 on."""

    OPEN = "open"
    WRITES = "writes"
    ALL = "all"


class Callers:
    """Whose token it is. Also for WebSockets: they bring their token in other ways than a header."""

    def __init__(self, verifier: JwtVerifier, mode: Mode) -> None:
        self.verifier = verifier
        self.mode = mode

    async def of_token(self, token: str) -> Identity:
        """Raises Failure (401 with TOKEN_EXPIRED, TOKEN_INVALID...; 503 with KEYS_UNAVAILABLE)."""
        try:
            return self.verifier.known(token) or await self.verifier.verify(token)
        except ServiceError as error:
            raise Failure(error.code, error.message, reason=error.reason) from error

    async def of_header(self, authorization: str | None) -> Identity | None:
        """None without a header. Raises Failure."""
        return None if authorization is None else await self.of_token(token_of(authorization))

    def check(self, method: str, version: int) -> None:
        """Refuse a request without a token where one is needed. Raises Failure."""
        reads = method in _READS
        needed = version > 1 and (self.mode is Mode.ALL or (self.mode is Mode.WRITES and not reads))
        if needed:
            required()

    def check_owner(self, user_id: str) -> None:
        """Refuse a change of somebody else. Raises Failure."""
        if self.mode is Mode.OPEN:
            return
        identity = required()
        if identity.subject != user_id.lower() and not is_admin(identity):
            raise Failure("PERMISSION_DENIED", "this is another user's to change", reason="NOT_ALLOWED")


def token_of(authorization: str) -> str:
    """The token of such a header. Raises Failure."""
    try:
        return bearer(authorization)
    except ServiceError as error:
        raise Failure(error.code, error.message, reason=error.reason) from error


def required() -> Identity:
    """Who asks; raises Failure where nobody said."""
    identity = meshwright.caller()
    if identity is None:
        raise Failure("UNAUTHENTICATED", "a token is needed: Authorization: Bearer <token>", reason="TOKEN_MISSING")
    return identity


def tenant_of(identity: Identity | None) -> str:
    """Empty: of none."""
    claim: Any = "" if identity is None else identity.claims.get("tenant", "")
    return claim if isinstance(claim, str) else ""


def is_admin(identity: Identity) -> bool:
    """Whether the caller is an admin: of its tenant, if it has one."""
    roles = identity.claims.get("roles")
    return isinstance(roles, list) and ADMIN in roles


class Identifying:
    """ASGI middleware that makes `meshwright.caller()` known.

    A token that is not good is refused with 401 by `Refusing`, which stands behind the limit of rates: guessing tokens
    is counted, too.
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
        except Failure as failure:
            if not _needless(scope):
                scope[_REFUSAL] = failure
            # What is no token here is none for the services behind: they never see it.
            with calling(None), meshwright.detached():
                await self._app(scope, receive, send)
            return
        with calling(identity):
            await self._app(scope, receive, send)


class Refusing:
    """ASGI middleware, inside of `Identifying`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        failure = scope.get(_REFUSAL)
        if failure is None:
            await self._app(scope, receive, send)
        else:
            await ProblemResponse(problem_of(failure, scope["path"], trace_id()))(scope, receive, send)


def _authorization(headers: Headers) -> str | None:
    """The header; raises Failure where there are several, of which others might believe another one."""
    found = headers.getlist("authorization")
    if len(found) > 1:
        raise Failure("UNAUTHENTICATED", "there is more than one Authorization", reason="TOKEN_INVALID")
    return found[0] if found else None


def _needless(scope: Scope) -> bool:
    """Whether the request does not need its token. Who begins a login elsewhere with one wants to link the two."""
    links = scope["method"] == "POST" and scope["path"].startswith("/auth/social/")
    return not links and bool(scope["path"].startswith(_WITHOUT))
