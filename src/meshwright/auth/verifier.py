"""Signed JWTs: is this one good, and whose is it?

Held to RFC 8725 (JWT best practices): the algorithm is the key's, never the token's choice, so that neither `none` nor
an HMAC made with a public key gets anywhere; issuer, audience, expiry and subject must be there and right.

A signature costs 30 to 100 microseconds to check, and one token comes with many calls: verified tokens are remembered
until they expire or the issuer's keys change, whichever is first.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import jwt

from meshwright.auth.identity import Identity
from meshwright.auth.keys import KeySet, open_keys
from meshwright.errors import UnauthenticatedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from meshwright.auth.keys import Keys

LEEWAY = 5.0
LATEST = 253_402_300_799
"""The end of the year 9999, in seconds since 1970: what is later, or no number, is no time."""
LONGEST = 16 * 1024
"""Characters of a token: one that is longer is not even decoded."""
REMEMBERED = 4096
_INVALID = "TOKEN_INVALID"
_SIGNATURE_ONLY = {
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
    "verify_jti": False,
}


@dataclass(frozen=True, slots=True)
class _Verified:
    identity: Identity
    expires: float
    keys: KeySet
    """The keys that were in force: with others the token is looked at again."""


class JwtVerifier:
    """Verifies tokens of one issuer.

    `keys`: where its JWKS is (a http(s) URL or a file), the document itself, or any `Keys`. `audience`: whom tokens
    must be meant for; with several, for one of them. `leeway`: seconds by which clocks may differ. `clock`: seconds
    since 1970.
    """

    def __init__(
        self,
        keys: str | Path | Mapping[str, Any] | Keys,
        *,
        issuer: str,
        audience: str | Sequence[str],
        leeway: float = LEEWAY,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys = open_keys(keys)
        self._issuer = issuer
        self._audience = frozenset([audience] if isinstance(audience, str) else audience)
        self._leeway = leeway
        self._clock = clock
        self._verified: dict[str, _Verified] = {}

    def known(self, token: str) -> Identity | None:
        """Who a token stands for that was verified before and still is good; None: `verify` it."""
        found = self._verified.get(token)
        if found is None:
            return None
        if self._clock() < found.expires and self._keys.current() is found.keys:
            return found.identity
        del self._verified[token]
        return None

    async def verify(self, token: str) -> Identity:
        """Who the token stands for.

        Raises UnauthenticatedError (TOKEN_EXPIRED, TOKEN_NOT_YET_VALID, TOKEN_INVALID), UnavailableError
        (KEYS_UNAVAILABLE) where the issuer's keys have never been read.
        """
        known = self.known(token)
        if known is not None:
            return known
        claims = await self._claims(token)
        expires = self._check(claims)
        identity = Identity(claims["sub"], MappingProxyType(claims))
        keys = self._keys.current()
        if keys is not None:
            self._remember(token, _Verified(identity, expires, keys))
        return identity

    async def _claims(self, token: str) -> dict[str, Any]:
        """The claims of a token whose signature is right."""
        if len(token) > LONGEST:
            raise UnauthenticatedError("the token is too long", reason=_INVALID)
        try:
            kid = jwt.get_unverified_header(token).get("kid")
        except (jwt.PyJWTError, RecursionError):
            raise UnauthenticatedError("the token is no signed JWT", reason=_INVALID) from None
        key = await self._keys.find(kid)
        if key is None:
            raise UnauthenticatedError("the token names a key that its issuer does not have", reason=_INVALID)
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                options=_SIGNATURE_ONLY,  # type: ignore[arg-type]
            )
        except jwt.InvalidAlgorithmError:
            raise UnauthenticatedError("the token's algorithm is not its key's", reason=_INVALID) from None
        except (jwt.PyJWTError, RecursionError):
            raise UnauthenticatedError("the token's signature is wrong", reason=_INVALID) from None
        return claims

    def _check(self, claims: dict[str, Any]) -> float:
        """Hold the claims to what is demanded of them; when the token ends, in seconds since 1970."""
        if claims.get("iss") != self._issuer:
            raise UnauthenticatedError("the token is of another issuer", reason=_INVALID)
        if not _audience(claims) & self._audience:
            raise UnauthenticatedError("the token has an invalid audience", reason=_INVALID)
        if not isinstance(claims.get("sub"), str) or not claims["sub"]:
            raise UnauthenticatedError("the token names no subject", reason=_INVALID)
        now = self._clock()
        expires = _seconds(claims, "exp")
        if expires is None:
            raise UnauthenticatedError("the token has no expiry", reason=_INVALID)
        if now >= expires + self._leeway:
            raise UnauthenticatedError("the token has expired", reason="TOKEN_EXPIRED")
        begins = max(_seconds(claims, "nbf") or 0.0, _seconds(claims, "iat") or 0.0)
        if now < begins - self._leeway:
            raise UnauthenticatedError("the token is not valid yet", reason="TOKEN_NOT_YET_VALID")
        return expires + self._leeway

    def _remember(self, token: str, verified: _Verified) -> None:
        while len(self._verified) >= REMEMBERED:
            del self._verified[next(iter(self._verified))]
        self._verified[token] = verified


def _audience(claims: Mapping[str, Any]) -> set[str]:
    value = claims.get("aud")
    values = value if isinstance(value, list) else [value]
    return {item for item in values if isinstance(item, str)}


def _seconds(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LATEST:
        raise UnauthenticatedError(f"the token's {name} is no time", reason=_INVALID)
    return float(value)
