"""Chat, notification and the gateway's real-time edge, on a real NATS: in this process, or as processes to be killed.

`Listener` takes down what a stream brings; `ChatReplica` and `Notifier` are replicas as their callers use them.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import grpc

import meshwright
from demo.chat.v1 import chat_pb2 as pb
from demo.chat.v1 import chat_pb2_grpc as rpc
from demo.notification.v1 import notification_pb2 as note_pb
from demo.notification.v1 import notification_pb2_grpc as note_rpc
from meshwright.config import ServiceConfig, load_config
from meshwright.model import Address
from meshwright.telemetry import Telemetry
from meshwright.testing import SpanRecorder
from services.chat.__main__ import ChatConfig, add_chat
from services.chat.server import ERRORS as CHAT_ERRORS
from services.common.messaging.bus import BusConfig
from services.notification.__main__ import NotificationConfig, add_notifications
from services.notification.server import ERRORS as NOTE_ERRORS
from support.demo.gateway import Demo, Live, demo
from support.mesh.mesh import serving
from support.processes import promised_port, python, running
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from support.processes import Process
    from support.servers.nats import NatsServer


L = TypeVar("L", bound="Listener")


@dataclass
class Replica:
    """One replica in this process: its server, a channel to it, and what wiring it returned."""

    server: meshwright.Server
    channel: grpc.aio.Channel
    wired: Any
    spans: SpanRecorder


@contextlib.asynccontextmanager
async def replica(
    service: str, errors: Any, wire: Callable[[meshwright.Server], Awaitable[Any]], **config: Any
) -> AsyncIterator[Replica]:
    """Serve what `wire` adds, without Consul."""
    settings = {"register": False, "propagation": 0.0, "grace": 2.0} | config
    chosen = load_config(ServiceConfig, {}, service=service, **settings)
    spans = SpanRecorder()
    telemetry = Telemetry(chosen, exporter=spans)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(telemetry.close)
        server = await stack.enter_async_context(meshwright.Server(chosen, errors=errors, telemetry=telemetry))
        wired = await wire(server)
        await server.start()
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(str(server.address)))
        yield Replica(server, channel, wired, spans)


def narrow(replica: Replica) -> grpc.aio.Channel:
    """A channel that takes no more than 64 KiB ahead of its reader."""
    options = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65536))
    return grpc.aio.insecure_channel(str(replica.server.address), options=options)


@contextlib.asynccontextmanager
async def started(
    service: str, nats: NatsServer, folder: Path, **environ: str
) -> AsyncIterator[tuple[Process, Address]]:
    """One replica as a process of its own, and where it serves."""
    address = Address("127.0.0.1", promised_port())
    given = {
        "MESHWRIGHT_PORT": str(address.port),
        "MESHWRIGHT_REGISTER": "false",
        "MESHWRIGHT_PROPAGATION": "0",
        "NATS_URL": nats.url,
        **environ,
    }
    command = python("-m", f"services.{service}")
    async with running(command, folder / f"{service}-{address.port}.log", given) as child:
        await serving(address, "", child)
        yield child, address


@contextlib.asynccontextmanager
async def process(
    service: str, nats: NatsServer, folder: Path, **environ: str
) -> AsyncIterator[tuple[Process, grpc.aio.Channel]]:
    """One replica as a process of its own, and a channel to it."""
    async with (
        started(service, nats, folder, **environ) as (child, address),
        grpc.aio.insecure_channel(str(address)) as channel,
    ):
        yield child, channel


@dataclass
class Listener:
    """Takes everything that a stream brings, until it ends."""

    call: Any
    got: list[Any] = field(default_factory=list)
    error: grpc.aio.AioRpcError | None = None

    async def run(self) -> None:
        try:
            async for item in self.call:
                self.got.append(item)
        except grpc.aio.AioRpcError as error:
            self.error = error


@contextlib.asynccontextmanager
async def listening(call: Any, kind: type[L] = Listener) -> AsyncIterator[L]:  # type: ignore[assignment]
    """A listener for as long as the context lasts; the call is cancelled then."""
    listener = kind(call)
    task = asyncio.create_task(listener.run())
    try:
        yield listener
    finally:
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@dataclass
class Talker(Listener):
    """A member of a room, and everything that came."""

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
        """A member of the room, or a refused one."""
        call = self.stub.Connect()
        await call.write(pb.ChatRequest(join=pb.JoinRoom(room=room, user_id=user_id, name=name, resume_after=after)))
        async with listening(call, Talker) as talker:
            await eventually(lambda: talker.got or talker.error)
            yield talker


@dataclass
class Notifier:
    """Calls one replica."""

    replica: Replica

    @property
    def stub(self) -> note_rpc.NotificationServiceStub:
        return note_rpc.NotificationServiceStub(self.replica.channel)

    async def send(self, user_id: str, title: str, key: str = "", kind: Any = note_pb.INFO, **data: str) -> None:
        request = note_pb.SendNotificationRequest(
            user_id=user_id, type=kind, title=title, message="m", data=data, idempotency_key=key
        )
        await self.stub.SendNotification(request, timeout=10)

    async def broadcast(self, title: str, key: str = "") -> None:
        await self.stub.Broadcast(note_pb.BroadcastRequest(title=title, idempotency_key=key), timeout=10)

    @contextlib.asynccontextmanager
    async def subscribed(self, user_id: str, *types: Any, after: str = "") -> AsyncIterator[Listener]:
        """A subscriber that has had its welcome."""
        request = note_pb.SubscribeRequest(user_id=user_id, types=types, resume_after=after)

        async with listening(self.stub.Subscribe(request), Listener) as listener:
            await eventually(lambda: bool(listener.got or listener.error))
            yield listener


def titles(listener: Listener) -> list[str]:
    """What came after the welcome."""
    return [item.title for item in listener.got[1:]]


RATE = {"GATEWAY_SOCKET_RATE": "200"}


@dataclass
class Backends:
    """Replicas of one service: each may be ended on its own."""

    replicas: list[Replica]
    stacks: list[contextlib.AsyncExitStack]

    @property
    def addresses(self) -> list[Address]:
        return [one.server.address for one in self.replicas]

    async def stop(self, number: int) -> None:
        await self.stacks[number].aclose()


@dataclass
class Edge:
    """The second gateway shares the first one's database, and so its people."""

    nats: NatsServer
    chats: Backends
    notes: Backends
    gateways: list[Demo]

    async def notify(self, user_id: str, title: str) -> None:
        stub = note_rpc.NotificationServiceStub(self.notes.replicas[-1].channel)
        request = note_pb.SendNotificationRequest(user_id=user_id, title=title, message="m", idempotency_key=title)
        await stub.SendNotification(request, timeout=10)


