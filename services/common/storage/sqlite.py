"""SQLite files, which several processes may share: how a connection is opened, begins a transaction, and is closed.

Transactions begin explicitly (the driver's own BEGIN comes late); those that write are IMMEDIATE, so that a writer
never holds a stale snapshot, the one kind of "database is locked" that waiting does not resolve. WAL lets readers
continue beside the writer.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import time
from typing import TYPE_CHECKING, Any

import aiosqlite
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncEngine

BUSY_SECONDS = 5.0
"""How long a statement may wait for another process that writes to the same file."""
BUSY_PAUSE_SECONDS = 0.02
ROWS_AT_ONCE = 64
"""How many rows of a result come from the driver's thread together."""


def open_file(url: sa.URL, **pool: Any) -> AsyncEngine:
    """An engine for the file, whose folder is there; `pool` is what SQLAlchemy's `create_engine` says of pools."""
    engine = create_async_engine(url, connect_args={"async_creator_fn": _open}, **pool)
    sa.event.listen(engine.sync_engine, "begin", _begin)
    return engine


class DatabaseFile:
    """Notices that its file is gone, or is another one: open connections keep the old one, which no other process
    reads any more."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: tuple[int, int] | None = None

    def is_another(self) -> bool:
        """Whether it is another one than at the first look, or the last `renew`."""
        found = self._found()
        if self._known is None:
            self._known = found
        return found != self._known

    def renew(self) -> None:
        """Have a file there, if only an empty one, and none of what the old one has left beside it. Raises OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            # Replicas look at the same time, and what one has begun the next must not take away.
            fcntl.flock(folder, fcntl.LOCK_EX)
            if self._found() is None:
                for ending in ("-wal", "-shm"):
                    self.path.with_name(self.path.name + ending).unlink(missing_ok=True)
                self.path.touch()
            self._known = self._found()
        finally:
            os.close(folder)

    def _found(self) -> tuple[int, int] | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino


class _Connection(aiosqlite.Connection):
    """A connection that is closed when `close` returns or raises, even after cancellations.

    aiosqlite's own (0.22) waits forever if it is closed twice concurrently. That happens: SQLAlchemy closes the
    connection of a task that is cancelled in a statement; if the task is cancelled again, SQLAlchemy also stops the
    driver's thread, and the pending close gets no answer. A connection that is cancelled while opening stays open, and
    its thread may use a closed event loop.
    """

    def __init__(self, database: str, **options: Any) -> None:
        self._file: sqlite3.Connection | None = None
        self._end: asyncio.Future[Any] | None = None

        def opened() -> sqlite3.Connection:
            self._file = _prepared(sqlite3.connect(database, isolation_level=None, **options))
            return self._file

        super().__init__(opened, ROWS_AT_ONCE)
        # As SQLAlchemy does for its own connections: the process does not wait for the thread at exit.
        self._thread.daemon = True

    def stop(self) -> asyncio.Future[Any] | None:
        """Closes the file after pending statements, and ends the thread; None without an event loop."""
        if self._end is None:
            self._end = super().stop()
        return self._end

    async def close(self) -> None:
        try:
            if (end := self.stop()) is not None:
                await _to_its_end(end)
        finally:
            if self._file is not None:
                self._file.close()


async def _open(database: str, **options: Any) -> aiosqlite.Connection:
    made = _Connection(database, **options)
    try:
        # Not by a task: one that is cancelled before its first step has not started the driver's thread.
        return await made
    except BaseException:
        await made.close()
        raise


async def _to_its_end(end: asyncio.Future[Any]) -> None:
    """Who is cancelled meanwhile still waits for it: at most as long as a statement takes."""
    interrupted = False
    while not end.done():
        try:
            await asyncio.wait({end})
        except asyncio.CancelledError:
            interrupted = True
    failure = end.exception()
    if interrupted:
        raise asyncio.CancelledError from failure
    if failure:
        raise failure


def _prepared(file: sqlite3.Connection) -> sqlite3.Connection:
    """The same; in the driver's thread, which may be waited in."""
    try:
        file.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
        _write_ahead(file)
        # Whatever is killed, nothing is lost. Where the power fails the last transactions may be: waiting for the disk
        # in each makes 310 a second of 41,000. What must outlive that is on PostgreSQL.
        file.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        file.close()
        raise
    return file


def _write_ahead(file: sqlite3.Connection) -> None:
    """Have the file written ahead of, which it is from then on.

    The switch wants the file for itself, and where another process writes to it at that moment SQLite does not wait as
    it does everywhere else: replicas that start at once on a new file would meet there.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            file.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(BUSY_PAUSE_SECONDS)
        else:
            return


def _begin(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
