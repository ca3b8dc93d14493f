"""The services behind the gateway, over the mesh: proto <-> domain, and gRPC's statuses as failures."""

from __future__ import annotations

import contextlib
from datetime import UTC
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

import meshwright
from demo.calculator.v1 import calculator_pb2 as calculator_pb
from demo.calculator.v1 import calculator_pb2_grpc as calculator_rpc
from demo.user.v1 import user_pb2 as user_pb
from demo.user.v1 import user_pb2_grpc as user_rpc
from services.gateway.domain import Changes, Failure, Summary, User, Validation
from services.gateway.positions import noted

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator
    from datetime import datetime

    from google.protobuf import timestamp_pb2

    from meshwright.client import MeshChannel

PROBE_SECONDS = 1.0
"""How long a service has to say that it is well."""


@contextlib.contextmanager
def failing() -> Iterator[None]:
    """Turn gRPC's error into what the application knows."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        details = meshwright.details(error)
        raise Failure(details.code, details.message, reason=details.reason, fields=details.fields) from error


class MeshUsers:
    """The user service."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = user_rpc.UserServiceStub(channel)

    async def create(
        self, name: str, email: str, phone: str, timeout: float, *, avatar: str = "", user_id: str = ""
    ) -> User:
        request = user_pb.CreateUserRequest(name=name, email=email, phone=phone, avatar=avatar, id=user_id)
        with failing():
            return _user(await noted(self._stub.CreateUser(request, timeout=timeout)))

    async def get(self, user_id: str, timeout: float) -> User:
        with failing():
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
        with failing():
            return _user(await noted(self._stub.UpdateUser(request, timeout=timeout)))

    async def delete(self, user_id: str, timeout: float, seen: datetime | None = None) -> None:
        request = user_pb.DeleteUserRequest(id=user_id)
        if seen is not None:
            request.if_updated_at.FromDatetime(seen)
        with failing():
            await noted(self._stub.DeleteUser(request, timeout=timeout))

    async def list(self, limit: int, after: str, timeout: float) -> list[User]:
        request = user_pb.ListUsersRequest(limit=limit, after=after)
        with failing():
            return [_user(message) async for message in self._stub.ListUsers(request, timeout=timeout)]

    async def validate(self, user_id: str, timeout: float) -> Validation:
        with failing():
            answer = await self._stub.ValidateUser(user_pb.ValidateUserRequest(user_id=user_id), timeout=timeout)
        return Validation(answer.is_valid, answer.reason)

    async def summary(self, user_id: str, timeout: float) -> Summary:
        with failing():
            answer = await self._stub.GetUserSummary(user_pb.GetUserSummaryRequest(id=user_id), timeout=timeout)
        return Summary(_user(answer.user), answer.member_days, answer.points)


class MeshCalculator:
    """The calculator."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._calculator = calculator_rpc.CalculatorStub(channel)
        self._numbers = calculator_rpc.NumberServiceStub(channel)

    async def add(self, a: float, b: float, timeout: float) -> float:
        with failing():
            return _value(await self._calculator.Add(calculator_pb.Numbers(a=a, b=b), timeout=timeout))

    async def multiply(self, a: float, b: float, timeout: float) -> float:
        with failing():
            return _value(await self._calculator.Multiply(calculator_pb.Numbers(a=a, b=b), timeout=timeout))

    async def primes(self, limit: int, timeout: float) -> AsyncGenerator[int]:
        """One after the other; a consumer that stops reading ends the call."""
        call = self._numbers.GetPrimes(calculator_pb.PrimeRequest(limit=limit), timeout=timeout)
        try:
            with failing():
                async for prime in call:
                    yield prime.value
        finally:
            call.cancel()


class MeshUpstream:
    """A service as far as readiness needs it: asked for its health over the mesh, past every route and policy.

    The question goes over the bare connection: a probe each second is worth neither a trace nor a count.
    """

    def __init__(self, name: str, channel: MeshChannel) -> None:
        self._name = name
        self._channel = channel

    @property
    def name(self) -> str:
        return self._name

    async def missing(self) -> str:
        check = health_pb2_grpc.HealthStub(self._channel.connection()).Check
        try:
            answer = await check(health_pb2.HealthCheckRequest(), timeout=PROBE_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                return f"does not answer within {PROBE_SECONDS:g} s"
            return f"cannot be reached over the mesh ({error.code().name})"
        return "" if answer.status == health_pb2.HealthCheckResponse.SERVING else "is not serving"


def _value(result: calculator_pb.Result) -> float:
    return result.value


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
