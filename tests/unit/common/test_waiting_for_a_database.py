"""What is waited for when a service starts, what ends it, and what the log hears meanwhile."""

from __future__ import annotations

import asyncio
import itertools
import logging
import sqlite3
from typing import TYPE_CHECKING

import psycopg
import pytest
import sqlalchemy as sa

from services.common.runtime.errors import StoreUnavailableError, with_cause
from services.common.storage.database import open_database
from services.common.storage.database_wait import (
    REPEAT_SECONDS,
    ErrorKind,
    LogThrottle,
    classify_error,
    wait_for_database,
)
from services.common.storage.postgresql import refusal
from services.common.storage.table_recovery import HEALTH_CAUSE

if TYPE_CHECKING:
    from collections.abc import Sequence

URL = "postgresql://ada:secret@db.shop:5432/shop"
PLACE = "shop at db.shop:5432 (X)"


class Health:
    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}

    def hold(self, cause: str, reason: str) -> None:
        self.reasons[cause] = reason

    def release(self, cause: str) -> None:
        self.reasons.pop(cause, None)


class PostgresLikeError(Exception):
    def __init__(self, sqlstate: str, what: str = "no") -> None:
        super().__init__(what)
        self.sqlstate = sqlstate


def sqlite_error(statement: str) -> sqlite3.Error:
    try:
        sqlite3.connect(":memory:").execute(statement)
    except sqlite3.Error as error:
        return error
    raise AssertionError(f"{statement} fails")


def away(*innermost: BaseException) -> StoreUnavailableError:
    """As adapters raise it; each cause was raised from the one before."""
    chain = [*innermost, StoreUnavailableError()]
    for cause, error in itertools.pairwise(chain):
        error.__cause__ = cause
    made = chain[-1]
    assert isinstance(made, StoreUnavailableError)
    return made


async def ready(health: Health, *outcomes: BaseException | None) -> None:
    """Each try of `prepare` has the next outcome."""
    tries = iter(outcomes)
    engine = open_database("X", URL)

    async def prepare() -> None:
        if error := next(tries):
            raise error

    await asyncio.wait_for(wait_for_database("X", engine, prepare, health), 20)
    assert next(tries, "no more") == "no more"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.common.storage.database_wait.FIRST_PAUSE_SECONDS", 0.0)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (away(ConnectionRefusedError(111, "no")), ErrorKind.TRANSIENT),
        (away(TimeoutError()), ErrorKind.TRANSIENT),
        (away(asyncio.CancelledError(), TimeoutError()), ErrorKind.TRANSIENT),
        (away(psycopg.OperationalError("connection failed: SSL SYSCALL error: EOF detected")), ErrorKind.TRANSIENT),
        (away(sa.exc.TimeoutError()), ErrorKind.TRANSIENT),
        (away(), ErrorKind.TRANSIENT),
        *(
            (away(PostgresLikeError(code)), ErrorKind.TRANSIENT)
            for code in ("57P03", "53300", "08006", "25006", "55006", "40P01")
        ),
        # Of a lost connection the driver says what the server had said last.
        (away(PostgresLikeError("57P01"), PostgresLikeError("08003")), ErrorKind.TRANSIENT),
        *(
            (away(PostgresLikeError(code)), ErrorKind.PERMANENT)
            for code in ("28P01", "28000", "3D000", "3F000", "42501", "55000")
        ),
        *((away(PostgresLikeError(code)), ErrorKind.BUG) for code in ("42P01", "42601", "22012", "25P02", "0A000")),
        (away(TypeError("no integer"), PostgresLikeError("22000")), ErrorKind.BUG),
        (away(ValueError("something new")), ErrorKind.BUG),
        (away(sqlite_error("FOO")), ErrorKind.BUG),
        (away(sqlite_error("SELECT * FROM nothing")), ErrorKind.BUG),
        (away(sqlite_error("ATTACH '/proc/none/none' AS x")), ErrorKind.PERMANENT),
    ],
)
def test_an_error_is_transient_or_permanent_or_a_bug(error: StoreUnavailableError, kind: ErrorKind) -> None:
    assert classify_error(error) is kind


SERVER = 'connection failed: connection to server at "10.0.0.1", port 5432 failed: '


