"""A replica of the chat, as its callers use it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import meshwright
from demo.chat.v1 import chat_pb2 as pb
from demo.chat.v1 import chat_pb2_grpc as rpc
from support.realtime import Listener, listening
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc

    from support.realtime import Replica


@dataclass
class Talker(Listener):
    """Somebody in a room, and everything that came."""

    async def say(self, text: str, client_id: str = "") -> None:
        await self.call.write(pb.ChatRequest(say=pb.SayMessage(text=text, client_id=client_id)))

    @property
    def texts(self) -> list[str]:
        return [event.message.text for event in self.got if event.WhichOneof("kind") == "message"]

    @property
    def ids(self) -> list[str]:
        return [event.message.id for event in self.got if event.WhichOneof("kind") == "message"]

    @property
    def refused(self) -> list[tuple[str, str]]:
        return [(e.refused.client_id, e.refused.code) for e in self.got if e.WhichOneof("kind") == "refused"]

    @property
    def changes(self) -> list[tuple[str, bool]]:
        found = [event.presence for event in self.got if event.WhichOneof("kind") == "presence"]
        return [(change.person.user_id, change.present) for change in found]

    @property
    def reason(self) -> str:
        """Why the stream ended."""
        assert self.error
        return meshwright.error_details(self.error).reason


@dataclass
class ChatReplica:
    """Calls one replica."""

    channel: grpc.aio.Channel
    replica: Replica | None = None

    @property
    def stub(self) -> rpc.ChatServiceStub:
        return rpc.ChatServiceStub(self.channel)

    async def post(self, text: str, room: str = "hall", user_id: str = "poster", client_id: str = "") -> pb.ChatMessage:
        request = pb.PostRequest(room=room, user_id=user_id, text=text, client_id=client_id)
        return await self.stub.Post(request, timeout=10)

    async def history(self, room: str = "hall", **about: Any) -> pb.HistoryPage:
        return await self.stub.History(pb.HistoryRequest(room=room, **about), timeout=10)

    async def people(self, room: str = "hall") -> dict[str, int]:
        """User ids and their connections."""
        there = await self.stub.GetPresence(pb.GetPresenceRequest(room=room), timeout=10)
        assert there.total == len(there.people)
        return {person.user_id: person.connections for person in there.people}

    @contextlib.asynccontextmanager
    async def joined(self, user_id: str, room: str = "hall", after: str = "", name: str = "") -> AsyncIterator[Talker]:
        """Somebody who is in the room, or was refused."""
        call = self.stub.Connect()
        await call.write(pb.ChatRequest(join=pb.JoinRoom(room=room, user_id=user_id, name=name, resume_after=after)))
        async with listening(call, Talker) as talker:
            await eventually(lambda: talker.got or talker.error)
            yield talker
