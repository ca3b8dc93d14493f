"""The port to the calculator service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


class Calculator(Protocol):
    """The calculator. Every method may raise ApiError; `timeout` is in seconds."""

    async def add(self, a: float, b: float, timeout: float) -> float: ...
    async def multiply(self, a: float, b: float, timeout: float) -> float: ...
    def primes(self, limit: int, timeout: float) -> AsyncGenerator[int]: ...
