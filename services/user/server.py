"""The gRPC services of users: proto <-> domain.

One code base has three releases, selected by the version of the process (`release_of`), for rollouts between them: 1.x
serves `demo.user.v1`, and of `demo.user.v2` history and past states; 2.x adds avatars and profiles; 3.x has a bug, and
answers calls with INTERNAL while its health is SERVING.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any

from google.protobuf import empty_pb2, timestamp_pb2

from demo.user.v1 import user_pb2 as pb
from demo.user.v1 import user_pb2_grpc as rpc
from demo.user.v2 import user_pb2 as pb2
from demo.user.v2 import user_pb2_grpc as rpc2
from meshwright import caller
from meshwright.errors import (
    AbortedError,
    AlreadyExistsError,
    InvalidArgumentError,
    NotFoundError,
    UnavailableError,
    UnimplementedError,
)
from services.common.event_sourcing.event_types import to_json
from services.common.runtime.authorization import check_owner
from services.common.runtime.errors import StoreUnavailableError
from services.common.storage.consistency_token import token_trailers
from services.user import app, domain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from datetime import datetime

    import grpc

    from meshwright.errors import ServiceError
    from services.common.event_sourcing.event_types import StoredEvent
    from services.user.events import Event

    Context = grpc.aio.ServicerContext[Any, Any]

ERRORS: Mapping[type[Exception], type[ServiceError]] = {
    domain.InvalidUserError: InvalidArgumentError,
    domain.UserNotFoundError: NotFoundError,
    domain.EmailTakenError: AlreadyExistsError,
    domain.UserChangedError: AbortedError,
    StoreUnavailableError: UnavailableError,
}
"""gRPC statuses and reasons of the errors of domain and application."""
PUBLIC = frozenset({"/demo.user.v1.UserService/*", "/demo.user.v2.UserService/GetUserProfile"})
"""Methods without authentication: `demo.user.v1`, as on the slides, since sign-up has no token yet; and profiles."""


@dataclass(frozen=True, slots=True)
class Release:
    """The features of a release."""

    avatars: bool = False
    """Whether it has avatars, and profiles in `demo.user.v2`."""
    failing: float = 0.0
    """The share of calls, 0 to 1, that its bug fails."""


def release_of(version: str, failing: float | None = None) -> Release:
    """The release of a version such as `2.0.1`; `failing` overrides the share of failing calls."""
    major = version.partition(".")[0]
    number = int(major) if major.isdigit() else 1
    share = (1.0 if number >= BUGGY else 0.0) if failing is None else failing
    return Release(avatars=number >= WITH_AVATARS, failing=share)


WITH_AVATARS = 2
BUGGY = 3
PRESENT = Release(avatars=True)


class BugError(Exception):
    """The bug of release 3: an unhandled exception."""


def _maybe_fail(release: Release) -> None:
    if release.failing and random.random() < release.failing:  # noqa: S311 - not a secret
        raise BugError("this release has a bug, on purpose")


def _with_avatars(release: Release) -> None:
    if not release.avatars:
        raise UnimplementedError("this release of the service knows no avatars and profiles: 2.0.0 does")


class UserService(rpc.UserServiceServicer):
    def __init__(self, book: app.UserBook, release: Release = PRESENT) -> None:
        self._book = book
        self._release = release

    async def CreateUser(self, request: pb.CreateUserRequest, context: Context) -> pb.User:
        _maybe_fail(self._release)
        if request.avatar:
            _with_avatars(self._release)
        written = (request.name, request.email, request.phone)
        user = await self._book.create(*written, actor(), avatar=request.avatar, user_id=request.id)
        context.set_trailing_metadata(token_trailers())
        return self._message(user)

    async def GetUser(self, request: pb.GetUserRequest, context: Context) -> pb.User:
        _maybe_fail(self._release)
        return self._message(await self._book.get(request.id))

    async def UpdateUser(self, request: pb.UpdateUserRequest, context: Context) -> pb.User:
        _maybe_fail(self._release)
        if request.HasField("avatar"):
            _with_avatars(self._release)
        changes = domain.Changes(
            name=request.name if request.HasField("name") else None,
            email=request.email if request.HasField("email") else None,
            phone=request.phone if request.HasField("phone") else None,
            active=request.active if request.HasField("active") else None,
            avatar=request.avatar if request.HasField("avatar") else None,
        )
        seen = moment(request.if_updated_at) if request.HasField("if_updated_at") else None
        user = await self._book.update(request.id, changes, seen, actor())
        context.set_trailing_metadata(token_trailers())
        return self._message(user)

    async def DeleteUser(self, request: pb.DeleteUserRequest, context: Context) -> empty_pb2.Empty:
        _maybe_fail(self._release)
        seen = moment(request.if_updated_at) if request.HasField("if_updated_at") else None
        await self._book.delete(request.id, actor(), seen)
        context.set_trailing_metadata(token_trailers())
        return empty_pb2.Empty()

    async def ListUsers(self, request: pb.ListUsersRequest, context: Context) -> AsyncIterator[pb.User]:
        _maybe_fail(self._release)
        async for user in self._book.list(request.limit, request.after):
            yield self._message(user)

    async def ValidateUser(self, request: pb.ValidateUserRequest, context: Context) -> pb.UserValidation:
        _maybe_fail(self._release)
        validation = await self._book.validate(request.user_id)
        return pb.UserValidation(is_valid=validation.is_valid, reason=validation.reason)

    async def GetUserSummary(self, request: pb.GetUserSummaryRequest, context: Context) -> pb.UserSummary:
        _maybe_fail(self._release)
        summary = await self._book.summary(request.id)
        user = self._message(summary.user)
        return pb.UserSummary(user=user, member_days=summary.member_days, points=summary.points)

    def _message(self, user: domain.User) -> pb.User:
        message = user_message(user)
        if self._release.avatars:
            message.avatar = domain.avatar(user)
        return message


class UserProfileService(rpc2.UserServiceServicer):
    """`demo.user.v2`."""

    def __init__(self, book: app.UserBook, release: Release = PRESENT) -> None:
        self._book = book
        self._release = release

    async def GetUserProfile(self, request: pb2.GetUserProfileRequest, context: Context) -> pb2.UserProfile:
        _maybe_fail(self._release)
        _with_avatars(self._release)
        return profile_message(await self._book.get(request.id))

    async def SetAvatar(self, request: pb2.SetAvatarRequest, context: Context) -> pb2.UserProfile:
        _maybe_fail(self._release)
        _with_avatars(self._release)
        check_owner(request.id)
        changes = domain.Changes(avatar=request.avatar)
        user = await self._book.update(request.id, changes, None, actor())
        context.set_trailing_metadata(token_trailers())
        return profile_message(user)

    async def GetUserAt(self, request: pb2.GetUserAtRequest, context: Context) -> pb2.UserState:
        _maybe_fail(self._release)
        check_owner(request.id)
        if not request.HasField("time"):
            raise domain.InvalidUserError({"time": "is required"})
        user, version = await self._book.as_of(request.id, moment(request.time, "time"))
        return pb2.UserState(profile=profile_message(user), balance_cents=user.balance_cents, version=version)

    async def GetUserHistory(self, request: pb2.GetUserHistoryRequest, context: Context) -> pb2.UserHistory:
        _maybe_fail(self._release)
        check_owner(request.id)
        found = await self._book.history(request.id, request.after, request.limit)
        return pb2.UserHistory(events=[event_message(one) for one in found])


def actor() -> str:
    """The actor: the subject of the verified token."""
    identity = caller()
    return app.ANONYMOUS if identity is None else identity.subject


def profile_message(user: domain.User) -> pb2.UserProfile:
    return pb2.UserProfile(
        id=user.id,
        name=user.name,
        email=user.email,
        phone=user.phone,
        avatar=domain.avatar(user),
        active=user.active,
        member_since=timestamp(user.created_at),
    )


def user_message(user: domain.User) -> pb.User:
    return pb.User(
        id=user.id,
        name=user.name,
        email=user.email,
        phone=user.phone,
        active=user.active,
        created_at=timestamp(user.created_at),
        updated_at=timestamp(user.updated_at),
    )


def timestamp(moment: datetime) -> timestamp_pb2.Timestamp:
    message = timestamp_pb2.Timestamp()
    message.FromDatetime(moment)
    return message


def event_message(one: StoredEvent[Event]) -> pb2.UserEvent:
    return pb2.UserEvent(
        version=one.version,
        type=type(one.event).__name__,
        occurred_at=timestamp(one.at),
        actor=one.actor,
        data=to_json(one.event),
    )


def moment(message: timestamp_pb2.Timestamp, field: str = "if_updated_at") -> datetime:
    """Converts a timestamp; raises InvalidUserError if it is out of range."""
    try:
        return message.ToDatetime(tzinfo=UTC)
    except ValueError:
        raise domain.InvalidUserError({field: "must be a time between the years 1 and 9999"}) from None
