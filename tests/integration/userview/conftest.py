"""Databases of both kinds, a real NATS, and events to follow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.demo.views import Teller, telling
from support.servers.nats import NatsServer, nats_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.servers.postgres import Cluster


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database: once SQLite's, once PostgreSQL's."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/views.db"
    made: Cluster = request.getfixturevalue("postgres")
    return made.new_database()


@pytest.fixture
async def nats(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path / "nats") as server:
        yield server


@pytest.fixture
async def teller(nats: NatsServer) -> AsyncIterator[Teller]:
    async with telling(nats) as made:
        yield made
