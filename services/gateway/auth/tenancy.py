"""Tenants: a caller sees the users of its own tenant, or those without a tenant.

The user service has no tenants. The gateway stores the tenant of each user, and wraps the user service in `TenantUsers`
for every version and protocol: users of other tenants are NOT_FOUND, so that even their existence is not disclosed.
"""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

import sqlalchemy as sa

from services.common.runtime.ids import new_id
from services.common.storage.database import translate_store_errors
from services.gateway.auth.domain import email_key
from services.gateway.errors import REFUSED, ApiError
from services.gateway.tables import tenant_members

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine

    from services.gateway.auth.store import AuthStore
    from services.gateway.users import Changes, Summary, User, Users, Validation

AT_ONCE = 16
"""Concurrent requests for users of a tenant."""
UNUSED_ID = "00000000-0000-0000-0000-000000000000"
UNKNOWN = "there is no such user"


class Tenancy:
    """The tenants of users. Every method may raise StoreUnavailableError."""

    def __init__(self, engine: AsyncEngine, *, clock: Callable[[], float], entropy: Callable[[int], bytes]) -> None:
        """`clock`: seconds since 1970. `entropy`: random bytes."""
        self._reading = engine
        self._writing = engine.execution_options(writes=True)
        self._clock = clock
        self._entropy = entropy

    def new_id(self) -> str:
        """Creates an id for a new user."""
        return new_id(datetime.fromtimestamp(self._clock(), UTC), self._entropy)

    async def tenants_of(self, user_ids: Sequence[str]) -> dict[str, str]:
        """The tenants of these users; users without one are left out."""
        query = sa.select(tenant_members).where(tenant_members.c.user_id.in_(list(user_ids)))
        with translate_store_errors():
            async with self._reading.connect() as connection:
                return {row.user_id: row.tenant for row in await connection.execute(query)}

    async def members(self, tenant: str, after: str, limit: int) -> list[str]:
        """Ids of the tenant's users, in order of creation."""
        query = (
            sa.select(tenant_members.c.user_id)
            .where(tenant_members.c.tenant == tenant, tenant_members.c.user_id > after)
            .order_by(tenant_members.c.user_id)
            .limit(limit)
        )
        with translate_store_errors():
            async with self._reading.connect() as connection:
                return list(await connection.scalars(query))

    async def add(self, user_id: str, tenant: str) -> None:
        statement = sa.insert(tenant_members).values(user_id=user_id, tenant=tenant)
        with translate_store_errors():
            async with self._writing.begin() as connection:
                await connection.execute(statement)

    async def remove(self, user_id: str) -> None:
        """Removes the entry of a user that was not created."""
        statement = sa.delete(tenant_members).where(tenant_members.c.user_id == user_id)
        with translate_store_errors():
            async with self._writing.begin() as connection:
                await connection.execute(statement)


Listed: TypeAlias = "list[User]"


class TenantUsers:
    """The users of one tenant; without a tenant if `tenant` is empty. Implements and wraps `app.Users`.

    All changes of the gateway pass through here, so that accounts follow their users: the account's address is updated,
    and it is deleted with the user. Repeating the request completes a change that failed halfway.
    """

    def __init__(self, users: Users, tenancy: Tenancy, accounts: AuthStore, tenant: str) -> None:
        self._users = users
        self._tenancy = tenancy
        self._accounts = accounts
        self._tenant = tenant

    async def create(
        self, name: str, email: str, phone: str, timeout: float, *, avatar: str = "", user_id: str = ""
    ) -> User:
        if not self._tenant:
            return await self._users.create(name, email, phone, timeout, avatar=avatar, user_id=user_id)
        # Assign the tenant before creating the user, so that other tenants never see it.
        own = user_id or self._tenancy.new_id()
        await self._tenancy.add(own, self._tenant)
        try:
            return await self._users.create(name, email, phone, timeout, avatar=avatar, user_id=own)
        except ApiError as failure:
            if failure.code in REFUSED:
                await self._tenancy.remove(own)
            raise

    async def get(self, user_id: str, timeout: float) -> User:
        await self.admit(user_id)
        return await self._users.get(user_id, timeout)

    async def update(self, user_id: str, changes: Changes, seen: datetime | None, timeout: float) -> User:
        await self.admit(user_id)
        user = await self._users.update(user_id, changes, seen, timeout)
        if changes.email is not None:
            await self._accounts.set_email(user.id, email_key(user.email))
        return user

    async def delete(self, user_id: str, timeout: float, seen: datetime | None = None) -> None:
        await self.admit(user_id)
        known = canonical(user_id)
        try:
            await self._users.delete(user_id, timeout, seen)
        except ApiError as failure:
            # A repeated request: the user was deleted and its account was not.
            if failure.code == "NOT_FOUND" and known is not None:
                await self._accounts.forget(known)
            raise
        if known is not None:
            await self._accounts.forget(known)

    async def list(self, limit: int, after: str, timeout: float) -> Listed:
        return await (self._members if self._tenant else self._free)(limit, after, timeout)

    async def validate(self, user_id: str, timeout: float) -> Validation:
        if await self._hidden(user_id):
            # The response for an unknown user.
            return await self._users.validate(UNUSED_ID, timeout)
        return await self._users.validate(user_id, timeout)

    async def summary(self, user_id: str, timeout: float) -> Summary:
        await self.admit(user_id)
        return await self._users.summary(user_id, timeout)

    async def visible(self, user_ids: Sequence[str]) -> set[str]:
        """The ids, in canonical form, that are visible to the caller."""
        tenants = await self._tenancy.tenants_of(user_ids)
        return {item for item in user_ids if tenants.get(item, "") == self._tenant}

    async def _hidden(self, user_id: str) -> bool:
        known = canonical(user_id)
        if known is None:
            # Invalid: the user service answers with its own error.
            return self._tenant != ""
        return not await self.visible([known])

    async def admit(self, user_id: str) -> None:
        """Raises ApiError for a user that is invisible to the caller."""
        if await self._hidden(user_id):
            raise ApiError("NOT_FOUND", UNKNOWN, reason="USER_NOT_FOUND")

    async def _members(self, limit: int, after: str, timeout: float) -> Listed:
        place = canonical(after) if after else ""
        if place is None:
            raise ApiError(
                "INVALID_ARGUMENT", "after must be the id of a user", fields={"after": "must be the id of a user"}
            )
        found: Listed = []
        while True:
            ids = await self._tenancy.members(self._tenant, place, limit)
            found += await self._existing(ids, timeout)
            if len(ids) < limit or len(found) >= limit:
                return found[:limit]
            place = ids[-1]

    async def _existing(self, ids: Sequence[str], timeout: float) -> Listed:
        """The existing users among these ids."""
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(user_id: str) -> User | None:
            async with turns:
                try:
                    return await self._users.get(user_id, timeout)
                except ApiError as failure:
                    if failure.code == "NOT_FOUND":
                        return None
                    raise

        return [user for user in await asyncio.gather(*map(one, ids)) if user is not None]

    async def _free(self, limit: int, after: str, timeout: float) -> Listed:
        found: Listed = []
        while True:
            page = await self._users.list(limit, after, timeout)
            seen = await self.visible([user.id for user in page])
            found += [user for user in page if user.id in seen]
            if len(page) < limit or len(found) >= limit:
                return found[:limit]
            after = page[-1].id


def canonical(user_id: str) -> str | None:
    """Normalises a user id; None if it is invalid."""
    try:
        return str(uuid.UUID(user_id))
    except ValueError:
        return None
