"""Who asks, and what they may: the gateway's own rules, on top of the tokens that `meshwright.auth` verifies.

Version 1 of the API and JSON-RPC stay open, as the lecture has them. From version 2 on a write needs a token by
default (`GATEWAY_AUTH=writes`), and changes to a user need that user's own, or an admin's of the same tenant. So do
changes by the open ones to a user who has an account here, and can be asked. Orders, the account and version 4 are
somebody's, and need a token always.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

import meshwright
from meshwright.auth.guard import bearer
from meshwright.errors import ServiceError
from services.gateway.domain import ApiError

if TYPE_CHECKING:
    from meshwright import Identity, JwtVerifier

ADMIN = "admin"
_READS = frozenset({"GET", "HEAD", "OPTIONS"})


class AuthMode(Enum):
    """What needs a token, from version 2 on."""

    OPEN = "open"
    WRITES = "writes"
    ALL = "all"


class Callers:
    """Whose token it is. Also for WebSockets: they bring their token in other ways than a header."""

    def __init__(self, verifier: JwtVerifier, mode: AuthMode) -> None:
        self.verifier = verifier
        self.mode = mode

    async def of_token(self, token: str) -> Identity:
        """Raises ApiError (401 with TOKEN_EXPIRED, TOKEN_INVALID...; 503 with KEYS_UNAVAILABLE)."""
        try:
            return self.verifier.known(token) or await self.verifier.verify(token)
        except ServiceError as error:
            raise ApiError(error.code, error.message, reason=error.reason) from error

    async def of_header(self, authorization: str | None) -> Identity | None:
        """None without a header. Raises ApiError."""
        return None if authorization is None else await self.of_token(token_of(authorization))

    def check(self, method: str, version: int) -> None:
        """Refuse a request without a token where one is needed. Raises ApiError."""
        reads = method in _READS
        needed = version > 1 and (self.mode is AuthMode.ALL or (self.mode is AuthMode.WRITES and not reads))
        if needed:
            require_identity()

    def check_owner(self, user_id: str) -> None:
        """Refuse a change of somebody else. Raises ApiError."""
        if self.mode is AuthMode.OPEN:
            return
        identity = require_identity()
        if identity.subject != user_id.lower() and not is_admin(identity):
            raise ApiError("PERMISSION_DENIED", "this is another user's to change", reason="NOT_ALLOWED")


def token_of(authorization: str) -> str:
    """The token of such a header. Raises ApiError."""
    try:
        return bearer(authorization)
    except ServiceError as error:
        raise ApiError(error.code, error.message, reason=error.reason) from error


def require_identity() -> Identity:
    """Who asks; raises ApiError where nobody said."""
    identity = meshwright.caller()
    if identity is None:
        raise ApiError("UNAUTHENTICATED", "a token is needed: Authorization: Bearer <token>", reason="TOKEN_MISSING")
    return identity


def tenant_of(identity: Identity | None) -> str:
    """Empty: of none."""
    claim: Any = "" if identity is None else identity.claims.get("tenant", "")
    return claim if isinstance(claim, str) else ""


def is_admin(identity: Identity) -> bool:
    """Whether the caller is an admin: of its tenant, if it has one."""
    roles = identity.claims.get("roles")
    return isinstance(roles, list) and ADMIN in roles
