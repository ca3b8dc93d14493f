"""The gRPC service of notifications: proto <-> domain.

A subscription is an async generator: gRPC reads one notification, sends it, and then reads the next, so that a stream
never has two concurrent writers, however many senders there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf import empty_pb2, timestamp_pb2

from demo.notification.v1 import notification_pb2 as pb
from demo.notification.v1 import notification_pb2_grpc as rpc
from meshwright.errors import InvalidArgumentError, OutOfRangeError, UnavailableError
from services.common.runtime.authorization import check_admin, check_owner
from services.common.runtime.errors import BusUnavailableError
from services.notification import app, domain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import grpc

    from meshwright.errors import ServiceError

    Context = grpc.aio.ServicerContext[Any, Any]

ERRORS: Mapping[type[Exception], type[ServiceError]] = {
    domain.InvalidNotificationError: InvalidArgumentError,
    domain.NotificationTooOldError: OutOfRangeError,
    app.StoppingError: UnavailableError,
    app.StreamLostError: UnavailableError,
    BusUnavailableError: UnavailableError,
}
"""gRPC statuses and reasons of the errors of domain and application."""
PUBLIC = frozenset[str]()
"""Methods without authentication: none."""


class NotificationService(rpc.NotificationServiceServicer):
    def __init__(self, notifications: app.Notifications) -> None:
        self._notifications = notifications

    async def Subscribe(self, request: pb.SubscribeRequest, context: Context) -> AsyncIterator[pb.Notification]:
        check_owner(request.user_id)
        async for delivery in self._notifications.subscribe(request.user_id, request.types, request.resume_after):
            yield notification_message(delivery)

    async def SendNotification(self, request: pb.SendNotificationRequest, context: Context) -> empty_pb2.Empty:
        await self._notifications.send(_draft(request, request.user_id), request.idempotency_key)
        return empty_pb2.Empty()

    async def Broadcast(self, request: pb.BroadcastRequest, context: Context) -> empty_pb2.Empty:
        check_admin()
        await self._notifications.broadcast(_draft(request, domain.ALL_USERS), request.idempotency_key)
        return empty_pb2.Empty()


def _draft(request: pb.SendNotificationRequest | pb.BroadcastRequest, user_id: str) -> domain.Draft:
    (kind,) = domain.kinds_of([request.type], "type")
    return domain.Draft(user_id, kind, request.title, request.message, dict(request.data))


def notification_message(delivery: app.Delivery) -> pb.Notification:
    notification, draft = delivery.notification, delivery.notification.draft
    created_at = timestamp_pb2.Timestamp()
    created_at.FromDatetime(notification.created_at)
    return pb.Notification(
        id=notification.id,
        user_id=draft.user_id,
        type=pb.NotificationType.Name(draft.kind),
        title=draft.title,
        message=draft.message,
        data=draft.data,
        created_at=created_at,
        missed=delivery.missed,
    )
