"""Making the user of somebody new, so that a sign-up which was cut off can be made again.

The user service alone can say whether an address is free, so the user is made first, and the account after it. Where
the gateway dies in between, or hears no answer in time, a user may be there whom nobody can sign in as, and whose
address is taken for good. So what a sign-up is about to do is stored before it is done: the address, and the id that
the user is to have. Who comes with the same address again makes a user of that very id, and where the user service
refuses it, the user that is there already, under this address and with no way to sign in, is the one that was left.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from services.common.runtime.ids import new_id
from services.gateway.auth.domain import email_key
from services.gateway.domain import REFUSED, ApiError, Changes

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.gateway.app import Users
    from services.gateway.auth.store import AuthStore
    from services.gateway.domain import User


class SignUpService:
    """`clock`: seconds since 1970. `entropy`: random bytes."""

    def __init__(self, store: AuthStore, *, clock: Callable[[], float], entropy: Callable[[int], bytes]) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy

    async def user(self, users: Users, name: str, email: str, phone: str, timeout: float) -> User:
        """A user who has no way to sign in yet: new, or left by a sign-up that was cut off. Raises ApiError."""
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
                if "id" in failure.fields:  # of one who was left, and is deleted
                    return await self.user(users, name, email, phone, timeout)
                raise
        if (left.name, left.phone) != (name.strip(), phone.strip()):
            left = await users.update(own, Changes(name=name, phone=phone), None, timeout)
        return left

    async def abandon(self, users: Users, user: User, timeout: float) -> None:
        """Remove the user again, unless somebody can sign in as it by now. Raises ApiError, StoreUnavailableError."""
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
