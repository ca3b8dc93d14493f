"""The gRPC service of the chat: proto <-> domain."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC
from functools import lru_cache, singledispatch
from typing import TYPE_CHECKING, Any

from google.protobuf import timestamp_pb2

from demo.chat.v1 import chat_pb2 as pb
from demo.chat.v1 import chat_pb2_grpc as rpc
from meshwright.errors import InvalidArgumentError, OutOfRangeError, UnavailableError
from services.chat import app, domain, room_session
from services.common.messaging.fanout import Gap
from services.common.runtime.authorization import check_owner
from services.common.runtime.errors import BusUnavailableError
from services.common.runtime.tasks import background_task

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from datetime import datetime

    import grpc

    from meshwright.errors import ServiceError

    Context = grpc.aio.ServicerContext[Any, Any]

ERRORS: Mapping[type[Exception], type[ServiceError]] = {
    domain.InvalidChatError: InvalidArgumentError,
    domain.MessageTooOldError: OutOfRangeError,
    app.StoppingError: UnavailableError,
    app.StreamLostError: UnavailableError,
    BusUnavailableError: UnavailableError,
}
"""gRPC statuses and reasons of the errors of domain and application."""
PUBLIC = frozenset[str]()
"""Methods without authentication: none."""


class ChatService(rpc.ChatServiceServicer):
    def __init__(self, chat: app.Chat, join_seconds: float) -> None:
        self._chat = chat
        self._join_seconds = join_seconds

    async def Connect(
        self, request_iterator: AsyncIterator[pb.ChatRequest], context: Context
    ) -> AsyncIterator[pb.ChatEvent]:
        requests = aiter(request_iterator)
        join = await self._join(requests)
        check_owner(join.user_id)
        session = await self._chat.join(join.room, join.user_id, join.name, join.resume_after)
        async with (
            background_task(_listen(requests, session), "reading a caller's messages"),
            contextlib.aclosing(session.events()) as events,
        ):
            async for event in events:
                yield event_message(event)

    async def Post(self, request: pb.PostRequest, context: Context) -> pb.ChatMessage:
        check_owner(request.user_id)
        said = await self._chat.post(request.room, request.user_id, request.name, request.text, request.client_id)
        return chat_message(said)

    async def History(self, request: pb.HistoryRequest, context: Context) -> pb.HistoryPage:
        since = _moment(request.since) if request.HasField("since") else None
        page = await self._chat.history(request.room, request.after, request.limit, since)
        return pb.HistoryPage(messages=map(chat_message, page.messages), more=page.more)

    async def ListRooms(self, request: pb.ListRoomsRequest, context: Context) -> pb.ListRoomsResponse:
        rooms = await self._chat.rooms()
        return pb.ListRoomsResponse(
            rooms=[pb.Room(name=room.name, messages=room.messages, people=room.people) for room in rooms]
        )

    async def GetPresence(self, request: pb.GetPresenceRequest, context: Context) -> pb.Presence:
        there = await self._chat.attendees(request.room)
        return pb.Presence(room=request.room, people=map(person_message, there.people), total=there.total)

    async def _join(self, requests: AsyncIterator[pb.ChatRequest]) -> pb.JoinRoom:
        what = f"must come first, within {self._join_seconds:g} seconds"
        try:
            first = await asyncio.wait_for(anext(requests, None), self._join_seconds)
        except TimeoutError:
            raise domain.InvalidChatError({"join": what}) from None
        if first is None or first.WhichOneof("kind") != "join":
            raise domain.InvalidChatError({"join": what})
        return first.join


async def _listen(requests: AsyncIterator[pb.ChatRequest], session: room_session.RoomSession) -> None:
    """Reads the caller's messages in order until the end of the stream."""
    async for request in requests:
        if request.WhichOneof("kind") == "say":
            await session.say(request.say.text, request.say.client_id)
        else:
            await session.refuse(
                room_session.MessageRefused("", "INVALID_ARGUMENT", "after the join only messages are taken")
            )
    session.end()


@singledispatch
def event_message(event: object) -> pb.ChatEvent:
    raise TypeError(f"{event!r} is no event")


@event_message.register
def _(event: room_session.RoomJoined) -> pb.ChatEvent:
    people = map(person_message, event.people)
    return pb.ChatEvent(joined=pb.Presence(room=event.room, people=people, total=event.total))


@event_message.register
@lru_cache(maxsize=256)  # a message to a room of a thousand is converted once
def _(event: domain.Message) -> pb.ChatEvent:
    return pb.ChatEvent(message=chat_message(event))


@event_message.register
def _(event: domain.PresenceChange) -> pb.ChatEvent:
    change = pb.PresenceChange(room=event.room, person=person_message(event.person), present=event.present)
    return pb.ChatEvent(presence=change)


@event_message.register
def _(event: room_session.MessageRefused) -> pb.ChatEvent:
    return pb.ChatEvent(refused=pb.Refusal(client_id=event.client_id, reason=event.reason, code=event.code))


@event_message.register
def _(event: Gap) -> pb.ChatEvent:  # type: ignore[type-arg] # singledispatch takes the class alone
    return pb.ChatEvent(missed=pb.Missed(count=event.count, first=event.first.id, last=event.last.id))


def chat_message(message: domain.Message) -> pb.ChatMessage:
    said, who = message.content, message.content.member
    return pb.ChatMessage(
        id=message.id,
        room=who.room,
        user_id=who.user_id,
        name=who.name,
        text=said.text,
        client_id=said.client_id,
        sent_at=_timestamp(message.sent_at),
    )


def person_message(person: domain.Person) -> pb.Person:
    return pb.Person(
        user_id=person.user_id, name=person.name, connections=person.connections, since=_timestamp(person.since)
    )


def _timestamp(moment: datetime) -> timestamp_pb2.Timestamp:
    message = timestamp_pb2.Timestamp()
    message.FromDatetime(moment)
    return message


def _moment(message: timestamp_pb2.Timestamp) -> datetime:
    try:
        return message.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise domain.InvalidChatError({"since": "must be a time between the years 1 and 9999"}) from None
