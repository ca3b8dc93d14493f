"""Shared state of all sockets of a gateway: limits, counts, and draining."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from services.gateway.errors import ApiError
from services.gateway.http.middleware.rate_limit import client_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from starlette.types import Scope

    from meshwright.auth import Identity
    from services.gateway.auth.callers import Callers
    from services.gateway.http.middleware.rate_limit import RateLimiter
    from services.gateway.realtime.calls.wiring import Calls
    from services.gateway.realtime.clients import ChatClient


@dataclass(frozen=True, slots=True)
class SocketLimits:
    """Limits of sockets. `rate`: messages a second of one client, `burst` at once; times in seconds."""

    sockets: int = 10_000
    sockets_per_user: int = 20
    rooms: int = 20
    rate: float = 20.0
    burst: int = 40
    signal_rate: float = 40.0
    """The same for signals of calls: a group of four exchanges some hundred candidates as it begins."""
    signal_burst: int = 240
    refusals: int = 40
    """Consecutive rejected messages after which the socket is closed."""
    queue: int = 64
    """Size of the send queue, in frames."""
    authenticate_seconds: float = 5.0
    origins: tuple[str, ...] = ()
    """Allowed origins of other sites."""


@dataclass
class ConnectionManager:
    """Counts and limits connections. `draining` is set when this instance stops. `clock`: seconds since 1970."""

    callers: Callers
    chat: ChatClient
    calls: Calls
    limits: SocketLimits
    draining: asyncio.Event
    clock: Callable[[], float]
    rate_limiter: RateLimiter | None = None
    """The rate limiter of requests, which handshakes count for. None: no limit."""
    proxies: int = 0
    open: int = 0
    viewers: int = 0
    """Open connections without a token."""
    _users: Counter[str] = field(default_factory=Counter)
    _detached: set[asyncio.Task[None]] = field(default_factory=set)

    def check_rate(self, scope: Scope, identity: Identity | None) -> None:
        """Counts a handshake for the client's rate limit. `identity`: of its token. Raises ApiError."""
        if self.rate_limiter and not self.rate_limiter.check(client_of(scope, self.proxies, identity)).allowed:
            raise ApiError(
                "RESOURCE_EXHAUSTED", f"more than {self.rate_limiter.rate:g} requests a second", reason="RATE_LIMITED"
            )

    def check_capacity(self, *, viewer: bool = False) -> None:
        """Raises ApiError if the instance is stopping or has too many connections.

        Viewers (without a token) get at most half of the connections, so that they cannot block authenticated clients.
        """
        if self.draining.is_set():
            raise ApiError("UNAVAILABLE", "this instance is stopping; connect to another", reason="STOPPING")
        if self.open >= self.limits.sockets or (viewer and self.viewers * 2 >= self.limits.sockets):
            raise ApiError("UNAVAILABLE", "this instance holds as many sockets as it may", reason="TOO_MANY_SOCKETS")

    def run_detached(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs `work` as a detached task."""
        task = asyncio.create_task(work, name="the end of an event stream")
        self._detached.add(task)
        task.add_done_callback(self._detached.discard)

    @contextlib.contextmanager
    def counted(self, *, viewer: bool = False) -> Iterator[None]:
        self.open += 1
        self.viewers += viewer
        try:
            yield
        finally:
            self.open -= 1
            self.viewers -= viewer

    @contextlib.contextmanager
    def present(self, user_id: str) -> Iterator[bool]:
        """Counts a user's sockets; yields whether the new one is within the limit."""
        self._users[user_id] += 1
        try:
            yield self._users[user_id] <= self.limits.sockets_per_user
        finally:
            self._users[user_id] -= 1
            if not self._users[user_id]:
                del self._users[user_id]
