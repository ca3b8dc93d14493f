"""The user service on the wire: proto <-> domain."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

from google.protobuf import empty_pb2, timestamp_pb2

from demo.user.v1 import user_pb2 as pb
from demo.user.v1 import user_pb2_grpc as rpc
from meshwright.errors import (
    AbortedError,
    AlreadyExistsError,
    InvalidArgumentError,
    NotFoundError,
    UnavailableError,
)
from services.user import app, domain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from datetime import datetime

    import grpc

    from meshwright.errors import ServiceError

    Context = grpc.aio.ServicerContext[Any, Any]

ERRORS: Mapping[type[Exception], type[ServiceError]] = {
    domain.InvalidUserError: InvalidArgumentError,
    domain.UserNotFoundError: NotFoundError,
    domain.EmailTakenError: AlreadyExistsError,
    domain.UserChangedError: AbortedError,
    app.StoreUnavailableError: UnavailableError,
}
"""What the errors of domain and application are to a caller."""


class UserService(rpc.UserServiceServicer):
    def __init__(self, book: app.UserBook) -> None:
        self._book = book

    async def CreateUser(self, request: pb.CreateUserRequest, context: Context) -> pb.User:
        return user_message(await self._book.create(request.name, request.email, request.phone))

    async def GetUser(self, request: pb.GetUserRequest, context: Context) -> pb.User:
        return user_message(await self._book.get(request.id))

    async def UpdateUser(self, request: pb.UpdateUserRequest, context: Context) -> pb.User:
        changes = domain.Changes(
            name=request.name if request.HasField("name") else None,
            email=request.email if request.HasField("email") else None,
            phone=request.phone if request.HasField("phone") else None,
            active=request.active if request.HasField("active") else None,
        )
        seen = moment(request.if_updated_at) if request.HasField("if_updated_at") else None
        return user_message(await self._book.update(request.id, changes, seen))

    async def DeleteUser(self, request: pb.DeleteUserRequest, context: Context) -> empty_pb2.Empty:
        await self._book.delete(request.id)
        return empty_pb2.Empty()

    async def ListUsers(self, request: pb.ListUsersRequest, context: Context) -> AsyncIterator[pb.User]:
        async for user in self._book.list(request.limit, request.after):
            yield user_message(user)

    async def ValidateUser(self, request: pb.ValidateUserRequest, context: Context) -> pb.UserValidation:
        validation = await self._book.validate(request.user_id)
        return pb.UserValidation(is_valid=validation.is_valid, reason=validation.reason)

    async def GetUserSummary(self, request: pb.GetUserSummaryRequest, context: Context) -> pb.UserSummary:
        summary = await self._book.summary(request.id)
        return pb.UserSummary(user=user_message(summary.user), member_days=summary.member_days, points=summary.points)


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


def moment(message: timestamp_pb2.Timestamp) -> datetime:
    """The point in time; raises InvalidUserError for what no calendar has."""
    try:
        return message.ToDatetime(tzinfo=UTC)
    except ValueError:
        raise domain.InvalidUserError({"if_updated_at": "must be a time between the years 1 and 9999"}) from None
