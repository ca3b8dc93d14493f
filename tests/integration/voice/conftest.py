"""Databases of both kinds, and an exchange over an SQLite file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from integration.voice.exchange import Exchange, exchange
from services.common.storage.database import open_database
from services.voice.adapters import DatabaseStore, metadata

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncEngine

    from support.servers.postgres import Cluster


@pytest.fixture(params=["sqlite", "postgresql"])
async def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[DatabaseStore]:
    """An empty store: once in an SQLite file, once in PostgreSQL."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/voice.db"
    else:
        made: Cluster = request.getfixturevalue("postgres")
        url = made.new_database()
    engine = open_database("DATABASE_URL", url)
    store = DatabaseStore(engine)
    await store.prepare()
    yield store
    await engine.dispose()


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    """An empty SQLite file."""
    engine = open_database("DATABASE_URL", f"sqlite:///{tmp_path}/voice.db")
    yield engine
    await engine.dispose()


@pytest.fixture
async def store(engine: AsyncEngine) -> DatabaseStore:
    """An empty store in an SQLite file."""
    store = DatabaseStore(engine)
    await store.prepare()
    return store


@pytest.fixture
def drop_tables(engine: AsyncEngine) -> Callable[[], Awaitable[None]]:
    """Drops the store's tables."""

    async def drop() -> None:
        async with engine.begin() as connection:
            await connection.run_sync(metadata.drop_all)

    return drop


@pytest.fixture
async def switchboard(store: DatabaseStore) -> AsyncIterator[Exchange]:
    """An exchange without limits."""
    async with exchange(store) as made:
        yield made