@pytest.mark.parametrize(
    ("said", "kind", "sqlstate"),
    [
        ('FATAL:  database "shop" does not exist', ErrorKind.PERMANENT, "3D000"),
        ('FATAL:  database "shop" is not currently accepting connections', ErrorKind.PERMANENT, "55000"),
        ('FATAL:  permission denied for database "shop"', ErrorKind.PERMANENT, "42501"),
        ('FATAL:  password authentication failed for user "ada"', ErrorKind.PERMANENT, "28P01"),
        ("fe_sendauth: no password supplied", ErrorKind.PERMANENT, "28P01"),
        ('FATAL:  role "ada" does not exist', ErrorKind.PERMANENT, "28000"),
        ('FATAL:  role "ada" is not permitted to log in', ErrorKind.PERMANENT, "28000"),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.2", user "ada"', ErrorKind.PERMANENT, "28000"),
        ('FATAL:  Peer authentication failed for user "ada"', ErrorKind.PERMANENT, "28000"),
        ("server does not support SSL, but SSL was required", ErrorKind.PERMANENT, "28000"),
        ("SSL error: certificate verify failed", ErrorKind.PERMANENT, "28000"),
        ("SSL error: tlsv13 alert certificate required", ErrorKind.PERMANENT, "28000"),
        ('server certificate for "db" does not match host name "10.0.0.1"', ErrorKind.PERMANENT, "28000"),
        ('root certificate file "/root.crt" does not exist', ErrorKind.PERMANENT, "28000"),
        ("FATAL:  sorry, too many clients already", ErrorKind.TRANSIENT, "53300"),
        ("FATAL:  remaining connection slots are reserved for roles", ErrorKind.TRANSIENT, "53300"),
        ("FATAL:  the database system is starting up", ErrorKind.TRANSIENT, "57P03"),
        ("SSL error: unexpected eof while reading", ErrorKind.TRANSIENT, None),
        ("SSL SYSCALL error: Connection reset by peer", ErrorKind.TRANSIENT, None),
        ("Connection refused\n\tIs the server running on that host?", ErrorKind.TRANSIENT, None),
        # In another language it is not known.
        ("FATAL:  Datenbank \u00bbshop\u00ab existiert nicht", ErrorKind.TRANSIENT, None),
    ],
)
def test_a_refused_connection_has_the_code_that_its_message_tells(
    said: str, kind: ErrorKind, sqlstate: str | None
) -> None:
    error = refusal(psycopg.OperationalError(SERVER + said))
    assert error.sqlstate == sqlstate
    assert classify_error(away(error)) is kind
    assert sqlstate is None or str(error) == said.removeprefix("FATAL:  ")


def test_a_refusal_is_that_of_the_last_address() -> None:
    """The driver lists the failures of all addresses of a host below it."""
    last = f"{SERVER}Connection refused\nMultiple connection attempts failed. All failures were:\n- host: 'db'"
    error = psycopg.OperationalError(f'{last}: FATAL:  database "shop" does not exist')
    assert refusal(error) is error


def test_a_lock_that_another_process_holds_on_a_file_passes(tmp_path) -> None:
    first = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    other = sqlite3.connect(tmp_path / "x.db", isolation_level=None, timeout=0)
    first.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError) as caught:
        other.execute("BEGIN IMMEDIATE")
    first.close()
    other.close()
    assert classify_error(away(caught.value)) is ErrorKind.TRANSIENT


def test_what_was_being_handled_is_no_cause() -> None:
    """As where a driver tries again without TLS, and the server is gone by then."""
    lost = ConnectionRefusedError(111, "no")
    lost.__context__ = PostgresLikeError("28P01")
    error = away(lost)
    assert classify_error(error) is ErrorKind.TRANSIENT
    assert with_cause(error).endswith(": [Errno 111] no")


async def test_the_health_has_the_reason_of_now_until_the_database_is_there(caplog: pytest.LogCaptureFixture) -> None:
    health = Health()
    seen: list[dict[str, str]] = []
    outcomes: Sequence[BaseException | None] = [
        away(OSError("refused")),
        away(PostgresLikeError("57P03", "the database system is starting up\nDETAIL:  soon")),
        away(asyncio.CancelledError(), TimeoutError()),
        None,
    ]
    tries = iter(outcomes)

    async def prepare() -> None:
        seen.append(dict(health.reasons))
        if error := next(tries):
            raise error

    with caplog.at_level(logging.INFO, "services.common.storage.database_wait"):
        await asyncio.wait_for(wait_for_database("X", open_database("X", URL), prepare, health), 20)
    waits = f"waits for the database {PLACE}: "
    said = ["refused", "the database system is starting up DETAIL: soon", "no answer in time"]
    assert seen == [{}, *({HEALTH_CAUSE: waits + each} for each in said)]
    assert not health.reasons
    *warnings, last = caplog.messages
    assert warnings == [waits + each for each in said]
    assert last.startswith("the database is available after ")
    assert "secret" not in caplog.text


async def test_what_stays_the_same_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    await ready(Health(), *(away(OSError("refused")) for _ in range(4)), None)
    mine = [record for record in caplog.records if record.name == "services.common.storage.database_wait"]
    assert [record.levelname for record in mine if record.levelno >= logging.WARNING] == ["WARNING"]


def test_what_stays_the_same_is_logged_again_after_a_while() -> None:
    notice = LogThrottle()
    assert notice.is_due("refused", 100.0)
    assert not notice.is_due("refused", 99.9 + REPEAT_SECONDS)
    assert notice.is_due("refused", 100.0 + REPEAT_SECONDS)
    assert not notice.is_due("refused", 101.0 + REPEAT_SECONDS)
    assert notice.is_due("no answer in time", 102.0 + REPEAT_SECONDS)


async def test_what_stays_ends_the_wait_with_a_sentence() -> None:
    with pytest.raises(StoreUnavailableError) as caught:
        await ready(
            Health(), away(OSError("refused")), away(PostgresLikeError("28P01", "password authentication failed"))
        )
    what = "cannot be used, and waiting for it would not help: password authentication failed"
    assert with_cause(caught.value) == f"the database {PLACE} {what}"


@pytest.mark.parametrize("kind", [sa.exc.ProgrammingError, sa.exc.DBAPIError])
async def test_a_fault_of_the_code_is_raised_as_what_it_is(kind: type[sa.exc.DBAPIError]) -> None:
    """Also where an adapter took it for a database that is away."""
    fault = kind("SELECT", {}, PostgresLikeError("42601"))
    fault.__cause__ = fault.orig
    with pytest.raises(kind) as caught:
        await ready(Health(), fault if kind is sa.exc.ProgrammingError else away(fault))
    assert caught.value is fault
    with pytest.raises(ZeroDivisionError):
        await ready(Health(), ZeroDivisionError())
