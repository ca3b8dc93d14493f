"""Two gateways before real chats, on a real NATS, with short times of calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.demo import realtime
from support.demo.calls import QUICK
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
    async with realtime.edge(nats, tmp_path, **QUICK) as running:
        yield running
