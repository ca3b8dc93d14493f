"""Password hashing with argon2id (RFC 9106) and OWASP's minimum parameters: 19 MiB, two passes.

A hash takes about 20 ms of a core and its memory, by design. Hashes run in threads, AT_ONCE at a time, so that many
sign-ins do not delay other requests. At most MOST_WAITING wait; further ones fail with 503.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from services.gateway.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

AT_ONCE = 2
MOST_WAITING = 200
"""A few seconds of work on two cores."""


@dataclass(frozen=True, slots=True)
class PasswordCheck:
    """Whether the password is right, and a new hash if the stored one has weaker parameters."""

    right: bool
    rehashed: str | None = None


class Passwords:
    """`memory` is in KiB, `passes` the time cost."""

    def __init__(self, memory: int = 19_456, passes: int = 2) -> None:
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory, parallelism=1)
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        self._dummy_hash = self._hasher.hash("")

    async def hash(self, password: str) -> str:
        """Raises ApiError (503, BUSY), as does `verify`."""
        async with self._turn():
            return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, stored: str | None, password: str) -> PasswordCheck:
        """Verifies a password. `stored` None: always wrong, in the same time as for an existing account."""
        async with self._turn():
            return await asyncio.to_thread(self._verify, stored, password)

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._waiting >= MOST_WAITING:
            raise ApiError("UNAVAILABLE", "too many sign-ins at the moment: try again soon", reason="BUSY")
        self._waiting += 1
        try:
            async with self._turns:
                yield
        finally:
            self._waiting -= 1

    def _verify(self, stored: str | None, password: str) -> PasswordCheck:
        try:
            self._hasher.verify(stored or self._dummy_hash, password)
        except (VerificationError, InvalidHashError):
            return PasswordCheck(right=False)
        if stored is None:
            return PasswordCheck(right=False)
        again = self._hasher.hash(password) if self._hasher.check_needs_rehash(stored) else None
        return PasswordCheck(right=True, rehashed=again)
