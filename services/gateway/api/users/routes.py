"""Users over REST, once for each version of the API: the same routes, with more in them each time."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

import meshwright
from services.common.runtime.errors import StoreUnavailableError
from services.gateway import users
from services.gateway.api.parameters import After, Dependencies, IfMatch, Limit, UserId, Users, Within, dependencies_of
from services.gateway.api.users.request_models import NewMember, NewProfile, NewUser, ProfileChanges, UserChanges
from services.gateway.api.users.response_models import PAGES, TENANTS, USERS, UserPresenter
from services.gateway.auth.callers import is_admin, require_identity, tenant_of
from services.gateway.errors import ApiError
from services.gateway.http.openapi import problems

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.gateway.api.dependencies import GatewayDependencies
    from services.gateway.api.request_models import RequestModel
    from services.gateway.auth.tenancy import TenantUsers
    from services.gateway.http.versions import ApiVersion

_NEW: dict[int, type[NewUser]] = {1: NewUser, 2: NewProfile, 3: NewProfile, 4: NewMember}
_CHANGES: dict[int, type[UserChanges]] = {1: UserChanges, 2: ProfileChanges, 3: ProfileChanges, 4: ProfileChanges}


def _presenter(request: Request, dependencies: Dependencies) -> UserPresenter:
    version = dependencies.matrix.find(request.url.path.split("/")[2])
    assert version is not None, "the route is of a version"
    return UserPresenter(dependencies, version, tenant_of(meshwright.caller()))


Show = Annotated[UserPresenter, Depends(_presenter)]


def users_router(version: ApiVersion) -> APIRouter:
    """The routes of users in that version."""
    router = APIRouter(prefix=f"{version.prefix}/users", tags=[f"users, {version.name}"])
    may, read = Depends(_Permission(version)), Depends(_Permission(version, "GET"))
    statuses = (400, 404, 422) if version.number == 1 else (400, 401, 403, 404, 422)
    user, page = USERS[version.number], PAGES[version.number]
    create = router.post(
        "", status_code=201, response_model=user, dependencies=[may], responses=problems(*statuses, 409)
    )
    create(_creating(_NEW[version.number]))
    router.get("", response_model=page, dependencies=[may], responses=problems(*statuses))(list_users)
    router.get("/{user_id}", response_model=user, dependencies=[may], responses=problems(*statuses))(get_user)
    update = router.patch(
        "/{user_id}", response_model=user, dependencies=[may], responses=problems(*statuses, 409, 412)
    )
    update(_updating(_CHANGES[version.number]))
    delete = router.delete(
        "/{user_id}", status_code=204, response_class=Response, dependencies=[may], responses=problems(*statuses, 412)
    )
    delete(delete_user)
    router.post("/{user_id}/validate", dependencies=[read], responses=problems())(validate_user)
    router.get("/{user_id}/summary", dependencies=[may], responses=problems(404))(summarise_user)
    return router


def _creating(kind: type[NewUser]) -> Callable[..., Any]:
    async def create_user(
        *, body: NewUser, response: Response, service: Users, dependencies: Dependencies, show: Show, within: Within
    ) -> Any:
        """Create a user. The answer's `Location` is where it is from now on."""
        if show.version.number >= TENANTS and not is_admin(require_identity()):
            raise ApiError("PERMISSION_DENIED", "only a tenant's admin makes its users", reason="NOT_ALLOWED")
        user = await _create(body, service, dependencies, within)
        shown, response.headers["ETag"] = await show.one(user)
        response.headers["Location"] = f"{show.version.prefix}/users/{user.id}"
        return shown

    return _reading(create_user, kind)


def _updating(kind: type[UserChanges]) -> Callable[..., Any]:
    async def update_user(
        *,
        user_id: UserId,
        body: UserChanges,
        response: Response,
        service: Users,
        dependencies: Dependencies,
        show: Show,
        within: Within,
        if_match: IfMatch = None,
    ) -> Any:
        """Change some fields of a user; with `If-Match`, only if it has not changed since."""
        await dependencies.check_owner(service, user_id, show.version.number)
        user = await users.update(service, user_id, users.Changes(**body.given()), users.seen(if_match), within)
        shown, response.headers["ETag"] = await show.one(user)
        return shown

    return _reading(update_user, kind)


def _reading(handler: Callable[..., Any], kind: type[RequestModel]) -> Callable[..., Any]:
    """The handler as FastAPI is to see it: its body is of the version's kind."""
    handler.__annotations__["body"] = kind
    return handler


async def list_users(service: Users, show: Show, within: Within, limit: Limit = 50, after: After = "") -> Any:
    """List users in the order of their creation, page by page."""
    return await show.page(await users.page_of(service, limit, after, within))


async def get_user(user_id: UserId, response: Response, service: Users, show: Show, within: Within) -> Any:
    """Look at one user. The answer's `ETag` names the state that was seen."""
    shown, response.headers["ETag"] = await show.one(await service.get(user_id, within))
    return shown


async def delete_user(
    *, user_id: UserId, service: Users, dependencies: Dependencies, show: Show, within: Within, if_match: IfMatch = None
) -> None:
    """Delete a user; with `If-Match`, only if it has not changed since. Deletes its account, too."""
    await dependencies.check_owner(service, user_id, show.version.number)
    await users.delete(service, user_id, users.seen(if_match), within)


async def validate_user(user_id: UserId, service: Users, within: Within) -> users.Validation:
    """Ask whether others may act for a user. An unknown one is an answer, not an error."""
    return await service.validate(user_id, within)


async def summarise_user(user_id: UserId, service: Users, within: Within) -> users.Summary:
    """A user, and points for membership, which the user service has the calculator work out."""
    return await service.summary(user_id, within)


class _Permission:
    """What a request of that version needs before anything is looked at. `method` stands in for the request's."""

    def __init__(self, version: ApiVersion, method: str | None = None) -> None:
        self.version = version
        self._method = method

    def __call__(self, request: Request) -> None:
        dependencies_of(request).callers.check(self._method or request.method, self.version.number)
        if self.version.number >= TENANTS and not tenant_of(require_identity()):
            raise ApiError("PERMISSION_DENIED", "the token is of no tenant", reason="NO_TENANT")


async def _create(body: NewUser, service: TenantUsers, dependencies: GatewayDependencies, within: float) -> users.User:
    password = body.password if isinstance(body, NewMember) else ""
    if password and dependencies.issuer is not None:
        dependencies.issuer.accounts.check_password(password)
    avatar = body.avatar if isinstance(body, NewProfile) else ""
    user = await service.create(body.name, body.email, body.phone, within, avatar=avatar)
    if password and dependencies.issuer is not None:
        try:
            await dependencies.issuer.accounts.add_member(user, password, tenant_of(meshwright.caller()))
        except (ApiError, StoreUnavailableError):
            # All or nothing: after an error the user is deleted again.
            with contextlib.suppress(ApiError, StoreUnavailableError):
                await service.delete(user.id, within)
            raise
    return user
