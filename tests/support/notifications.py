"""A replica of the notification service, as its callers use it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from demo.notification.v1 import notification_pb2 as pb
from demo.notification.v1 import notification_pb2_grpc as rpc
from support.realtime import Listener, Replica, listening
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass
class Notifier:
    """Calls one replica."""

    replica: Replica

    @property
    def stub(self) -> rpc.NotificationServiceStub:
        return rpc.NotificationServiceStub(self.replica.channel)

    async def send(self, user_id: str, title: str, key: str = "", kind: int = pb.INFO, **data: str) -> None:
        request = pb.SendNotificationRequest(
            user_id=user_id, type=kind, title=title, message="m", data=data, idempotency_key=key
        )
        await self.stub.SendNotification(request, timeout=10)

    async def broadcast(self, title: str, key: str = "") -> None:
        await self.stub.Broadcast(pb.BroadcastRequest(title=title, idempotency_key=key), timeout=10)

    @contextlib.asynccontextmanager
    async def subscribed(self, user_id: str, *types: int, after: str = "") -> AsyncIterator[Listener]:
        """A subscriber that has had its welcome."""
        request = pb.SubscribeRequest(user_id=user_id, types=types, resume_after=after)
        async with listening(self.stub.Subscribe(request)) as listener:
            await eventually(lambda: listener.got or listener.error)
            yield listener


def titles(listener: Listener) -> list[str]:
    """What came after the welcome."""
    return [item.title for item in listener.got[1:]]
