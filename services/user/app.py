"""The use cases of the user service."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from services.common.runtime.ids import new_id
from services.user import domain
from services.user.domain import InvalidUserError, User, UserChangedError, UserNotFoundError, Validation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from services.common.event_sourcing.event_types import StoredEvent
    from services.user.events import Event

PAGE = 200
"""Users per read: a long list needs neither much memory nor a long transaction."""
MAX_HISTORY = 1000
"""Maximum events of a response, well below gRPC's message limit."""
ANONYMOUS = "anonymous"
"""The actor of unauthenticated calls."""
ATTEMPTS = 5
"""Attempts of an update without a version under concurrent changes."""


class Users(Protocol):
    """The store of users. Every method may raise StoreUnavailableError."""

    async def add(self, user: User, actor: str) -> None:
        """Raises EmailTakenError."""

    async def get(self, user_id: str) -> User | None: ...

    async def replace(self, before: User, after: User, actor: str) -> bool:
        """Stores `after` if `before` is still stored; returns whether. Raises EmailTakenError."""

    async def remove(self, user_id: str, actor: str, seen: datetime | None = None) -> bool:
        """Removes the user, with `seen` only at that `updated_at`; returns whether it existed."""

    async def at(self, user_id: str, moment: datetime) -> tuple[User | None, int]:
        """The user at that time, and its number of events; (None, 0) for an unknown user."""

    async def history(self, user_id: str, after: int, limit: int) -> Sequence[StoredEvent[Event]]:
        """At most `limit` events of the user after that version, in their order."""

    async def page(self, after: str, limit: int) -> Sequence[User]:
        """At most `limit` users with ids above `after`, ordered by id."""


class Multiplier(Protocol):
    """Multiplies numbers."""

    async def product(self, a: float, b: float) -> float: ...


@dataclass(frozen=True, slots=True)
class Summary:
    user: User
    member_days: int
    points: float


def utc_now() -> datetime:
    return datetime.now(UTC)


class UserBook:
    """The use cases."""

    def __init__(
        self,
        users: Users,
        multiplier: Multiplier,
        *,
        entropy: Callable[[int], bytes],
        now: Callable[[], datetime] = utc_now,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_change` is called after each change."""
        self._users = users
        self._multiplier = multiplier
        self._entropy = entropy
        self._now = now
        self._on_change = on_change

    async def create(
        self, name: str, email: str, phone: str, actor: str = ANONYMOUS, *, avatar: str = "", user_id: str = ""
    ) -> User:
        """`user_id`: chosen by the caller; empty: a new one."""
        now = self._now()
        own = domain.chosen_id(user_id, now) if user_id else new_id(now, self._entropy)
        if user_id and await self._users.history(own, 0, 1):
            raise InvalidUserError({"id": "is, or was, another user's"})
        user = domain.new_user(name, email, phone, avatar, id=own, now=now)
        await self._users.add(user, actor)
        self._on_change()
        return user

    async def get(self, user_id: str) -> User:
        user = await self._find(user_id)
        if user is None:
            raise UserNotFoundError
        return user

    async def update(
        self, user_id: str, changes: domain.Changes, seen: datetime | None, actor: str = ANONYMOUS
    ) -> User:
        """Updates the user, with `seen` only at that `updated_at`. Raises UserChangedError."""
        for _ in range(1 if seen else ATTEMPTS):
            before = await self.get(user_id)
            if seen is not None and before.updated_at != seen:
                break
            after = domain.changed(before, changes, now=self._now())
            if after is before:
                return after
            if await self._users.replace(before, after, actor):
                self._on_change()
                return after
        raise UserChangedError

    async def delete(self, user_id: str, actor: str = ANONYMOUS, seen: datetime | None = None) -> None:
        """Deletes the user, with `seen` only at that `updated_at`. Raises UserChangedError."""
        known = domain.parse_id(user_id)
        if known is None:
            raise UserNotFoundError
        if not await self._users.remove(known, actor, seen):
            if seen is not None and await self._users.get(known) is not None:
                raise UserChangedError
            raise UserNotFoundError
        self._on_change()

    async def as_of(self, user_id: str, moment: datetime) -> tuple[User, int]:
        """The user at that time, and its number of events. Raises UserNotFoundError if it did not exist."""
        known = domain.parse_id(user_id)
        user, version = (None, 0) if known is None else await self._users.at(known, moment)
        if user is None:
            raise UserNotFoundError
        return user, version

    async def history(self, user_id: str, after: int = 0, limit: int = 0) -> Sequence[StoredEvent[Event]]:
        """The events of a user after that version, also of a deleted one: at most `limit`, 0: the maximum. Raises
        UserNotFoundError for an unknown user, and InvalidUserError."""
        wrong = {} if 0 <= limit <= MAX_HISTORY else {"limit": f"must be 0 to {MAX_HISTORY}"}
        if after < 0:
            wrong["after"] = "must not be negative"
        if wrong:
            raise InvalidUserError(wrong)
        known = domain.parse_id(user_id)
        if known is None:
            raise UserNotFoundError
        found = await self._users.history(known, after, limit or MAX_HISTORY)
        # An empty result may also mean an unknown user.
        if not found and not (after and await self._users.history(known, 0, 1)):
            raise UserNotFoundError
        return found

    async def list(self, limit: int, after: str) -> AsyncIterator[User]:
        """Yields at most `limit` users (0: all) with ids above `after`, in order of creation."""
        position = _position(limit, after)
        left = limit or None
        while left != 0:
            size = PAGE if left is None else min(PAGE, left)
            page = await self._users.page(position, size)
            for user in page:
                yield user
            if len(page) < size:
                return
            position = page[-1].id
            left = None if left is None else left - size

    async def validate(self, user_id: str) -> Validation:
        return domain.validated(await self._find(user_id))

    async def summary(self, user_id: str) -> Summary:
        user = await self.get(user_id)
        days = domain.member_days(user, self._now())
        return Summary(user, days, await self._multiplier.product(days, domain.POINTS_PER_DAY))

    async def _find(self, user_id: str) -> User | None:
        known = domain.parse_id(user_id)
        return None if known is None else await self._users.get(known)


def _position(limit: int, after: str) -> str:
    wrong = {}
    if limit < 0:
        wrong["limit"] = "must not be negative"
    position = domain.parse_id(after) if after else ""
    if position is None:
        wrong["after"] = "must be the id of a user"
    if wrong:
        raise InvalidUserError(wrong)
    return position or ""
