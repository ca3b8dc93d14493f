"""The public keys of an issuer: a JWKS document (RFC 7517), given, in a file, or at a URL.

A set from a file or a URL is read when a key is first asked for, again when it is older than `max_age`, and again when
a token names a key that is not in it: that is how rotation is noticed before the old set has aged. A caller can make up
key ids as it likes, so sets are read `min_interval` apart at least. Where reading fails, the keys that are known stay
in force: an issuer that is down must not take every service with it.

Only keys that can verify RS256 and ES256 are taken: no symmetric key ever gets in, and none that is too short.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from meshwright.errors import UnavailableError, ValidationError, Violation
from meshwright.http1 import HttpError, fetch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

ALGORITHMS = ("RS256", "ES256")
MAX_AGE = 300.0
"""Seconds that a set from a URL is believed: a key that the issuer has withdrawn verifies no longer than this."""
FILE_MAX_AGE = 5.0
MIN_INTERVAL = 10.0
FETCH_SECONDS = 3.0
_MIN_RSA_BITS = 2048
_UNREADABLE = (OSError, ValueError, TimeoutError, HttpError)


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys of one document. `keys` maps key ids to keys; one without an id has the empty id."""

    keys: Mapping[str, jwt.PyJWK]

    def find(self, kid: str | None) -> jwt.PyJWK | None:
        """The key with that id; where a token names none, the only key."""
        if kid is None:
            return next(iter(self.keys.values())) if len(self.keys) == 1 else None
        return self.keys.get(kid)


def parse(document: Any) -> KeySet:
    """The usable keys of a JWKS document; raises ValueError where it is no such document."""
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise ValueError("is not a JWKS document")
    return KeySet({key.key_id or "": key for item in document["keys"] if (key := _usable(item)) is not None})


def _usable(item: Any) -> jwt.PyJWK | None:
    if not isinstance(item, dict) or item.get("use", "sig") != "sig":
        return None
    try:
        key = jwt.PyJWK(item)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    if key.algorithm_name not in ALGORITHMS or "d" in item:
        return None
    if isinstance(key.key, RSAPublicKey) and key.key.key_size < _MIN_RSA_BITS:
        return None
    return key


class Keys(Protocol):
    """Where a verifier gets keys."""

    def current(self) -> KeySet | None:
        """The set that is in force; None where it must be read first, or again."""

    async def find(self, kid: str | None) -> jwt.PyJWK | None:
        """The key with that id, having read the set anew if need be. Raises UnavailableError while there is none."""


class GivenKeys:
    """A set that never changes."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._set = parse(document)

    def current(self) -> KeySet:
        """The set, always."""
        return self._set

    async def find(self, kid: str | None) -> jwt.PyJWK | None:
        """The key with that id, or None."""
        return self._set.find(kid)


class ReadKeys:
    """A set that is read, and read again. `read` yields the document; `where` is for messages.

    `max_age` and `min_interval` are in seconds, on `clock`, which is monotonic.
    """

    def __init__(
        self,
        read: Callable[[], Awaitable[Any]],
        where: str,
        *,
        max_age: float = MAX_AGE,
        min_interval: float = MIN_INTERVAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._where = where
        self._max_age = max_age
        self._min_interval = min_interval
        self._clock = clock
        self._set: KeySet | None = None
        self._due = self._allowed = -float("inf")
        self._lock = asyncio.Lock()

    def current(self) -> KeySet | None:
        """The set that was read last; None where it is older than `max_age`, or none was read."""
        return self._set if self._clock() < self._due else None

    async def find(self, kid: str | None) -> jwt.PyJWK | None:
        """The key with that id, or None; the set is read anew for it. Raises UnavailableError while none was read."""
        keys = self.current() or await self._refresh(None)
        found = keys.find(kid)
        return found if found is not None else (await self._refresh(keys)).find(kid)

    async def _refresh(self, seen: KeySet | None) -> KeySet:
        """A set other than `seen` if there is one now."""
        if self._lock.locked() and self._set is not None and self._set is not seen:
            return self._set
        async with self._lock:
            if self._set is not seen and self.current() is not None:
                pass
            elif self._clock() >= self._allowed:
                await self._read_now()
        if self._set is None:
            raise UnavailableError("the keys that tokens are signed with cannot be read now", reason="KEYS_UNAVAILABLE")
        return self._set

    async def _read_now(self) -> None:
        try:
            read = parse(await self._read())
        except _UNREADABLE as error:
            log.warning("keys at %s: %s", self._where, error or type(error).__name__)
            # Without any keys every call waits for them: ask again soon.
            pause = self._min_interval if self._set is not None else min(1.0, self._min_interval)
            self._allowed = self._clock() + pause
            self._due = self._allowed if self._set is not None else self._due
            return
        now = self._clock()
        self._allowed, self._due = now + self._min_interval, now + self._max_age
        if self._set is None or _ids(read) != _ids(self._set):
            self._set = read


def _ids(keys: KeySet) -> dict[str, Any]:
    return {kid: key._jwk_data for kid, key in keys.keys.items()}  # noqa: SLF001 - the document that it was made from


def open_keys(where: str | Path | Mapping[str, Any] | Keys, *, min_interval: float = MIN_INTERVAL) -> Keys:
    """Keys from a URL (http or https), a file, or a document. Raises `ValidationError` for another kind of URL.

    `min_interval`: seconds between two requests to a URL.
    """
    if isinstance(where, Path):
        return ReadKeys(_from_file(where), str(where), max_age=FILE_MAX_AGE, min_interval=1.0)
    if isinstance(where, str):
        if where.startswith(("http://", "https://")):
            return ReadKeys(_from_url(where), where, min_interval=min_interval)
        if "://" in where:
            raise ValidationError(
                "the place of a JWKS", [Violation("", f"must be a file or an http(s) URL, not {where!r}")]
            )
        return open_keys(Path(where))
    return GivenKeys(where) if isinstance(where, Mapping) else where


def _from_file(path: Path) -> Callable[[], Awaitable[Any]]:
    async def read() -> Any:
        return json.loads(await asyncio.to_thread(path.read_bytes))

    return read


def _from_url(url: str) -> Callable[[], Awaitable[Any]]:
    async def read() -> Any:
        return json.loads(await fetch(url, FETCH_SECONDS))

    return read
