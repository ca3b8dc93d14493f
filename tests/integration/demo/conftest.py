"""Databases of both kinds, and the demo's services, served for real on ports of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from services.common.storage.database import open_database
from services.user.adapters import DatabaseUsers, prepare_database
from support.demo.gateway import Demo, demo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.servers.postgres import Cluster


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many transactions at once wait for each other here, on a busy machine longer than a caller would."""
    monkeypatch.setattr("services.common.storage.database.POOL_SECONDS", 60.0)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database: once SQLite's, once PostgreSQL's."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/new folder/users.db"
    made: Cluster = request.getfixturevalue("postgres")
    return made.new_database()


@pytest.fixture
async def users(database: str) -> AsyncIterator[DatabaseUsers]:
    """The store of users on a database that is up to date."""
    engine = open_database("USER_DATABASE_URL", database)
    await prepare_database(engine)
    yield DatabaseUsers(engine)
    await engine.dispose()


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Demo]:
    """Calculator, user service and gateway, each one instance, without Consul and control plane."""
    async with demo(tmp_path) as running:
        yield running
