"""Rules of accounts, tokens and signing keys. Pure: time and randomness are arguments.

A key signs from `active_from` until its successor does. The successor is created and published `announce` seconds
before it signs, so that verifiers with cached keys know it by then. A key stays published until the last token that it
has signed expires.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MIN_PASSWORD, MAX_PASSWORD = 10, 128
"""Characters (NIST SP 800-63B asks for length, and for nothing else)."""
_TENANT = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
ADMIN = "admin"
OPERATOR = "operator"
"""The operator's sign-in name, and the subject of its tokens."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user's account. `subject`: the user's id."""

    subject: str
    email_key: str
    password_hash: str
    roles: tuple[str, ...] = ()
    tenant: str = ""
    """Empty: of no tenant."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """The response of a sign-in (RFC 6749, 5.1). `expires_in`: seconds, of the access token."""

    access_token: str
    refresh_token: str
    expires_in: int
    subject: str
    token_type: str = "Bearer"  # noqa: S105 - a type, no secret


@dataclass(frozen=True, slots=True)
class LinkedIdentity:
    """An identity at another issuer, linked to a user."""

    provider: str
    issuer: str
    external_subject: str
    linked_at: float


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key pair. `pem`: the private key, as it is stored; `serial` counts the keys."""

    serial: int
    kid: str
    pem: bytes
    active_from: float


@dataclass(frozen=True, slots=True)
class KeyRotation:
    """Seconds that a key signs, is published before it signs, and stays published afterwards."""

    lifetime: float = 7 * 86400.0
    announce: float = 600.0
    keep: float = 3600.0


def signing(keys: Sequence[SigningKey], now: float) -> SigningKey | None:
    """The key that signs at `now`: the latest that is active."""
    return max((key for key in keys if key.active_from <= now), key=lambda key: key.serial, default=None)


def published(keys: Sequence[SigningKey], now: float, rotation: KeyRotation) -> list[SigningKey]:
    """The published keys, including the next one, oldest first."""
    ordered = sorted(keys, key=lambda key: key.serial)
    ends = [later.active_from for later in ordered[1:]] + [float("inf")]
    return [key for key, end in zip(ordered, ends, strict=True) if end + rotation.keep > now]


def next_active_from(keys: Sequence[SigningKey], now: float, rotation: KeyRotation) -> float | None:
    """The `active_from` of a key to create now; None if none is due."""
    if not keys:
        return now
    newest = max(keys, key=lambda key: key.serial)
    if newest.active_from + rotation.lifetime - rotation.announce > now:
        return None
    return now + rotation.announce


def email_key(email: str) -> str:
    """The unique key of an account: the address as the user service compares it."""
    return email.strip().lower()


def digest(secret: str) -> str:
    """The stored form of a random secret; needs no salt."""
    return hashlib.sha256(secret.encode()).hexdigest()


def sign_up_problems(password: str, tenant: str) -> dict[str, str]:
    """The invalid fields of a sign-up that the gateway validates."""
    found = {}
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        found["password"] = f"must be {MIN_PASSWORD} to {MAX_PASSWORD} characters long"
    if tenant and not _TENANT.fullmatch(tenant):
        found["tenant"] = "must be 1 to 40 lower-case letters, digits and dashes"
    return found


def access_claims(account: Account, *, issuer: str, audience: str, now: float, lifetime: float) -> Mapping[str, Any]:
    """The claims of an access token (RFC 9068), without `jti`."""
    claims: dict[str, Any] = {
        "iss": issuer,
        "aud": audience,
        "sub": account.subject,
        "iat": int(now),
        "exp": int(now + lifetime),
        "roles": list(account.roles),
    }
    return claims | ({"tenant": account.tenant} if account.tenant else {})
