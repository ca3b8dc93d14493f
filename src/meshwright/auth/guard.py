"""Authorisation of calls: a valid token is required, except for methods that are public."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from meshwright import optional_imports
from meshwright.auth.identity import CALLER, Identity
from meshwright.errors import PermissionDeniedError, ServiceError, UnauthenticatedError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from meshwright.config import AuthConfig

_SCHEME = "bearer"


class Verifier(Protocol):
    """What `Auth` needs of a `JwtVerifier`."""

    def known(self, token: str) -> Identity | None:
        """The identity of a token that was verified before; None otherwise."""

    async def verify(self, token: str) -> Identity:
        """The identity of a token. Raises `UnauthenticatedError` for one that is not valid."""


@dataclass(frozen=True, slots=True)
class Auth:
    """Who may call what.

    `public`: methods that need no token, as `/pkg.Service/Method` or `/pkg.Service/*`. `allow`: for methods named in
    the same way, whether a caller may; where several names fit, the most precise one decides, and where none does,
    every verified caller may. Health, reflection and admin services are never asked for a token.
    """

    verifier: Verifier
    public: Collection[str] = frozenset()
    allow: Mapping[str, Callable[[Identity], bool]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        wrong = [name for name in (*self.public, *self.allow) if not _is_method(name)]
        if wrong:
            raise ValueError(f"neither /package.Service/Method nor /package.Service/*: {', '.join(wrong)}")

    @classmethod
    def configured(cls, config: AuthConfig, *, public: Collection[str] = frozenset()) -> Auth | None:
        """What the environment demands; None where it names no issuer."""
        if not config.issuer:
            return None
        kind = optional_imports.load("meshwright.auth.verifier", "JwtVerifier", "auth").JwtVerifier
        return cls(kind(config.jwks, issuer=config.issuer, audience=config.audience), public)

    def guard(self, method: str) -> Guard:
        """The guard of `/package.Service/Method`."""
        every = f"{method.rpartition('/')[0]}/*"
        rule = self.allow.get(method, self.allow.get(every))
        return Guard(self.verifier, public=method in self.public or every in self.public, rule=rule)

    def unmatched(self, methods: Collection[str]) -> list[str]:
        """The names in `public` and `allow` that fit none of these methods: a slip that would go unnoticed."""
        there = {*methods, *(f"{method.rpartition('/')[0]}/*" for method in methods)}
        return sorted({*self.public, *self.allow} - there)


def _is_method(name: str) -> bool:
    start, _, method = name.rpartition("/")
    return start.startswith("/") and len(start) > 1 and "/" not in start[1:] and bool(method)


class Guard:
    """At the door of one method."""

    __slots__ = ("_public", "_rule", "_verifier")

    def __init__(self, verifier: Verifier, *, public: bool, rule: Callable[[Identity], bool] | None) -> None:
        self._verifier = verifier
        self._public = public
        self._rule = rule

    async def admit(self, authorization: str | bytes | None) -> None:
        """Let the call in, with its `caller()` known. Raises UnauthenticatedError (TOKEN_MISSING and the verifier's),
        PermissionDeniedError (NOT_ALLOWED), UnavailableError."""
        try:
            token = bearer(authorization)
            identity = self._verifier.known(token) or await self._verifier.verify(token)
        except ServiceError:
            if not self._public:
                raise
            CALLER.set(None)
            return
        CALLER.set(identity)
        if self._rule is not None and not self._public and not self._rule(identity):
            raise PermissionDeniedError("the caller may not do this", reason="NOT_ALLOWED")


def bearer(authorization: str | bytes | None) -> str:
    """The token of `Bearer <token>` (RFC 6750). Raises UnauthenticatedError: TOKEN_MISSING, TOKEN_INVALID."""
    if not authorization:
        raise UnauthenticatedError("a token is needed: authorization: Bearer <token>", reason="TOKEN_MISSING")
    text = authorization.decode("latin-1") if isinstance(authorization, bytes) else authorization
    scheme, _, token = text.partition(" ")
    if scheme.lower() != _SCHEME or not token.strip():
        raise UnauthenticatedError("the authorization is not of the form Bearer <token>", reason="TOKEN_INVALID")
    return token.strip()
