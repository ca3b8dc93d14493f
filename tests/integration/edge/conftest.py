"""The gateway as a public edge, before real services, on either kind of database."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from support.demo.gateway import Demo, demo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.servers.postgres import Cluster


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests at once wait for connections here, on a busy machine longer than a caller would."""
    monkeypatch.setattr("services.common.storage.database.POOL_SECONDS", 60.0)


class Clock:
    """Now, and as much later as a test wants."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database: once SQLite's, once PostgreSQL's."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/gateway.db"
    made: Cluster = request.getfixturevalue("postgres")
    return made.new_database()


@pytest.fixture
async def served(tmp_path: Path, clock: Clock) -> AsyncIterator[Demo]:
    """A gateway on SQLite."""
    async with demo(tmp_path, clock=clock) as running:
        yield running


@pytest.fixture
async def stored(tmp_path: Path, clock: Clock, database: str) -> AsyncIterator[Demo]:
    """A gateway on either database: for what is kept."""
    async with demo(tmp_path, clock=clock, database=database) as running:
        yield running
