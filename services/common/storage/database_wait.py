"""A database that is not there yet when a service starts: on a cluster, all of a release start at once.

The service waits, as long as it takes: its port is bound and its health is NOT_SERVING with the reason, so that a
liveness probe is content, nobody calls it, and it is not in Consul. A process that ended instead would be started again
by its supervisor after ever longer pauses, and would come minutes after its database.

It waits for what may come by itself: a server that refuses connections, does not answer or is still starting, has no
connection left, or has a host name that is not known (a Service that is made later, or has no pod yet). A wrong
password, a database that is not made by the service, a right that is missing and TLS that does not fit stay as they are
until somebody changes something: the process ends at once and says so. So it does for a file of SQLite, unless another
process only holds its lock. All else is a fault of the code, and is raised as what it is: a wait would hide it.

Which of the three an error is, its innermost cause with a code decides: PostgreSQL's SQLSTATE (appendix A of its
manual), SQLite's result code, or the operating system's kind of exception.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import sqlite3
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa
from asyncpg.exceptions import ClientConfigurationError

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
"""How often the log says what is waited for while it stays the same."""


class ErrorKind(enum.Enum):
    """What becomes of an error if nobody does anything."""

    PASSES = enum.auto()
    STAYS = enum.auto()
    FAULT = enum.auto()
    """Of the code: it stays, and no setting mends it."""


_OF_STATES = {
    # Lost connections, resources, shutdown and start, disks; transactions in each other's way; the database that all
    # new ones are copied from is in use; a standby that becomes the primary.
    **dict.fromkeys(("08", "53", "57", "58", "40", "55P03", "55006", "25006"), ErrorKind.PASSES),
    # Who may log in; databases and schemas that are not there; rights; a database that takes no connections.
    **dict.fromkeys(("28", "3D", "3F", "42501", "55000"), ErrorKind.STAYS),
}
"""By the beginning of a SQLSTATE; others are faults of the code."""
_FAULTS_ON_SQLITE = frozenset(
    {
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_MISUSE,
        sqlite3.SQLITE_RANGE,
    }
)
_BUSY_ON_SQLITE = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_PRIMARY_CODE = 0xFF
"""The part of SQLite's extended result codes that is the plain one."""
_NO_TLS = "rejected SSL upgrade"
_INTERRUPTED = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)


async def wait_for_database(
    variable: str, engine: AsyncEngine, prepare: Callable[[], Awaitable[object]], health: ServerHealth
) -> None:
    """Run `prepare`, again for as long as the database is not there. `variable` holds the database's URL.

    Raises StoreUnavailableError, with a sentence for whoever runs the service, where waiting would not help.
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
        log.info("the database is there, after %.1f s", time.monotonic() - began)


async def _reason_to_wait(prepare: Callable[[], Awaitable[object]], place: str) -> str | None:
    """Run `prepare` once; None: it is done."""
    try:
        await prepare()
    except (StoreUnavailableError, sa.exc.ProgrammingError) as error:
        outlook = classify_error(error)
        if outlook is ErrorKind.PASSES:
            return f"waits for the database {place}: {reason_of(error)}"
        if outlook is ErrorKind.STAYS:
            what = f"the database {place} cannot be used, and waiting for it would not help"
            raise StoreUnavailableError(what) from error
        if error.__cause__ is not None and isinstance(error, StoreUnavailableError):
            raise error.__cause__ from None  # not as what it was taken for: nothing is away
        raise
    return None


def classify_error(error: BaseException) -> ErrorKind:
    """What becomes of an error that a driver has raised, or that was raised from one."""
    chain = list(causes(error))
    found = (_classify(each) for each in reversed(chain))
    return next((outlook for outlook in found if outlook), ErrorKind.PASSES if len(chain) == 1 else ErrorKind.FAULT)


def _classify(error: BaseException) -> ErrorKind | None:
    """The same for one of its causes; None where that says nothing."""
    if state := getattr(error, "sqlstate", None):
        return next((each for begin, each in _OF_STATES.items() if str(state).startswith(begin)), ErrorKind.FAULT)
    if code := getattr(error, "sqlite_errorcode", None):
        return _classify_on_sqlite(int(code) & _PRIMARY_CODE)
    if isinstance(error, ClientConfigurationError) or _NO_TLS in str(error):
        return ErrorKind.STAYS
    if isinstance(error, ssl.SSLError) and not isinstance(error, _INTERRUPTED):
        return ErrorKind.STAYS
    lost = getattr(error, "connection_invalidated", False)
    # PEP 249's OperationalError: a driver's, of a connection that has come to nothing and so has no code.
    if lost or isinstance(error, (OSError, sa.exc.TimeoutError)) or type(error).__name__ == "OperationalError":
        return ErrorKind.PASSES
    return None


def _classify_on_sqlite(code: int) -> ErrorKind:
    if code in _FAULTS_ON_SQLITE:
        return ErrorKind.FAULT
    return ErrorKind.PASSES if code in _BUSY_ON_SQLITE else ErrorKind.STAYS


@dataclass(slots=True)
class LogThrottle:
    """When the log is told what is waited for: at once, when it changes, and now and again. Times are in seconds."""

    reason: str = ""
    told_at: float = 0.0

    def is_due(self, reason: str, now: float) -> bool:
        """Whether to tell it now; then it counts as told."""
        if reason == self.reason and now < self.told_at + REPEAT_SECONDS:
            return False
        self.reason, self.told_at = reason, now
        return True


def _place(url: sa.URL) -> str:
    """Where the database is, without who asks."""
    if url.get_backend_name() == SQLITE:
        return str(url.database)
    return f"{url.database} at {url.host or 'localhost'}:{url.port or 5432}"
