"""A database gets its tables once, whichever replica starts first, and whole or not at all."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from services.common.storage.database import open_database
from services.user import migrations, tables
from services.user.adapters import DatabaseUsers

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

START = """
import asyncio, sys
from services.common.storage.database import open_database
from services.user.adapters import prepare_database

async def main():
    engine = open_database("X", sys.argv[1])
    print("ready", flush=True)
    sys.stdin.readline()
    await prepare_database(engine)
    await engine.dispose()

asyncio.run(main())
"""


@pytest.fixture
async def engine(database: str):
    made = open_database("X", database)
    yield made
    await made.dispose()


async def version(engine: AsyncEngine) -> str | None:
    query = sa.text(f"SELECT version_num FROM {migrations.VERSION_TABLE}")
    async with engine.connect() as connection:
        return (await connection.execute(query)).scalar_one_or_none()


async def test_an_empty_database_gets_the_tables_that_queries_expect(engine: AsyncEngine) -> None:
    await migrations.migrate(engine)

    def differences(connection: sa.Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"version_table": migrations.VERSION_TABLE})
        return compare_metadata(context, tables.metadata)

    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_a_second_start_finds_nothing_to_do(engine: AsyncEngine) -> None:
    await migrations.migrate(engine)
    await migrations.migrate(engine)
    assert await version(engine) == "0003"
    assert await DatabaseUsers(engine).page("", 1) == []


async def test_of_processes_that_start_at_once_one_migrates_and_the_others_wait(
    database: str, engine: AsyncEngine
) -> None:
    pipe = asyncio.subprocess.PIPE
    racers = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-W", "error", "-c", START, database, stdin=pipe, stdout=pipe, stderr=pipe
        )
        for _ in range(4)
    ]
    for racer in racers:
        assert await racer.stdout.readline() == b"ready\n"
    outcomes = await asyncio.gather(*(racer.communicate(b"go\n") for racer in racers))
    assert [(racer.returncode, errors) for racer, (_, errors) in zip(racers, outcomes, strict=True)] == [(0, b"")] * 4
    assert await version(engine) == "0003"


async def test_a_migration_that_fails_leaves_nothing_behind(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half_way(connection: sa.Connection) -> None:
        connection.execute(sa.text("CREATE TABLE half (id INTEGER)"))
        raise RuntimeError("half way")

    monkeypatch.setattr(migrations, "upgrade", half_way)
    with pytest.raises(RuntimeError, match="half way"):
        await migrations.migrate(engine)
    async with engine.connect() as connection:
        assert await connection.run_sync(lambda sync: sa.inspect(sync).get_table_names()) == []


async def test_a_database_that_is_ahead_is_left_as_it_is(engine: AsyncEngine, caplog: pytest.LogCaptureFixture) -> None:
    await migrations.migrate(engine)
    async with engine.begin() as connection:
        await connection.execute(sa.text(f"UPDATE {migrations.VERSION_TABLE} SET version_num = '9999'"))
    await migrations.migrate(engine)
    assert await version(engine) == "9999"
    assert "the database is ahead of this version (at 9999)" in caplog.text
