"""The signing keys of the gateway, in its database: all replicas sign with and publish the same keys."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from meshwright.errors import ValidationError, Violation
from services.gateway.auth import domain
from services.gateway.auth.domain import KeyRotation, SigningKey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from services.gateway.auth.store import AuthStore

ALGORITHM = "ES256"
REREAD_SECONDS = 5.0
"""How soon a replica reads a key that another has created: much sooner than the key signs."""


class SigningKeys:
    """`clock`: seconds since 1970. `entropy`: random bytes for key ids. `passphrase`: keys are stored encrypted."""

    def __init__(
        self,
        store: AuthStore,
        rotation: KeyRotation,
        *,
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
        passphrase: str = "",
    ) -> None:
        self._store = store
        self._rotation = rotation
        self._clock = clock
        self._entropy = entropy
        self._passphrase = passphrase.encode() or None
        self._keys: list[SigningKey] = []
        self._read_at = -float("inf")
        self._private: dict[str, Any] = {}

    async def sign(self, claims: Mapping[str, Any], kind: str) -> str:
        """A JWT with these claims; `kind` is its `typ`. Raises StoreUnavailableError, ValidationError."""
        now = self._clock()
        key = domain.signing(await self._current(now), now)
        assert key is not None, "the first key signs at once"
        return jwt.encode(dict(claims), self._open(key), ALGORITHM, headers={"kid": key.kid, "typ": kind})

    async def jwks(self) -> dict[str, Any]:
        """The public keys (RFC 7517). Raises StoreUnavailableError, ValidationError."""
        now = self._clock()
        keys = domain.published(await self._current(now), now, self._rotation)
        return {"keys": [_public(self._open(key)) | {"kid": key.kid} for key in keys]}

    async def _current(self, now: float) -> list[SigningKey]:
        if now - self._read_at >= REREAD_SECONDS or not self._keys:
            self._keys = await self._store.keys()
            self._read_at = now
        begins = domain.next_active_from(self._keys, now, self._rotation)
        if begins is not None:
            await self._store.add_key(self._make(begins))
            self._keys = await self._store.keys()
            kept = domain.published(self._keys, now, self._rotation)
            await self._store.remove_keys(before=kept[0].serial)
        return self._keys

    def _make(self, active_from: float) -> SigningKey:
        encryption = BestAvailableEncryption(self._passphrase) if self._passphrase else NoEncryption()
        pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
        serial = max((key.serial for key in self._keys), default=0) + 1
        return SigningKey(serial, f"{serial}-{self._entropy(8).hex()}", pem, active_from)

    def _open(self, key: SigningKey) -> Any:
        if key.kid not in self._private:
            try:
                self._private[key.kid] = load_pem_private_key(key.pem, self._passphrase)
            except (ValueError, TypeError):
                what = "does not open the signing keys that are in the gateway's database"
                raise ValidationError("the environment", [Violation("GATEWAY_KEY_PASSPHRASE", what)]) from None
        return self._private[key.kid]


def _public(private: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(jwt.get_algorithm_by_name(ALGORITHM).to_jwk(private.public_key()))
    return found | {"alg": ALGORITHM, "use": "sig"}
