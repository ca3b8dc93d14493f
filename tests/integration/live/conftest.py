"""Two gateways before real chats and notifications, on a real NATS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.demo import realtime
from support.servers.nats import NatsServer, nats_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def nats(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path / "nats") as server:
        yield server


@pytest.fixture
async def edge(tmp_path: Path, nats: NatsServer) -> AsyncIterator[realtime.Edge]:
    """Two replicas of each service, two gateways."""
    async with realtime.edge(nats, tmp_path) as running:
        yield running
