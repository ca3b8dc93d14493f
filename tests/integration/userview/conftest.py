"""Databases of both kinds, a real NATS, and events to follow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.nats import NatsServer, nats_server
from support.postgres import NO_POSTGRES, Cluster, cluster, find_postgres
from support.views import Teller, telling

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """One PostgreSQL for all tests; each gets a database of its own."""
    programs = find_postgres()
    if programs is None:
        pytest.skip(NO_POSTGRES)
    with cluster(programs) as made:
        yield made


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
