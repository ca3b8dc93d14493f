"""A real NATS, and replicas of the notification service on it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from services.common.messaging.bus import BusConfig
from services.notification.__main__ import NotificationConfig, add_notifications
from services.notification.server import ERRORS
from support.demo.realtime import Notifier, replica
from support.servers.nats import NatsServer, nats_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


@pytest.fixture
async def nats(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path / "nats") as server:
        yield server


@pytest.fixture
def notifier(nats: NatsServer) -> Callable[..., contextlib.AbstractAsyncContextManager[Notifier]]:
    """Makes replicas; keywords are settings of the service, `mesh` those of the mesh."""

    @contextlib.asynccontextmanager
    async def make(mesh: dict[str, Any] | None = None, **settings: Any) -> AsyncIterator[Notifier]:
        bus = BusConfig((nats.url,))

        async def wire(server):
            return await add_notifications(server, NotificationConfig(bus=bus, mesh=server.config, **settings))

        async with replica("notification", ERRORS, wire, **(mesh or {})) as made:
            yield Notifier(made)

    return make
