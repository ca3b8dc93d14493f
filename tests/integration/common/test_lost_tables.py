"""A database that comes back without its tables is noticed: they are made again, or the service says why not."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import shutil
import sqlite3
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from services.common.runtime.errors import StoreUnavailableError
from services.common.storage.database import ensure_database, open_database, service_database_url
from services.common.storage.table_recovery import TableRecovery
from services.common.storage.transactions import in_transaction, make_tables
from support.servers.postgres import OWNER, Cluster
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

metadata = sa.MetaData()
goods = sa.Table("goods", metadata, sa.Column("id", sa.Integer, primary_key=True))
prices = sa.Table("prices", metadata, sa.Column("id", sa.Integer, primary_key=True))


class Health:
    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}
        self.told: list[str] = []

    def hold(self, cause: str, reason: str) -> None:
        self.reasons[cause] = reason
        self.told.append(reason)

    def release(self, cause: str) -> None:
        self.reasons.pop(cause, None)


class Store:
    """A service's database, and what keeps its tables."""

    def __init__(self, own_postgres: Cluster) -> None:
        self.postgres = own_postgres
        self.given = own_postgres.new_database()
        self.url = service_database_url(self.given, "shop")
        self.engine: AsyncEngine = open_database("X", self.url)
        self.health = Health()
        self.keeper = TableRecovery(self.engine, metadata.tables, self.make, self.health)

    async def make(self) -> None:
        await ensure_database(self.given, self.url)
        await make_tables(self.engine, metadata)

    async def insert(self) -> None:
        async def work(connection: AsyncConnection) -> None:
            await connection.execute(sa.insert(goods).values(id=1))

        await in_transaction(self.engine, work)

    def drop(self, url: str) -> None:
        name = str(sa.make_url(url).database)
        self.run("dropdb", "--force", name)

    def run(self, program: str, *arguments: str) -> None:
        self.postgres.run(program, "-h", "127.0.0.1", "-p", str(self.postgres.port), "-U", OWNER, *arguments)


@pytest.fixture
async def store(own_postgres: Cluster) -> AsyncIterator[Store]:
    made = Store(own_postgres)
    await made.make()
    try:
        yield made
    finally:
        await made.engine.dispose()


@pytest.mark.parametrize("lost", ["table", "own database", "both databases"])
async def test_what_is_lost_is_made_again_and_the_service_is_out_meanwhile(store: Store, lost: str) -> None:
    await store.insert()
    await store.keeper.check()
    assert not store.health.told
    if lost == "table":
        store.run("psql", "-q", "-c", "DROP TABLE goods", str(sa.make_url(store.url).database))
    else:
        store.drop(store.url)
    if lost == "both databases":
        store.drop(store.given)
    with pytest.raises(StoreUnavailableError):
        await store.insert()
    await store.keeper.check()
    tables = "goods" if lost == "table" else "goods, prices"
    assert store.health.told[0] == f"the database has lost its tables ({tables})"
    if lost == "both databases":
        assert "cannot be made again" in store.health.reasons["database"]
        assert "does not exist" in store.health.reasons["database"]
        store.run("createdb", str(sa.make_url(store.given).database))
        await store.keeper.check()
    assert not store.health.reasons
    await store.insert()


async def test_a_statement_that_misses_its_table_is_noticed_at_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.common.storage.table_recovery.POLL_SECONDS", 3600.0)
    async with store.keeper.running():
        store.drop(store.url)
        with pytest.raises(StoreUnavailableError):
            await store.insert()

        async def inserted() -> bool:
            try:
                await store.insert()
            except StoreUnavailableError:
                return False
            return True

        await eventually(inserted, 20)
    assert store.health.told == ["the database has lost its tables (goods, prices)"]


async def test_a_database_that_is_merely_away_is_no_lost_one(store: Store) -> None:
    store.postgres.stop()
    try:
        await store.keeper.check()
        assert not store.health.told
    finally:
        store.postgres.start()


async def test_tables_that_others_have_left_behind_are_not_made_up_for(store: Store) -> None:
    """A revision that says that all is there, as Alembic's does, makes nothing."""

    async def nothing() -> None:
        pass

    keeper = TableRecovery(store.engine, metadata.tables, nothing, store.health)
    store.run("psql", "-q", "-c", "DROP TABLE goods", str(sa.make_url(store.url).database))
    for _ in range(2):
        await keeper.check()
    assert store.health.told == [
        "the database has lost its tables (goods)",
        "the database has lost its tables (goods), and has others than this version knows; restore it, or remove what "
        "is left of it",
    ]
    await store.make()
    await keeper.check()
    assert not store.health.reasons


@pytest.mark.parametrize("left", ["nothing", "its companions", "another file"])
async def test_an_sqlite_file_that_was_deleted_under_two_replicas_is_noticed(tmp_path: Path, left: str) -> None:
    path = tmp_path / "shop" / "shop.db"
    engines = [open_database("X", f"sqlite:///{path}") for _ in range(2)]
    healths = [Health() for _ in engines]
    keepers = [
        TableRecovery(engine, metadata.tables, functools.partial(make_tables, engine, metadata), health)
        for engine, health in zip(engines, healths, strict=True)
    ]

    async def insert(engine: AsyncEngine, number: int) -> None:
        async def work(connection: AsyncConnection) -> None:
            await connection.execute(sa.insert(goods).values(id=number))

        await in_transaction(engine, work)

    await make_tables(engines[0], metadata)
    for number, (engine, keeper) in enumerate(zip(engines, keepers, strict=True)):
        await insert(engine, number)
        await keeper.check()
    if left == "nothing":
        shutil.rmtree(path.parent)
    else:
        path.unlink()
    if left == "another file":
        path.touch()
    await asyncio.gather(*(keeper.check() for keeper in keepers))
    for number, engine in enumerate(engines):
        await insert(engine, 10 + number)
    for engine, health in zip(engines, healths, strict=True):
        async with engine.connect() as connection:
            assert [*await connection.scalars(sa.select(goods.c.id))] == [10, 11]
        await engine.dispose()
        assert not health.reasons
    with contextlib.closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
