"""Digest authentication for SIP: RFC 7616 and RFC 8760, `qop=auth` only.

The server sends a nonce, the device answers with a hash over nonce, password, method and URI, so the password does not
travel. What the server keeps is HA1, the hash of account, realm and password: enough to verify, and as good as the
password for this realm alone.

A nonce carries its time, and an HMAC over it and the address that it was given to: any nonce is verified without being
stored, one of another address or age is worthless, and a right or wrong answer proves that the address is not forged. A
nonce may be used again with a higher count (`nc`); the counts of used nonces are kept until they expire, at most
MAX_USED of them. With the table full, further nonces are answered as stale, never accepted unseen.
"""

from __future__ import annotations

import base64
import binascii
import enum
import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NONCE_SECONDS = 300.0
MAX_USED = 20_000
_TIME_BYTES = 8
_RANDOM_BYTES = 8
_MAC_BYTES = 16
_LONGEST_FIELD = 256
_COUNT_DIGITS = 8


class Algorithm(enum.Enum):
    """By its name in a challenge."""

    SHA256 = "SHA-256"
    MD5 = "MD5"
    """For telephones that know no other: RFC 8760 keeps it for them."""


class Validity(enum.Enum):
    """What a nonce is worth."""

    GOOD = enum.auto()
    STALE = enum.auto()
    """It was given out, and has expired or been used: the device repeats its request with a new one."""
    FOREIGN = enum.auto()
    """It was not given out to this address."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The fields of an Authorization header."""

    username: str
    realm: str
    nonce: str
    uri: str
    response: str
    algorithm: Algorithm
    count: str
    client_nonce: str


def hashed(algorithm: Algorithm, text: str) -> str:
    """The hash as hexadecimal digits."""
    if algorithm is Algorithm.SHA256:
        return hashlib.sha256(text.encode()).hexdigest()
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def ha1(algorithm: Algorithm, account: str, realm: str, password: str) -> str:
    """What is kept of a password."""
    return hashed(algorithm, f"{account}:{realm}:{password}")


def credentials_of(fields: Mapping[str, str]) -> Credentials | None:
    """The credentials in a header's fields; None if they are incomplete, too long, or of another kind."""
    lower = {name.lower(): value for name, value in fields.items()}
    texts = [lower.get(name, "") for name in ("username", "realm", "nonce", "uri", "response", "nc", "cnonce")]
    if not all(texts) or any(len(text) > _LONGEST_FIELD for text in texts):
        return None
    if lower.get("qop", "").lower() != "auth" or len(lower["nc"]) != _COUNT_DIGITS:
        return None
    try:
        algorithm = Algorithm(lower.get("algorithm", "MD5").upper())
        int(lower["nc"], 16)
    except ValueError:
        return None
    username, realm, nonce, uri, response, count, client_nonce = texts
    return Credentials(username, realm, nonce, uri, response, algorithm, count, client_nonce)


def verified(given: Credentials, method: str, kept: str) -> bool:
    """Whether the response is that of a device with this HA1."""
    of_request = hashed(given.algorithm, f"{method}:{given.uri}")
    expected = hashed(given.algorithm, f"{kept}:{given.nonce}:{given.count}:{given.client_nonce}:auth:{of_request}")
    return hmac.compare_digest(expected.encode(), given.response.lower().encode())


class Nonces:
    """Gives out nonces, and holds the counts of used ones. Times are seconds since 1970."""

    def __init__(self, secret: bytes, entropy: Callable[[int], bytes]) -> None:
        self._secret = secret
        self._entropy = entropy
        self._used: dict[str, tuple[float, int]] = {}
        """When it expires, and the last count; in the order of the first use."""

    def new(self, address: str, now: float) -> str:
        """A nonce for that address."""
        body = int(now * 1000).to_bytes(_TIME_BYTES) + self._entropy(_RANDOM_BYTES)
        return base64.urlsafe_b64encode(body + self._mac(body, address)).decode()

    def validity(self, nonce: str, address: str, now: float) -> Validity:
        """What the nonce is worth from that address, its count apart."""
        given_at = self._given_at(nonce, address)
        if given_at is None:
            return Validity.FOREIGN
        return Validity.GOOD if now - given_at <= NONCE_SECONDS else Validity.STALE

    def use(self, nonce: str, count: str, now: float) -> bool:
        """Marks a good nonce as used with that count; False if it was before, with this count or a higher one."""
        number = int(count, 16)
        known = self._used.get(nonce)
        if known is not None:
            if number <= known[1]:
                return False
            self._used[nonce] = (known[0], number)
            return True
        self._forget(now)
        if len(self._used) >= MAX_USED:
            return False
        self._used[nonce] = (now + NONCE_SECONDS, number)
        return True

    def _forget(self, now: float) -> None:
        """Drops expired nonces. They expire in the order of their first use."""
        while self._used:
            oldest = next(iter(self._used))
            if self._used[oldest][0] > now:
                return
            del self._used[oldest]

    def _given_at(self, nonce: str, address: str) -> float | None:
        try:
            raw = base64.urlsafe_b64decode(nonce.encode())
        except (ValueError, binascii.Error):
            return None
        body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if len(body) != _TIME_BYTES + _RANDOM_BYTES or not hmac.compare_digest(mac, self._mac(body, address)):
            return None
        return int.from_bytes(body[:_TIME_BYTES]) / 1000

    def _mac(self, body: bytes, address: str) -> bytes:
        return hmac.new(self._secret, body + address.encode(), hashlib.sha256).digest()[:_MAC_BYTES]