@contextlib.asynccontextmanager
async def edge(nats: NatsServer, folder: Path, **settings: str) -> AsyncIterator[Edge]:
    """`settings`: of `RealtimeConfig`, by variable."""
    async with contextlib.AsyncExitStack() as stack:
        bus = BusConfig((nats.url,))

        async def add_one_chat(server: Any) -> Any:
            return await add_chat(server, ChatConfig(bus=bus, mesh=server.config, buffer=64))

        async def add_one_notification(server: Any) -> Any:
            return await add_notifications(server, NotificationConfig(bus=bus, mesh=server.config))

        chats = await _replicas(stack, "chat", CHAT_ERRORS, add_one_chat)
        notes = await _replicas(stack, "notification", NOTE_ERRORS, add_one_notification)
        live = Live(nats.url, chats.addresses, notes.addresses, RATE | settings)
        gateways = [await stack.enter_async_context(gateway(folder, name, live)) for name in ("one", "two")]
        yield Edge(nats, chats, notes, gateways)


async def _replicas(stack: contextlib.AsyncExitStack, service: str, errors: Any, add: Any) -> Backends:
    made = Backends([], [])
    for _ in range(2):
        own = await stack.enter_async_context(contextlib.AsyncExitStack())
        made.replicas.append(await own.enter_async_context(replica(service, errors, add)))
        made.stacks.append(own)
    return made


@contextlib.asynccontextmanager
async def gateway(folder: Path, name: str, live: Live, **more: Any) -> AsyncIterator[Demo]:
    """One gateway; those of one folder share a database."""
    own = folder / name
    own.mkdir()
    async with demo(own, live=live, database=f"sqlite:///{folder}/gateway.db", **more) as running:
        yield running


@contextlib.asynccontextmanager
async def chat_processes(nats: NatsServer, folder: Path) -> AsyncIterator[tuple[list[Process], list[Address]]]:
    """Two replicas of the chat that may be killed, and where they are."""
    async with contextlib.AsyncExitStack() as stack:
        made = [await stack.enter_async_context(started("chat", nats, folder)) for _ in range(2)]
        yield [child for child, _ in made], [address for _, address in made]
