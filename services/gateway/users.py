"""Users as the gateway knows them: the resource, the port to their service, and the use cases."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from services.gateway.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterator

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class User:
    """A user, as callers of the gateway see it."""

    id: str
    name: str
    email: str
    phone: str
    active: bool
    created_at: datetime
    updated_at: datetime
    avatar: str | None = None
    """None if the user service has no avatars yet."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Fields of a PATCH; None: unchanged."""

    name: str | None = None
    email: str | None = None
    phone: str | None = None
    active: bool | None = None
    avatar: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A page of users."""

    users: list[User]
    next: str | None = field(metadata={"description": "the value of `after` for the next page; null on the last"})


@dataclass(frozen=True, slots=True)
class Validation:
    """Whether a user is valid, and if not, why."""

    is_valid: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Summary:
    """A user with figures that the user service computes."""

    user: User
    member_days: int
    points: float


def tag(updated_at: datetime, more: str = "") -> str:
    """The entity tag (RFC 9110, 8.8.3) of a user: its update time in microseconds, and `more` that the body shows."""
    version = f"{(updated_at - _EPOCH) // timedelta(microseconds=1):x}"
    return f'"{version}.{more}"' if more else f'"{version}"'


def seen(if_match: str | None) -> datetime | None:
    """The latest update time in If-Match; None without the header or for `*`. Older entries in the list can never
    match."""
    if if_match is None or if_match.strip() == "*":
        return None
    found = [version for item in if_match.split(",") if (version := _version(item.strip())) is not None]
    if not found:
        raise ApiError(
            "FAILED_PRECONDITION",
            "If-Match is not an ETag of this user",
            fields={"If-Match": "is no ETag of ours"},
            status=412,
        )
    return max(found)


def _version(tag: str) -> datetime | None:
    """Parses an entity tag; None for foreign and weak tags, which never match (RFC 9110, 13.1.1)."""
    try:
        return _EPOCH + timedelta(microseconds=int(tag.removeprefix('"').removesuffix('"').partition(".")[0], 16))
    except (ValueError, OverflowError):
        return None


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
