"""PostgreSQL by psycopg: connections that give up on a silent server, and the codes of refused connections.

A statement has two limits. The server's own (`statement_timeout`) cancels it and keeps the connection. If even that
answer does not come, because the server hangs or the network drops packets, the connection is closed here.

libpq has no SQLSTATE for a refused connection, only a message (psycopg/psycopg#1188), but what depends on the reason
needs one: a missing database is created, a wrong password ends a service at its start. So `refusal` finds the code by
the message. The server translates its messages by its `lc_messages`: an unknown one has no code, and counts as a
transient error, which is retried and logged.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy.ext.asyncio import create_async_engine

from meshwright.config import environment

if TYPE_CHECKING:
    import sqlalchemy as sa
    from psycopg.abc import PQGen
    from sqlalchemy.ext.asyncio import AsyncEngine

RV = TypeVar("RV")

CONNECT_SECONDS = 3
STATEMENT_SECONDS = 5
"""The server's timeout of a statement."""
SILENCE_SECONDS = STATEMENT_SECONDS + 1.0
"""How long an answer may take before the connection is closed."""
VERIFYING = frozenset({"verify-ca", "verify-full"})
"""The values of `sslmode` that need a root certificate."""
_POLL_SECONDS = 0.1
_SILENT = "no answer in time"

_REFUSALS = tuple(
    (re.compile(pattern), sqlstate)
    for pattern, sqlstate in (
        (r"FATAL: +database \S.* does not exist", "3D000"),
        (r"FATAL: +database \S.* is not currently accepting connections", "55000"),
        (r"FATAL: +permission denied", "42501"),
        (r"FATAL: +password authentication failed|no password supplied", "28P01"),
        (r"FATAL: +role \S.* (does not exist|is not permitted)", "28000"),
        (r"FATAL: +(no pg_hba.conf entry|.* authentication failed)", "28000"),
        (r"FATAL: +(sorry, )?(too many|remaining) ", "53300"),
        (r"FATAL: +the database system is ", "57P03"),
        # libpq's own, about TLS settings that do not match. An interrupted handshake has no code.
        (r"server does not support SSL|SSL error: (?!unexpected eof)", "28000"),
        (r"(certificate|private key|channel binding|authentication method) ", "28000"),
    )
)
"""SQLSTATEs by what the server or libpq says; the first match decides."""


class RefusedConnectionError(psycopg.OperationalError):
    """The server refuses the connection, or its TLS settings do not match; `sqlstate` says which."""

    def __init__(self, message: str, sqlstate: str) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class Connection(psycopg.AsyncConnection[Any]):
    """A connection that closes itself if an answer takes longer than SILENCE_SECONDS."""

    async def wait(self, gen: PQGen[RV], interval: float = _POLL_SECONDS, timeout: float | None = None) -> RV:
        try:
            return await super().wait(gen, interval, SILENCE_SECONDS if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise
            self.pgconn.finish()
            raise psycopg.OperationalError(_SILENT) from None


async def connect(**options: Any) -> Connection:
    """Opens a connection. Raises psycopg.OperationalError, with the SQLSTATE of known refusals."""
    _check_root_certificate(str(options.get("sslmode", "")))
    try:
        return await Connection.connect(**options)
    except psycopg.errors.ConnectionTimeout:
        raise psycopg.OperationalError(_SILENT) from None
    except psycopg.OperationalError as error:
        raise refusal(error) from None


def _check_root_certificate(sslmode: str) -> None:
    """libpq misses the file only once the server has answered: a service would wait for that to say so."""
    file = environment().get("PGSSLROOTCERT") or str(Path.home() / ".postgresql/root.crt")
    if sslmode in VERIFYING and file != "system" and not Path(file).exists():
        message = f'root certificate file "{file}" does not exist; PGSSLROOTCERT names another, or "system"'
        raise RefusedConnectionError(message, "28000")


def refusal(error: psycopg.OperationalError) -> psycopg.OperationalError:
    """The error of a refused connection with its SQLSTATE; the error itself if its message is unknown."""
    # Further lines are libpq's hints, and the failures of the host's other addresses.
    message = str(error).partition("\n")[0]
    for pattern, sqlstate in _REFUSALS:
        if pattern.search(message):
            return RefusedConnectionError(message.rpartition(" failed: ")[2].removeprefix("FATAL:").strip(), sqlstate)
    return error


def open_server(url: sa.URL, *, pool_seconds: float) -> AsyncEngine:
    """An engine for the server's database; `pool_seconds`: how long a task waits for a connection."""
    return create_async_engine(
        url,
        pool_size=5,
        max_overflow=5,
        pool_timeout=pool_seconds,
        pool_pre_ping=True,
        use_native_hstore=False,
        connect_args={
            "async_creator_fn": connect,
            "connect_timeout": CONNECT_SECONDS,
            # Times come in the session's zone, in which those at the end of the calendar may have no date.
            "options": f"-c statement_timeout={STATEMENT_SECONDS * 1000} -c timezone=UTC",
        },
    )
