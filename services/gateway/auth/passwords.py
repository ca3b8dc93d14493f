"""Passwords as argon2id hashes (RFC 9106), with the parameters that OWASP recommends at least: 19 MiB, two passes.

A hash takes some 20 ms of a core and its memory, on purpose: they are made in threads, and only a few at once, so that
a flood of sign-ins waits for itself and not the other requests for it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

AT_ONCE = 2


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
        self._nobodys = self._hasher.hash("")

    async def hash(self, password: str) -> str:
        async with self._turns:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, stored: str | None, password: str) -> Verdict:
        """Nobody's password (None) is never right, and takes as long to be found wrong as somebody's."""
        async with self._turns:
            return await asyncio.to_thread(self._verify, stored, password)

    def _verify(self, stored: str | None, password: str) -> Verdict:
        try:
            self._hasher.verify(stored or self._nobodys, password)
        except (VerificationError, InvalidHashError):
            return Verdict(right=False)
        if stored is None:
            return Verdict(right=False)
        again = self._hasher.hash(password) if self._hasher.check_needs_rehash(stored) else None
        return Verdict(right=True, rehashed=again)
