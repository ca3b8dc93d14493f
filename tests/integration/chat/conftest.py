"""A real NATS, and replicas of the chat on it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from services.chat.__main__ import ChatConfig, add_chat
from services.chat.server import ERRORS
from services.common.messaging.bus import BusConfig
from support.demo.realtime import ChatReplica, replica
from support.servers.nats import NatsServer, nats_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


@pytest.fixture
async def nats(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path / "nats") as server:
        yield server


@pytest.fixture
def chat(nats: NatsServer) -> Callable[..., contextlib.AbstractAsyncContextManager[ChatReplica]]:
    """Makes replicas; keywords are settings of the service, `mesh` those of the mesh."""

    @contextlib.asynccontextmanager
    async def make(mesh: dict[str, Any] | None = None, **settings: Any) -> AsyncIterator[ChatReplica]:
        async def wire(server):
            return await add_chat(server, ChatConfig(bus=BusConfig((nats.url,)), mesh=server.config, **settings))

        async with replica("chat", ERRORS, wire, **(mesh or {})) as made:
            yield ChatReplica(made.channel, made)

    return make
