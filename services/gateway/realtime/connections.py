"""What all sockets of a gateway share: how many there may be, and the moment at which all are to go."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from services.gateway.domain import ApiError
from services.gateway.http.middleware.rate_limit import client_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from starlette.types import Scope

    from meshwright import Identity
    from services.gateway.auth.callers import Callers
    from services.gateway.http.middleware.rate_limit import RateLimiter
    from services.gateway.realtime.clients import ChatClient


@dataclass(frozen=True, slots=True)
class SocketLimits:
    """`rate`: messages a second from one client, `burst` at once; times in seconds."""

    sockets: int = 10_000
    sockets_per_user: int = 20
    rooms: int = 20
    rate: float = 20.0
    burst: int = 40
    refusals: int = 40
    """Messages in a row that came too soon, after which the socket is closed."""
    queue: int = 64
    """Frames that wait for a client that reads slowly."""
    authenticate_seconds: float = 5.0
    origins: tuple[str, ...] = ()
    """Of other sites' pages that may open a socket."""


@dataclass
class ConnectionManager:
    """`draining` is set when this instance stops. `clock`: seconds since 1970."""

    callers: Callers
    chat: ChatClient
    limits: SocketLimits
    draining: asyncio.Event
    clock: Callable[[], float]
    rate_limiter: RateLimiter | None = None
    """Those of requests: a handshake is one. None: nobody is limited."""
    proxies: int = 0
    open: int = 0
    viewers: int = 0
    """Of the open ones those that look on without a token."""
    _users: Counter[str] = field(default_factory=Counter)
    _beside: set[asyncio.Task[None]] = field(default_factory=set)

    def check_rate(self, scope: Scope, identity: Identity | None) -> None:
        """Refuse a handshake of a client that asks too often. `identity`: of its token. Raises ApiError."""
        if self.rate_limiter and not self.rate_limiter.check(client_of(scope, self.proxies, identity)).allowed:
            raise ApiError(
                "RESOURCE_EXHAUSTED", f"more than {self.rate_limiter.rate:g} requests a second", reason="RATE_LIMITED"
            )

    def check_room(self, *, viewer: bool = False) -> None:
        """Refuse a socket that there is no room for. Raises ApiError.

        Viewers get half of the room at most: whoever has no token must not keep out those who have one.
        """
        if self.draining.is_set():
            raise ApiError("UNAVAILABLE", "this instance is stopping; connect to another", reason="STOPPING")
        if self.open >= self.limits.sockets or (viewer and self.viewers * 2 >= self.limits.sockets):
            raise ApiError("UNAVAILABLE", "this instance holds as many sockets as it may", reason="TOO_MANY_SOCKETS")

    def beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that nobody waits for."""
        task = asyncio.create_task(work, name="the end of an event stream")
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

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
        """Count a user's sockets; yields whether there may be one more."""
        self._users[user_id] += 1
        try:
            yield self._users[user_id] <= self.limits.sockets_per_user
        finally:
            self._users[user_id] -= 1
            if not self._users[user_id]:
                del self._users[user_id]
