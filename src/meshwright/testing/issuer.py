"""An issuer of tokens, for tests of servers that take `auth`."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from meshwright.auth import JwtVerifier

if TYPE_CHECKING:
    from collections.abc import Callable


class Issuer:
    """Signs tokens with a key of its own: `ES256`, or `RS256`. `clock`: seconds since 1970.

    issuer = Issuer()
    async with served(add, servicer, auth=Auth(issuer.verifier())) as service:
        await stub.Method(request, metadata=issuer.metadata("user-1"))
    """

    def __init__(
        self,
        name: str = "https://issuer.test",
        audience: str = "meshwright",
        *,
        algorithm: str = "ES256",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self.audience = audience
        self.algorithm = algorithm
        self.clock = clock
        self._keys: dict[str, Any] = {}
        self.rotate()

    def rotate(self, *, keep: bool = True) -> str:
        """Sign with a new key from now on; `keep`: the old ones stay published. The new key's id."""
        if not keep:
            self._keys.clear()
        self.kid = f"key-{len(self._keys) + 1}-{id(self)}-{time.monotonic_ns()}"
        rsa_wanted = self.algorithm == "RS256"
        self._keys[self.kid] = (
            rsa.generate_private_key(65537, 2048) if rsa_wanted else ec.generate_private_key(ec.SECP256R1())
        )
        return self.kid

    @property
    def key(self) -> Any:
        """The private key that signs now."""
        return self._keys[self.kid]

    def jwks(self) -> dict[str, Any]:
        """The public keys as a JWKS document."""
        form = jwt.get_algorithm_by_name(self.algorithm)
        return {
            "keys": [
                json.loads(form.to_jwk(key.public_key())) | {"kid": kid, "alg": self.algorithm, "use": "sig"}
                for kid, key in self._keys.items()
            ]
        }

    def token(self, subject: str = "user-1", *, lifetime: float = 60.0, **claims: Any) -> str:
        """A token of `subject`, good for `lifetime` seconds; `claims` are added, or with None left out."""
        now = self.clock()
        all_claims = {
            "iss": self.name,
            "aud": self.audience,
            "sub": subject,
            "iat": now,
            "exp": now + lifetime,
        } | claims
        payload = {name: value for name, value in all_claims.items() if value is not None}
        return jwt.encode(payload, self.key, algorithm=self.algorithm, headers={"kid": self.kid})

    def metadata(self, subject: str = "user-1", **claims: Any) -> tuple[tuple[str, str], ...]:
        """The metadata of a call by `subject`."""
        return (("authorization", f"Bearer {self.token(subject, **claims)}"),)

    def verifier(self) -> JwtVerifier:
        """A verifier that knows the keys of now."""
        return JwtVerifier(self.jwks(), issuer=self.name, audience=self.audience, clock=self.clock)
