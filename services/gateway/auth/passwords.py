"""Passwords as argon2id hashes (RFC 9106), with the parameters that OWASP recommends at least: 19 MiB, two passes.

A hash takes some 20 ms of a core and its memory, on purpose: they are made in threads, and only a few at once, so that
a flood of sign-ins waits for itself and not the other requests for it. Of those that wait there is an end, too: who
comes later is asked to come again.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from services.gateway.domain import ApiError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

AT_ONCE = 2
MOST_WAITING = 200
"""Some seconds' worth, on two cores."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the password was right, and a new hash to store where the old one was made more cheaply."""

    right: bool
    rehashed: str | None = None


class Passwords:
    """`memory` is in KiB, `passes` the time cost."""

    def __init__(self, memory: int = 19_456, passes: int = 2) -> None:
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory, parallelism=1)
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        self._nobodys = self._hasher.hash("")

    async def hash(self, password: str) -> str:
        """Raises ApiError (503, BUSY), as does `verify`."""
        async with self._turn():
            return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, stored: str | None, password: str) -> Verdict:
        """Nobody's password (None) is never right, and takes as long to be found wrong as somebody's."""
        async with self._turn():
            return await asyncio.to_thread(self._verify, stored, password)

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._waiting >= MOST_WAITING:
            raise ApiError("UNAVAILABLE", "too many people sign in just now: try again soon", reason="BUSY")
        self._waiting += 1
        try:
            async with self._turns:
                yield
        finally:
            self._waiting -= 1

    def _verify(self, stored: str | None, password: str) -> Verdict:
        try:
            self._hasher.verify(stored or self._nobodys, password)
        except (VerificationError, InvalidHashError):
            return Verdict(right=False)
        if stored is None:
            return Verdict(right=False)
        again = self._hasher.hash(password) if self._hasher.check_needs_rehash(stored) else None
        return Verdict(right=True, rehashed=again)
