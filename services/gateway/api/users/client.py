"""The user service over the mesh: proto <-> domain."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from demo.user.v1 import user_pb2 as user_pb
from demo.user.v1 import user_pb2_grpc as user_rpc
from services.gateway.grpc_errors import translate_grpc_errors
from services.gateway.http.middleware.consistency import call_noting_writes
from services.gateway.users import Changes, Summary, User, Validation

if TYPE_CHECKING:
    from datetime import datetime

    import grpc
    from google.protobuf import timestamp_pb2


class UserClient:
    """The user service."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = user_rpc.UserServiceStub(channel)

    async def create(
        self, name: str, email: str, phone: str, timeout: float, *, avatar: str = "", user_id: str = ""
    ) -> User:
        request = user_pb.CreateUserRequest(name=name, email=email, phone=phone, avatar=avatar, id=user_id)
        with translate_grpc_errors():
            return _user(await call_noting_writes(self._stub.CreateUser(request, timeout=timeout)))

    async def get(self, user_id: str, timeout: float) -> User:
        with translate_grpc_errors():
            return _user(await self._stub.GetUser(user_pb.GetUserRequest(id=user_id), timeout=timeout))

    async def update(self, user_id: str, changes: Changes, seen: datetime | None, timeout: float) -> User:
        request = user_pb.UpdateUserRequest(
            id=user_id,
            name=changes.name,
            email=changes.email,
            phone=changes.phone,
            active=changes.active,
            avatar=changes.avatar,
        )
        if seen is not None:
            request.if_updated_at.FromDatetime(seen)
        with translate_grpc_errors():
            return _user(await call_noting_writes(self._stub.UpdateUser(request, timeout=timeout)))

    async def delete(self, user_id: str, timeout: float, seen: datetime | None = None) -> None:
        request = user_pb.DeleteUserRequest(id=user_id)
        if seen is not None:
            request.if_updated_at.FromDatetime(seen)
        with translate_grpc_errors():
            await call_noting_writes(self._stub.DeleteUser(request, timeout=timeout))

    async def list(self, limit: int, after: str, timeout: float) -> list[User]:
        request = user_pb.ListUsersRequest(limit=limit, after=after)
        with translate_grpc_errors():
            return [_user(message) async for message in self._stub.ListUsers(request, timeout=timeout)]

    async def validate(self, user_id: str, timeout: float) -> Validation:
        with translate_grpc_errors():
            answer = await self._stub.ValidateUser(user_pb.ValidateUserRequest(user_id=user_id), timeout=timeout)
        return Validation(answer.is_valid, answer.reason)

    async def summary(self, user_id: str, timeout: float) -> Summary:
        with translate_grpc_errors():
            answer = await self._stub.GetUserSummary(user_pb.GetUserSummaryRequest(id=user_id), timeout=timeout)
        return Summary(_user(answer.user), answer.member_days, answer.points)


def _user(message: user_pb.User) -> User:
    return User(
        id=message.id,
        name=message.name,
        email=message.email,
        phone=message.phone,
        active=message.active,
        created_at=_moment(message.created_at),
        updated_at=_moment(message.updated_at),
        avatar=message.avatar if message.HasField("avatar") else None,
    )


def _moment(message: timestamp_pb2.Timestamp) -> datetime:
    return message.ToDatetime(tzinfo=UTC)
