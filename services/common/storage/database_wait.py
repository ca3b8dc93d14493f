"""Waiting at start for a database that is unavailable: on a cluster, all parts of a release start at once.

The service waits without limit. Its port is bound and its health is NOT_SERVING with the reason, so that liveness
probes pass while the service gets no calls and is not registered in Consul. If the process ended instead, its
supervisor would restart it after growing pauses, minutes after the database is available.

Errors are transient, permanent or bugs. Transient: the server refuses connections, does not answer, is starting, has no
connection left, or its host name does not resolve (a Service that is created later, or has no pod yet). Permanent: a
wrong password, a missing database that the service does not create, a missing privilege, TLS settings that do not
match, an SQLite file that cannot be opened (a locked one is transient). A permanent error ends the process at once with
a message. Bugs are raised unchanged: waiting would hide them.

The innermost cause with a code decides: PostgreSQL's SQLSTATE (appendix A of its manual), SQLite's result code, or the
type of the operating system's exception.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import sqlite3
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from services.common.runtime.errors import StoreUnavailableError, causes, reason_of
from services.common.storage.database import SQLITE
from services.common.storage.table_recovery import HEALTH_CAUSE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

    from services.common.runtime.health import ServerHealth

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 5.0
REPEAT_SECONDS = 30.0
"""Interval between log lines while the reason stays the same."""


class ErrorKind(enum.Enum):
    """Whether waiting helps against an error."""

    TRANSIENT = enum.auto()
    PERMANENT = enum.auto()
    """Until the configuration or the database changes."""
    BUG = enum.auto()


_BY_SQLSTATE = {
    # Lost connections, resources, shutdown and start, disks; transactions in each other's way; the database that all
    # new ones are copied from is in use; a standby that becomes the primary.
    **dict.fromkeys(("08", "53", "57", "58", "40", "55P03", "55006", "25006"), ErrorKind.TRANSIENT),
    # Authentication; missing databases and schemas; privileges; a database that accepts no connections.
    **dict.fromkeys(("28", "3D", "3F", "42501", "55000"), ErrorKind.PERMANENT),
}
"""By the beginning of a SQLSTATE; others are bugs."""
_SQLITE_BUGS = frozenset(
    {
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_MISUSE,
        sqlite3.SQLITE_RANGE,
    }
)
_SQLITE_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_PRIMARY_CODE = 0xFF
"""The part of SQLite's extended result codes that is the plain one."""


async def wait_for_database(
    variable: str, engine: AsyncEngine, prepare: Callable[[], Awaitable[object]], health: ServerHealth
) -> None:
    """Runs `prepare` until it succeeds, retrying while the database is unavailable. `variable` holds its URL.

    Raises StoreUnavailableError, with a message for the operator, for permanent errors.
    """
    place, notice = f"{_place(engine.url)} ({variable})", LogThrottle()
    began, pause = time.monotonic(), FIRST_PAUSE_SECONDS
    while (reason := await _reason_to_wait(prepare, place)) is not None:
        if notice.is_due(reason, time.monotonic()):
            log.warning("%s", reason)
        health.hold(HEALTH_CAUSE, reason)
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
    health.release(HEALTH_CAUSE)
    if notice.reason:
        log.info("the database is available after %.1f s", time.monotonic() - began)


async def _reason_to_wait(prepare: Callable[[], Awaitable[object]], place: str) -> str | None:
    """Runs `prepare` once. Returns None on success."""
    try:
        await prepare()
    except (StoreUnavailableError, sa.exc.ProgrammingError) as error:
        kind = classify_error(error)
        if kind is ErrorKind.TRANSIENT:
            return f"waits for the database {place}: {reason_of(error)}"
        if kind is ErrorKind.PERMANENT:
            what = f"the database {place} cannot be used, and waiting for it would not help"
            raise StoreUnavailableError(what) from error
        if error.__cause__ is not None and isinstance(error, StoreUnavailableError):
            raise error.__cause__ from None  # as itself: the database is available
        raise
    return None


def classify_error(error: BaseException) -> ErrorKind:
    """Classifies an error that a driver has raised, or that was raised from one."""
    chain = list(causes(error))
    found = (_classify(each) for each in reversed(chain))
    return next((kind for kind in found if kind), ErrorKind.TRANSIENT if len(chain) == 1 else ErrorKind.BUG)


def _classify(error: BaseException) -> ErrorKind | None:
    """Classifies one cause; None if it is unspecific."""
    if state := getattr(error, "sqlstate", None):
        return next((each for begin, each in _BY_SQLSTATE.items() if str(state).startswith(begin)), ErrorKind.BUG)
    if code := getattr(error, "sqlite_errorcode", None):
        return _classify_on_sqlite(int(code) & _PRIMARY_CODE)
    lost = getattr(error, "connection_invalidated", False)
    # PEP 249's OperationalError of a failed connection has no code.
    if lost or isinstance(error, (OSError, sa.exc.TimeoutError)) or type(error).__name__ == "OperationalError":
        return ErrorKind.TRANSIENT
    return None


def _classify_on_sqlite(code: int) -> ErrorKind:
    if code in _SQLITE_BUGS:
        return ErrorKind.BUG
    return ErrorKind.TRANSIENT if code in _SQLITE_BUSY else ErrorKind.PERMANENT


@dataclass(slots=True)
class LogThrottle:
    """Decides when to log the reason for waiting: at once, on change, and every REPEAT_SECONDS. Times in seconds."""

    reason: str = ""
    logged_at: float = 0.0

    def is_due(self, reason: str, now: float) -> bool:
        """Returns whether to log the reason now, and records it as logged."""
        if reason == self.reason and now < self.logged_at + REPEAT_SECONDS:
            return False
        self.reason, self.logged_at = reason, now
        return True


def _place(url: sa.URL) -> str:
    """The database's location, without user and password."""
    if url.get_backend_name() == SQLITE:
        return str(url.database)
    return f"{url.database} at {url.host or 'localhost'}:{url.port or 5432}"
