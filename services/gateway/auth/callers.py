"""The gateway's authorization rules, on top of the tokens that `meshwright.auth` verifies.

Version 1 of the API and JSON-RPC are open, as in the lecture. From version 2 on, writes need a token by default
(`GATEWAY_AUTH=writes`), and changes to a user need the token of that user or of an admin of its tenant; in the open
APIs that applies to users with an account. Orders, the account and version 4 always need a token.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

import meshwright
from meshwright.auth import bearer
from meshwright.errors import ServiceError
from services.gateway.errors import ApiError

if TYPE_CHECKING:
    from meshwright.auth import Identity, JwtVerifier

ADMIN = "admin"
_READS = frozenset({"GET", "HEAD", "OPTIONS"})


class AuthMode(Enum):
    """Which requests need a token, from version 2 on."""

    OPEN = "open"
    WRITES = "writes"
    ALL = "all"


class Callers:
    """Identifies callers by token. WebSockets pass tokens in other ways than a header."""

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
        """Raises ApiError for a request without a required token."""
        reads = method in _READS
        needed = version > 1 and (self.mode is AuthMode.ALL or (self.mode is AuthMode.WRITES and not reads))
        if needed:
            require_identity()

    def check_owner(self, user_id: str) -> None:
        """Raises ApiError unless the caller is the user or an admin."""
        if self.mode is AuthMode.OPEN:
            return
        identity = require_identity()
        if identity.subject != user_id.lower() and not is_admin(identity):
            raise ApiError("PERMISSION_DENIED", "only this user or an admin may do this", reason="NOT_ALLOWED")


def token_of(authorization: str) -> str:
    """Parses an Authorization header. Raises ApiError."""
    try:
        return bearer(authorization)
    except ServiceError as error:
        raise ApiError(error.code, error.message, reason=error.reason) from error


def require_identity() -> Identity:
    """The caller's identity; raises ApiError without one."""
    identity = meshwright.caller()
    if identity is None:
        raise ApiError("UNAUTHENTICATED", "a token is needed: Authorization: Bearer <token>", reason="TOKEN_MISSING")
    return identity


def tenant_of(identity: Identity | None) -> str:
    """The identity's tenant; empty: none."""
    claim: Any = "" if identity is None else identity.claims.get("tenant", "")
    return claim if isinstance(claim, str) else ""


def is_admin(identity: Identity) -> bool:
    """Whether the identity is an admin: of its tenant, if it has one."""
    roles = identity.claims.get("roles")
    return isinstance(roles, list) and ADMIN in roles
