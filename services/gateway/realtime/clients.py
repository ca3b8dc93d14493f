"""Clients of the chat and notification services over the mesh. Every method may raise ApiError."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.protobuf import timestamp_pb2

from demo.chat.v1 import chat_pb2 as chat_pb
from demo.chat.v1 import chat_pb2_grpc as chat_rpc
from demo.notification.v1 import notification_pb2 as note_pb
from demo.notification.v1 import notification_pb2_grpc as note_rpc
from services.gateway.grpc_errors import translate_grpc_errors

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    import grpc

ANSWER_SECONDS = 5.0
SMALL_WINDOW = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65536))
"""Channel options: a stream buffers at most 64 KiB ahead of its reader. By default it grows to megabytes, for each of
thousands of slow clients."""


@dataclass
class UserCredentials:
    """The user and token of calls; a renewed token applies from the next call on."""

    user_id: str
    token: str

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.token}"),)


class ChatClient:
    """Client of the chat and notification services for sockets."""

    def __init__(self, chat: grpc.aio.Channel, notification: grpc.aio.Channel) -> None:
        self._chat = chat_rpc.ChatServiceStub(chat)
        self._notes = note_rpc.NotificationServiceStub(notification)

    async def stay(self, who: UserCredentials, room: str, name: str, after: str) -> AsyncGenerator[chat_pb.ChatEvent]:
        """Joins a room for as long as the generator is read. Ends only by ApiError."""
        call = self._chat.Connect(metadata=who.metadata)
        try:
            with translate_grpc_errors():
                join = chat_pb.JoinRoom(room=room, user_id=who.user_id, name=name, resume_after=after)
                await call.write(chat_pb.ChatRequest(join=join))
                async for event in call:
                    yield event
        finally:
            call.cancel()

    async def say(self, who: UserCredentials, room: str, name: str, text: str, client_id: str) -> chat_pb.ChatMessage:
        request = chat_pb.PostRequest(room=room, user_id=who.user_id, name=name, text=text, client_id=client_id)
        with translate_grpc_errors():
            said: chat_pb.ChatMessage = await self._chat.Post(request, timeout=ANSWER_SECONDS, metadata=who.metadata)
        return said

    async def history(
        self, who: UserCredentials, room: str, after: str, limit: int, since: float | None = None
    ) -> chat_pb.HistoryPage:
        """`since`: in seconds since 1970."""
        request = chat_pb.HistoryRequest(room=room, after=after, limit=limit)
        if since is not None:
            whole = int(since)
            request.since.CopyFrom(timestamp_pb2.Timestamp(seconds=whole, nanos=int((since - whole) * 1e9)))
        with translate_grpc_errors():
            page: chat_pb.HistoryPage = await self._chat.History(request, timeout=ANSWER_SECONDS, metadata=who.metadata)
        return page

    async def members(self, who: UserCredentials, room: str) -> chat_pb.Presence:
        """Who is in a room now, over all replicas of the chat."""
        request = chat_pb.GetPresenceRequest(room=room)
        with translate_grpc_errors():
            found: chat_pb.Presence = await self._chat.GetPresence(
                request, timeout=ANSWER_SECONDS, metadata=who.metadata
            )
        return found

    async def notifications(
        self, who: UserCredentials, types: Sequence[int], after: str
    ) -> AsyncGenerator[note_pb.Notification]:
        """Yields the welcome and each notification. Ends only by ApiError."""
        kinds: Any = types
        request = note_pb.SubscribeRequest(user_id=who.user_id, types=kinds, resume_after=after)
        call = self._notes.Subscribe(request, metadata=who.metadata)
        try:
            with translate_grpc_errors():
                async for event in call:
                    yield event
        finally:
            with contextlib.suppress(Exception):
                call.cancel()
