"""What the gateway does for its callers, and what it needs for that."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Protocol

from services.gateway.domain import ApiError, Changes, Page, Summary, User, Validation

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
    from datetime import datetime


class Users(Protocol):
    """The user service. Every method may raise ApiError; `timeout` is in seconds."""

    async def create(
        self, name: str, email: str, phone: str, timeout: float, *, avatar: str = "", user_id: str = ""
    ) -> User:
        """`user_id`: one that the caller has made, a UUID of version 7; empty: the service makes it."""
        ...

    async def get(self, user_id: str, timeout: float) -> User: ...
    async def update(self, user_id: str, changes: Changes, seen: datetime | None, timeout: float) -> User: ...
    async def delete(self, user_id: str, timeout: float, seen: datetime | None = None) -> None: ...
    async def list(self, limit: int, after: str, timeout: float) -> list[User]: ...
    async def validate(self, user_id: str, timeout: float) -> Validation: ...
    async def summary(self, user_id: str, timeout: float) -> Summary: ...


class Calculator(Protocol):
    """The calculator. Every method may raise ApiError; `timeout` is in seconds."""

    async def add(self, a: float, b: float, timeout: float) -> float: ...
    async def multiply(self, a: float, b: float, timeout: float) -> float: ...
    def primes(self, limit: int, timeout: float) -> AsyncGenerator[int]: ...


class Upstream(Protocol):
    """A service that the gateway cannot do without."""

    @property
    def name(self) -> str: ...

    async def missing(self) -> str:
        """What keeps calls from being answered; empty if nothing does."""


class Readiness:
    """Whether requests would be answered now, found out by asking."""

    def __init__(
        self,
        upstreams: Sequence[Upstream],
        draining: Callable[[], bool],
        own: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        """`own`: what keeps the gateway itself from answering, by cause, such as its database."""
        self._upstreams = upstreams
        self._draining = draining
        self._own = own

    async def missing(self) -> dict[str, str]:
        """Each part that keeps the gateway from answering, and what is the matter with it."""
        if self._draining():
            return {"gateway": "is stopping"}
        if own := self._own():
            return {"gateway": "; ".join(own.values())}
        found = await asyncio.gather(*(upstream.missing() for upstream in self._upstreams))
        return {upstream.name: what for upstream, what in zip(self._upstreams, found, strict=True) if what}


async def page_of(users: Users, limit: int, after: str, timeout: float) -> Page:
    """At most `limit` users, and where to go on: one more is asked for, to know whether there is more."""
    found = await users.list(limit + 1, after, timeout)
    return Page(found[:limit], next=found[limit - 1].id if len(found) > limit else None)


async def update(users: Users, user_id: str, changes: Changes, seen: datetime | None, timeout: float) -> User:
    """Change a user; a version that is no longer the current one is a failed precondition (RFC 9110, 15.5.13)."""
    with _precondition(seen):
        return await users.update(user_id, changes, seen, timeout)


async def delete(users: Users, user_id: str, seen: datetime | None, timeout: float) -> None:
    """Delete a user, in the same way."""
    with _precondition(seen):
        await users.delete(user_id, timeout, seen)


@contextlib.contextmanager
def _precondition(seen: datetime | None) -> Iterator[None]:
    try:
        yield
    except ApiError as failure:
        if failure.code == "ABORTED" and seen is not None:
            failure.status = 412
        raise
