"""Files of SQLite that several open, and connections that are given up in the midst of a statement."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from services.common.runtime.errors import StoreUnavailableError
from services.common.storage import sqlite
from services.common.storage.database import open_database, translate_store_errors
from support.waiting import eventually


@pytest.fixture
def writer(tmp_path: Path):
    """Another process that is writing to a file that is not opened as the services open it."""
    other = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    other.execute("CREATE TABLE things (name TEXT)")
    other.execute("BEGIN IMMEDIATE")
    yield other
    other.close()


def drivers() -> set[threading.Thread]:
    """Threads of open connections."""
    return {thread for thread in threading.enumerate() if "_connection_worker_thread" in thread.name}


def open_files(folder: Path) -> list[str]:
    """Of that folder, those that this process has open."""
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return [name for link in links if (name := str(link.resolve())).startswith(str(folder))]


async def test_who_opens_a_new_file_waits_for_another_who_writes_to_it(
    tmp_path: Path, writer: sqlite3.Connection
) -> None:
    engine = open_database("X", f"sqlite:///{tmp_path}/x.db")

    async def count() -> int:
        with translate_store_errors():
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
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.2)
    engine = open_database("X", f"sqlite:///{tmp_path}/x.db")
    with pytest.raises(StoreUnavailableError), translate_store_errors():
        async with engine.connect():
            pass
    assert writer.in_transaction
    await engine.dispose()


async def test_a_task_cancelled_while_its_connection_opens_leaves_none_behind(
    tmp_path: Path, writer: sqlite3.Connection
) -> None:
    engine = open_database("X", f"sqlite:///{tmp_path}/x.db")
    before = drivers()
    asking = asyncio.create_task(engine.connect().start())
    await eventually(lambda: drivers() - before)
    asking.cancel()
    writer.execute("COMMIT")
    with pytest.raises(asyncio.CancelledError):
        await asking
    await eventually(lambda: not drivers() - before)
    writer.close()
    await eventually(lambda: not open_files(tmp_path))
    await engine.dispose()


@pytest.mark.parametrize("steps", range(8))
async def test_all_tasks_may_be_cancelled_wherever_a_connection_is_on_its_way(tmp_path: Path, steps: int) -> None:
    """As a process does that ends."""
    engine = open_database("X", f"sqlite:///{tmp_path}/x.db")
    before = drivers()
    asking = asyncio.create_task(engine.connect().start())
    for _ in range(steps):
        await asyncio.sleep(0)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    _, waiting = await asyncio.wait({asking}, timeout=20)
    assert not waiting
    if not asking.cancelled():
        await asking.result().close()
    await engine.dispose()
    await eventually(lambda: not drivers() - before)
    await eventually(lambda: not open_files(tmp_path))


async def test_a_task_cancelled_again_while_its_connection_is_closed_leaves_nothing_that_waits_for_ever(
    tmp_path: Path,
) -> None:
    engine = open_database("X", f"sqlite:///{tmp_path}/x.db")
    entered, let_go, here = threading.Event(), threading.Event(), asyncio.current_task()

    def hold() -> int:
        entered.set()
        return let_go.wait(30)

    async def ask() -> None:
        async with engine.connect() as connection:
            driver = (await connection.get_raw_connection()).driver_connection
            await driver.create_function("hold", 0, hold)
            await connection.scalar(sa.text("SELECT hold()"))

    asking = asyncio.create_task(ask())
    await asyncio.to_thread(entered.wait)
    asking.cancel()
    closing = await eventually(lambda: asyncio.all_tasks() - {here, asking})
    asking.cancel()
    await asyncio.wait({asking})
    # As a process does that ends.
    for task in closing:
        task.cancel()
    let_go.set()
    _, waiting = await asyncio.wait(closing, timeout=10)
    assert not waiting
    async with engine.connect() as connection:
        assert await connection.scalar(sa.text("SELECT 1")) == 1
    await engine.dispose()
