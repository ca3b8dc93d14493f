"""Recovery of lost tables: a lost disk, a dropped database, a failed restore.

A service creates its tables at start. If they are lost later, every call fails until a restart while health stays
SERVING. So each replica checks for its tables every POLL_SECONDS, and at once when a statement reports a missing table.
If tables are missing, the replica becomes NOT_SERVING (the log has the reason), creates them as at start, and serves
again. Their contents are lost, and the log says so. If creating them fails, the replica stays NOT_SERVING and retries.

An unavailable database is a different case: calls fail with UNAVAILABLE.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from services.common.runtime.errors import StoreUnavailableError, with_cause
from services.common.runtime.tasks import background_task
from services.common.storage.database import SQLITE, is_missing, translate_store_errors
from services.common.storage.sqlite import DatabaseFile

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection
    from contextlib import AbstractAsyncContextManager

    from sqlalchemy.ext.asyncio import AsyncEngine

    from services.common.runtime.health import ServerHealth

log = logging.getLogger(__name__)

POLL_SECONDS = 2.0
HEALTH_CAUSE = "database"


class TableRecovery:
    """Checks for `tables` in the database of `engine`; `prepare` creates missing tables and the database itself."""

    def __init__(
        self,
        engine: AsyncEngine,
        tables: Collection[str],
        prepare: Callable[[], Awaitable[object]],
        health: ServerHealth,
    ) -> None:
        self._engine = engine
        self._tables = frozenset(tables)
        self._prepare = prepare
        self._health = health
        self._reason = ""
        self._woken = asyncio.Event()
        database = engine.url.database if engine.url.get_backend_name() == SQLITE else None
        self._file = DatabaseFile(Path(database)) if database else None
        sa.event.listen(engine.sync_engine, "handle_error", self._on_error)

    def running(self) -> AbstractAsyncContextManager[None]:
        """Checks for as long as the context lasts."""
        return background_task(self._run(), "looking for lost tables")

    async def check(self) -> None:
        """Checks once."""
        try:
            await self._follow_file()
            missing = await self._missing()
        except StoreUnavailableError as error:
            log.debug("the tables are looked for later: %s", error)
            return
        if not missing:
            self._hold("")
            return
        lost = ", ".join(sorted(missing))
        if not self._reason:
            self._hold(f"the database has lost its tables ({lost})")
        try:
            await self._prepare()
            missing = await self._missing()
        except (StoreUnavailableError, sa.exc.SQLAlchemyError) as error:
            self._hold(f"the database has lost its tables ({lost}), and they cannot be made again: {with_cause(error)}")
            return
        if missing:
            what = "has others than this version knows; restore it, or remove what is left of it"
            self._hold(f"the database has lost its tables ({lost}), and {what}")
            return
        log.warning("the tables were made again; what was in them is gone")
        self._hold("")

    async def _follow_file(self) -> None:
        if self._file is None or not self._file.is_another():
            return
        log.error("the database's file %s was deleted or replaced", self._file.path)
        try:
            self._file.renew()
        except OSError as error:
            raise StoreUnavailableError from error
        await self._engine.dispose()

    async def _missing(self) -> frozenset[str]:
        try:
            with translate_store_errors():
                async with self._engine.connect() as connection:
                    there = await connection.run_sync(lambda found: sa.inspect(found).get_table_names())
        except StoreUnavailableError as error:
            if is_missing(error):
                return self._tables
            raise
        return self._tables - set(there)

    def _hold(self, reason: str) -> None:
        if reason == self._reason:
            return
        self._reason = reason
        if reason:
            log.error("%s", reason)
            self._health.hold(HEALTH_CAUSE, reason)
        else:
            self._health.release(HEALTH_CAUSE)

    def _on_error(self, context: sa.engine.ExceptionContext) -> None:
        if is_missing(context.original_exception):
            self._woken.set()

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._woken.wait()
            self._woken.clear()
            try:
                await self.check()
            except Exception:
                log.exception("the tables are looked for later")
