"""python -m services.chat"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import meshwright
from demo.chat.v1 import chat_pb2_grpc as rpc
from meshwright.auth import Auth
from meshwright.config import AuthConfig, ServiceConfig, env_field
from meshwright.errors import ValidationError, Violation
from services.chat.adapters import PROBES, STREAM, Retention, StreamArchive
from services.chat.app import Chat, StoppingError
from services.chat.domain import Message
from services.chat.presence import Presence
from services.chat.server import ERRORS, PUBLIC, ChatService
from services.common.messaging.bus import BusConfig, open_bus
from services.common.messaging.fanout import Fanout
from services.common.messaging.refusals import health_listener
from services.common.runtime.entry_point import run_service
from services.common.runtime.keepalive import KEEPALIVE
from services.common.runtime.tasks import background_task

if TYPE_CHECKING:
    from meshwright import Server

DEFAULTS = {"MESHWRIGHT_SERVICE": "chat", "MESHWRIGHT_VERSION": "1.0.0"}
MAX_AGE, PER_ROOM, IN_ALL = "CHAT_MAX_AGE", "CHAT_PER_ROOM", "CHAT_IN_ALL"
BUFFER, KEY_WINDOW = "CHAT_BUFFER", "CHAT_KEY_WINDOW"
JOIN_SECONDS = "CHAT_JOIN_SECONDS"
START_SECONDS = 3.0
"""How long the start waits for NATS before serving without it."""


@dataclass(frozen=True, slots=True)
class ChatConfig:
    """`mesh` and `bus`: the configuration of every service, and of those with NATS."""

    max_age: float = env_field(MAX_AGE, 30 * 86400.0, help="seconds that a message is kept")
    per_room: int = env_field(PER_ROOM, 10_000, help="messages kept in each room")
    in_all: int = env_field(IN_ALL, 500_000, help="messages kept in all rooms together; the oldest goes first")
    buffer: int = env_field(BUFFER, 256, help="messages that a slow reader may be behind before some are left out")
    key_window: float = env_field(KEY_WINDOW, 600.0, help="seconds in which saying twice with one client_id says once")
    join_seconds: float = env_field(JOIN_SECONDS, 10.0, help="seconds that a caller has to say which room it joins")
    bus: BusConfig = field(kw_only=True)
    mesh: ServiceConfig = field(kw_only=True)
    auth: AuthConfig = field(kw_only=True, default_factory=AuthConfig)

    def __post_init__(self) -> None:
        values = {
            MAX_AGE: self.max_age,
            PER_ROOM: self.per_room,
            IN_ALL: self.in_all,
            BUFFER: self.buffer,
            KEY_WINDOW: self.key_window,
        }
        problems = [Violation(name, "must be 1 or more") for name, value in values.items() if value < 1]
        if self.join_seconds <= 0:
            problems.append(Violation(JOIN_SECONDS, "must be more than 0 seconds"))
        if problems:
            raise ValidationError("the environment", problems)


async def add_chat(server: Server, config: ChatConfig) -> Fanout[Message]:
    """Wires the service into a server before its start; returns the fan-out of this replica."""
    bus = await server.enter(open_bus(config.bus, server.identity.instance, server.telemetry))
    fanout = Fanout[Message]()
    keeping = Retention(config.max_age, config.per_room, config.in_all, config.key_window)
    archive = StreamArchive(bus, keeping, fanout)
    presence = Presence(bus, os.urandom(8).hex())
    bus.refusals.listen(health_listener(server.health))
    await server.enter(background_task(bus.probe(STREAM, PROBES), "trying a stream that refuses messages"))
    await server.enter(archive.consumer.running())
    await server.enter(presence.running())
    await server.enter(background_task(_drain(server, fanout), "ending visits when the server stops"))
    server.warm_up(lambda: archive.consumer.ready(START_SECONDS))
    chat = Chat(archive, fanout, presence, buffer=config.buffer)
    server.add(rpc.add_ChatServiceServicer_to_server, ChatService(chat, config.join_seconds))
    return fanout


async def _drain(server: Server, fanout: Fanout[Message]) -> None:
    await server.stopping.wait()
    fanout.close(StoppingError())


async def run(config: ChatConfig) -> None:
    async with meshwright.Server(
        config.mesh, errors=ERRORS, auth=Auth.configured(config.auth, public=PUBLIC), options=KEEPALIVE
    ) as server:
        await add_chat(server, config)
        await server.run()


def main() -> None:
    run_service(run, ChatConfig, DEFAULTS)


if __name__ == "__main__":
    main()
