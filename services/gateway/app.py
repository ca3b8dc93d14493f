"""The gateway's use cases and ports."""

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
        """`user_id`: a UUID of version 7; empty: the service creates one."""
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
    """A service that the gateway requires."""

    @property
    def name(self) -> str: ...

    async def missing(self) -> str:
        """Why the service does not answer; empty if it does."""


class Readiness:
    """Readiness: whether requests would be answered now."""

    def __init__(
        self,
        upstreams: Sequence[Upstream],
        draining: Callable[[], bool],
        own: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        """`own`: reasons why the gateway itself is not ready, by cause, such as its database."""
        self._upstreams = upstreams
        self._draining = draining
        self._own = own

    async def missing(self) -> dict[str, str]:
        """The reason of each part that is not ready."""
        if self._draining():
            return {"gateway": "is stopping"}
        if own := self._own():
            return {"gateway": "; ".join(own.values())}
        found = await asyncio.gather(*(upstream.missing() for upstream in self._upstreams))
        return {upstream.name: what for upstream, what in zip(self._upstreams, found, strict=True) if what}


async def page_of(users: Users, limit: int, after: str, timeout: float) -> Page:
    """Reads a page of at most `limit` users; requests one more to detect a next page."""
    found = await users.list(limit + 1, after, timeout)
    return Page(found[:limit], next=found[limit - 1].id if len(found) > limit else None)


async def update(users: Users, user_id: str, changes: Changes, seen: datetime | None, timeout: float) -> User:
    """Updates a user; an outdated `seen` is a failed precondition, 412 (RFC 9110, 15.5.13)."""
    with _precondition(seen):
        return await users.update(user_id, changes, seen, timeout)


async def delete(users: Users, user_id: str, seen: datetime | None, timeout: float) -> None:
    """Deletes a user, with the same precondition."""
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
