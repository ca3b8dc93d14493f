from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from services.kit import database
from services.kit.database import open_database, translated
from services.kit.errors import StoreUnavailableError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def writer(tmp_path: Path):
    """Another process that is writing to a file which nobody has opened as we do."""
    other = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    other.execute("CREATE TABLE things (name TEXT)")
    other.execute("BEGIN IMMEDIATE")
    yield other
    other.close()


async def test_who_opens_a_new_file_waits_for_another_who_writes_to_it(tmp_path: Path, writer: sqlite3.Connection):
    engine = open_database("X", f"sqlite:///{tmp_path}/x.db")

    async def count() -> int:
        with translated():
            async with engine.connect() as connection:
                return await connection.scalar(sa.text("SELECT count(*) FROM things")) or 0

    asked = asyncio.create_task(count())
    done, _ = await asyncio.wait({asked}, timeout=0.2)
    assert not done
    writer.execute("INSERT INTO things VALUES ('first')")
    writer.execute("COMMIT")
    assert await asked == 1
    await engine.dispose()


async def test_a_file_that_another_never_lets_go_is_unavailable(
    tmp_path: Path, writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.2)
    engine = open_database("X", f"sqlite:///{tmp_path}/x.db")
    with pytest.raises(StoreUnavailableError), translated():
        async with engine.connect():
            pass
    assert writer.in_transaction
    await engine.dispose()
