"""The gRPC service of the read side: proto <-> domain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import meshwright
from demo.userview.v1 import userview_pb2 as pb
from demo.userview.v1 import userview_pb2_grpc as rpc
from meshwright.errors import (
    AbortedError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    UnavailableError,
)
from services.common.runtime.authorization import check_admin
from services.common.runtime.errors import BusUnavailableError, StoreUnavailableError
from services.userview import app, domain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import grpc

    from meshwright.errors import ServiceError

    Context = grpc.aio.ServicerContext[Any, Any]

ERRORS: Mapping[type[Exception], type[ServiceError]] = {
    domain.InvalidRequestError: InvalidArgumentError,
    domain.UserNotFoundError: NotFoundError,
    domain.RebuildRunningError: FailedPreconditionError,
    domain.ViewBehindError: AbortedError,
    BusUnavailableError: UnavailableError,
    StoreUnavailableError: UnavailableError,
}
"""gRPC statuses and reasons of the errors of domain and application."""
PUBLIC = frozenset(
    {
        "/demo.userview.v1.UserViewService/GetUserView",
        "/demo.userview.v1.UserViewService/SearchUsers",
        "/demo.userview.v1.UserViewService/ListUserViews",
        "/demo.userview.v1.UserViewService/GetLag",
    }
)
"""Methods without authentication: the gateway decides which fields a caller sees."""


class UserViewService(rpc.UserViewServiceServicer):
    def __init__(self, side: app.ReadSide) -> None:
        self._side = side

    async def GetUserView(self, request: pb.GetUserViewRequest, context: Context) -> pb.UserView:
        return view_message(await self._side.get(request.id, _positions(request.at_least), meshwright.time_left()))

    async def SearchUsers(self, request: pb.SearchUsersRequest, context: Context) -> pb.SearchUsersResponse:
        found = await self._side.search(
            request.query, request.limit, _positions(request.at_least), meshwright.time_left()
        )
        return pb.SearchUsersResponse(users=[view_message(view) for view in found])

    async def ListUserViews(self, request: pb.ListUserViewsRequest, context: Context) -> pb.ListUserViewsResponse:
        found = await self._side.page(request.after, request.limit)
        return pb.ListUserViewsResponse(users=[view_message(view) for view in found])

    async def GetLag(self, request: pb.GetLagRequest, context: Context) -> pb.Lag:
        return lag_message(await self._side.lag())

    async def Rebuild(self, request: pb.RebuildRequest, context: Context) -> pb.Lag:
        check_admin()
        return lag_message(await self._side.rebuild())


def _positions(messages: Iterable[pb.Position]) -> app.Positions:
    return app.checked_positions([(message.source, message.position) for message in messages])


def view_message(view: domain.UserView) -> pb.UserView:
    message = pb.UserView(
        id=view.id,
        name=view.name,
        email=view.email,
        status=view.status,
        balance_cents=view.balance_cents,
        total_orders=view.total_orders,
        phone=view.phone,
    )
    if view.last_activity is not None:
        message.last_activity.FromDatetime(view.last_activity)
    return message


def lag_message(lag: app.ViewLag) -> pb.Lag:
    sources = [
        pb.SourceLag(source=one.source, position=one.position, head=one.head, seconds=one.seconds)
        for one in lag.sources
    ]
    return pb.Lag(sources=sources, rebuilding=lag.rebuilding, generation=lag.generation)
