"""Two gateways with a real-time edge, before replicas of chat and notification, on one NATS."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from demo.notification.v1 import notification_pb2 as note_pb
from demo.notification.v1 import notification_pb2_grpc as note_rpc
from meshwright.model import Address
from services.chat.__main__ import ChatConfig, add_chat
from services.chat.server import ERRORS as CHAT_ERRORS
from services.common.messaging.bus import BusConfig
from services.notification.__main__ import NotificationConfig, add_notifications
from services.notification.server import ERRORS as NOTE_ERRORS
from support.demo import Demo, Live, demo
from support.realtime import Replica, process, replica

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import grpc

    from support.nats import NatsServer
    from support.processes import Process

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
        made = [await stack.enter_async_context(process("chat", nats, folder)) for _ in range(2)]
        yield [child for child, _ in made], [address_of(channel) for _, channel in made]


def address_of(channel: grpc.aio.Channel) -> Address:
    host, _, port = channel._channel.target.decode().rpartition("/")[2].rpartition(":")
    return Address(host, int(port))
