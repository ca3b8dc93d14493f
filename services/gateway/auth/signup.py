"""Creation of users at sign-up, in a way that an interrupted sign-up can be repeated.

Only the user service knows whether an address is free, so the user is created first, and the account after it. If the
gateway crashes in between, or gets no answer in time, a user may remain that has no account and blocks its address. So
the address and the new user's id are stored before the user is created. A repeated sign-up with the same address
creates a user with that id; if the user service rejects it, an existing user with this id and address and without a
login is the one of the interrupted sign-up.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from services.common.runtime.ids import new_id
from services.gateway.auth.domain import email_key
from services.gateway.errors import REFUSED, ApiError
from services.gateway.users import Changes

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.gateway.auth.store import AuthStore
    from services.gateway.users import User, Users


class SignUpService:
    """`clock`: seconds since 1970. `entropy`: random bytes."""

    def __init__(self, store: AuthStore, *, clock: Callable[[], float], entropy: Callable[[int], bytes]) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy

    async def user(self, users: Users, name: str, email: str, phone: str, timeout: float) -> User:
        """Creates a user without a login, or returns the one of an interrupted sign-up. Raises ApiError."""
        key, now = email_key(email), datetime.fromtimestamp(self._clock(), UTC)
        own = await self._store.begin_sign_up(key, new_id(now, self._entropy))
        try:
            return await users.create(name, email, phone, timeout, user_id=own)
        except ApiError as failure:
            if failure.code not in REFUSED:
                raise
            left = await self._left(users, own, key, timeout)
            if left is None:
                await self._store.end_sign_up(key)
                if "id" in failure.fields:  # the id of a deleted user of an interrupted sign-up
                    return await self.user(users, name, email, phone, timeout)
                raise
        if (left.name, left.phone) != (name.strip(), phone.strip()):
            left = await users.update(own, Changes(name=name, phone=phone), None, timeout)
        return left

    async def abandon(self, users: Users, user: User, timeout: float) -> None:
        """Deletes the user again, unless it has a login by now. Raises ApiError, StoreUnavailableError."""
        if not await self._store.has_login(user.id):
            await users.delete(user.id, timeout)
            await self._store.end_sign_up(email_key(user.email))

    async def _left(self, users: Users, own: str, key: str, timeout: float) -> User | None:
        try:
            found = await users.get(own, timeout)
        except ApiError as failure:
            if failure.code == "NOT_FOUND":
                return None
            raise
        return None if email_key(found.email) != key or await self._store.has_login(own) else found
