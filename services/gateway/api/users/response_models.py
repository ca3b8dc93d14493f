"""Users in each version of the API. Each version adds fields to the previous one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from services.gateway import users

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.gateway.api.dependencies import GatewayDependencies
    from services.gateway.auth.domain import LinkedIdentity
    from services.gateway.http.versions import ApiVersion

LOGINS, TENANTS = 3, 4
"""The first versions with these features."""


class _Flags(BaseModel):
    """The lecture's body fields of a deprecated version."""

    model_config = ConfigDict(populate_by_name=True)

    deprecated: bool = Field(serialization_alias="_deprecated", description="whether to move on")
    new_api_url: str = Field(serialization_alias="_new_api_url", description="where this is from now on")


class UserV1(_Flags):
    """A user, in version 1."""

    id: str
    name: str
    email: str
    phone: str
    active: bool
    created_at: datetime
    updated_at: datetime
    avatar: str | None = Field(None, description="null where the user service does not know of pictures yet")


class PageV1(BaseModel):
    """A page of users."""

    users: list[UserV1]
    next: str | None = Field(description="the value of `after` for the next page; null on the last")


class UserV2(BaseModel):
    """A user, in version 2."""

    id: str
    name: str
    email: str
    phone: str | None = Field(description="null where there is none")
    avatar: str | None = Field(description="null where the user service does not know of pictures yet")
    active: bool
    created_at: datetime
    updated_at: datetime


class LinkedLogin(BaseModel):
    """A linked login at another issuer."""

    provider: str
    issuer: str
    linked_at: datetime


class UserV3(UserV2):
    """A user, in version 3."""

    identities: list[LinkedLogin]


class UserV4(UserV3):
    """A user, in version 4."""

    tenant: str


class PageV2(BaseModel):
    """A page of users."""

    users: list[UserV2]
    next: str | None = Field(description="the value of `after` for the next page; null on the last")


class PageV3(PageV2):
    """A page of users."""

    users: list[UserV3]  # type: ignore[assignment] # a list of more


class PageV4(PageV2):
    """A page of the tenant's users."""

    users: list[UserV4]  # type: ignore[assignment]


USERS: dict[int, type[BaseModel]] = {1: UserV1, 2: UserV2, 3: UserV3, 4: UserV4}
PAGES: dict[int, type[BaseModel]] = {1: PageV1, 2: PageV2, 3: PageV3, 4: PageV4}


@dataclass(frozen=True, slots=True)
class PresentedUsers:
    """Users as one version presents them, with their entity tags."""

    bodies: list[Any]
    tags: list[str]


class UserPresenter:
    """Shows users in one version. `tenant`: the caller's, empty for none."""

    def __init__(self, dependencies: GatewayDependencies, version: ApiVersion, tenant: str) -> None:
        self._dependencies = dependencies
        self.version = version
        self._tenant = tenant

    async def one(self, user: users.User) -> tuple[Any, str]:
        """The body and its ETag. Raises StoreUnavailableError."""
        shown = await self.many([user])
        return shown.bodies[0], shown.tags[0]

    async def many(self, users: Sequence[users.User]) -> PresentedUsers:
        """Raises StoreUnavailableError."""
        if self.version.number < LOGINS:
            return PresentedUsers([self._plain(user) for user in users], [self._tag(user) for user in users])
        linked = await self._dependencies.store.identities_of([user.id for user in users])
        return PresentedUsers(
            [self._with_logins(user, linked.get(user.id, [])) for user in users],
            [self._tag(user, _digest(linked.get(user.id, []))) for user in users],
        )

    def _tag(self, user: users.User, more: str = "") -> str:
        # One path serves every version (API-Version), so tags differ by version.
        return users.tag(user.updated_at, self.version.name + more)

    async def page(self, page: users.Page) -> Any:
        """Raises StoreUnavailableError."""
        bodies = (await self.many(page.users)).bodies
        return PAGES[self.version.number](users=bodies, next=page.next)

    def _flags(self, rest: str) -> dict[str, Any]:
        path = f"{self.version.prefix}/{rest}"
        address = self._dependencies.matrix.new_address(self.version, path)
        return {"deprecated": self._dependencies.matrix.deprecated(self.version), "new_api_url": address or ""}

    def _plain(self, user: users.User) -> Any:
        if self.version.number == 1:
            flags = self._flags(f"users/{user.id}")
            return UserV1(**_fields(user), phone=user.phone, avatar=user.avatar, **flags)
        return UserV2(**_fields(user), phone=user.phone or None, avatar=user.avatar)

    def _with_logins(self, user: users.User, linked: list[LinkedIdentity]) -> Any:
        logins = [
            LinkedLogin(
                provider=item.provider, issuer=item.issuer, linked_at=datetime.fromtimestamp(item.linked_at, UTC)
            )
            for item in linked
        ]
        shown: dict[str, Any] = {**_fields(user), "phone": user.phone or None, "avatar": user.avatar}
        if self.version.number < TENANTS:
            return UserV3(**shown, identities=logins)
        return UserV4(**shown, identities=logins, tenant=self._tenant)


def _fields(user: users.User) -> dict[str, Any]:
    return {
        "id": user.id,
        "name": user.name,
        "email": user.email,
        "active": user.active,
        "created_at": user.created_at,
        "updated_at": user.updated_at,
    }


def _digest(linked: list[LinkedIdentity]) -> str:
    """Changes with the linked logins, which do not change `updated_at`."""
    if not linked:
        return ""
    text = "\n".join(f"{item.issuer} {item.external_subject}" for item in linked)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
