"""Clients before two gateways with real chats and notifications, on a real NATS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from integration.client.network import Network, network
from support.demo import realtime
from support.servers.nats import nats_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def edge(tmp_path: Path) -> AsyncIterator[realtime.Edge]:
    async with nats_server(tmp_path / "nats") as nats, realtime.edge(nats, tmp_path) as running:
        yield running


@pytest.fixture
async def way(edge: realtime.Edge) -> AsyncIterator[Network]:
    """The way to the first gateway."""
    async with network(edge.gateways[0].address) as made:
        yield made
