"""One SQLAlchemy layer over SQLite and PostgreSQL.

Each service has a database of its own. With one PostgreSQL for all services (`DEMO_DATABASE_PER_SERVICE`), a service
uses the database `<given>_<service>` on the same server, and creates it if it is missing.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy import exc

from meshwright.config import env_field
from meshwright.errors import ValidationError, Violation
from services.common.runtime.errors import StoreUnavailableError
from services.common.storage.sqlite import open_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.ext.asyncio import AsyncEngine

SQLITE = "sqlite"
POSTGRESQL = "postgresql"
_DRIVERS = {
    SQLITE: "sqlite+aiosqlite",
    POSTGRESQL: "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
}
TLS_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
MAX_PORT = 65535
POOL_SECONDS = 3.0
_LOST = frozenset({"42P01", "3D000", "3F000"})
"""PostgreSQL's codes for a missing table, database and schema."""
_LOST_ON_SQLITE = "no such table"
_OURS = (exc.IntegrityError, exc.ProgrammingError, exc.DataError, exc.NotSupportedError)
"""Errors of the statement. All others that a driver reports concern the database's state or the connection."""


@dataclass(frozen=True, slots=True)
class Databases:
    """How services share a database server."""

    per_service: bool = env_field(
        "DEMO_DATABASE_PER_SERVICE",
        default=False,
        help="true: each service takes a database of its own beside the one given",
    )


def parse_database(variable: str, text: str) -> sa.URL:
    """Parses the URL that `variable` holds, and sets the driver. Raises ValidationError, without the password."""
    try:
        url = sa.make_url(text)
        url = url.set(drivername=_DRIVERS[url.drivername.partition("+")[0]])
    except (exc.ArgumentError, KeyError, ValueError):
        what = "must be sqlite:///<file> or postgresql://<user>:<password>@<host>:<port>/<database>"
        raise ValidationError("the environment", [Violation(variable, what)]) from None
    if url.get_backend_name() != SQLITE:
        _check_server(variable, url)
        return _with_tls(variable, url)
    if not url.database or url.database == ":memory:":
        what = "must name a file, as in sqlite:///users.db: replicas cannot share a database in memory"
        raise ValidationError("the environment", [Violation(variable, what)])
    return url


def _check_server(variable: str, url: sa.URL) -> None:
    """Rejects invalid hosts and ports. Messages show none of it: it may be part of the password."""
    problems = []
    if url.port is not None and not 0 < url.port <= MAX_PORT:
        problems.append(Violation(variable, f"must have a port from 1 to {MAX_PORT}"))
    if "@" in f"{url.host}{url.database}":
        problems.append(
            Violation(variable, "has one @ too many: in the user and password, write @ as %40 and / as %2F")
        )
    try:
        (url.host or "").encode("idna")
    except UnicodeError:
        problems.append(Violation(variable, "must have a host name of labels of 1 to 63 characters with dots between"))
    if problems:
        raise ValidationError("the environment", problems)


def _with_tls(variable: str, url: sa.URL) -> sa.URL:
    """Takes libpq's `sslmode`, also as `ssl`; rejects every other parameter."""
    asked = dict(url.query)
    mode = asked.pop("sslmode", None) or asked.pop("ssl", None)
    if asked or mode not in {None, *TLS_MODES}:
        what = f"may ask for sslmode={'|'.join(TLS_MODES)} and nothing else"
        raise ValidationError("the environment", [Violation(variable, what)])
    return url.set(query={"sslmode": str(mode)} if mode else {})


def open_database(variable: str, text: str) -> AsyncEngine:
    """Creates an engine for the URL that `variable` holds. Raises ValidationError, which never shows the password."""
    url = parse_database(variable, text)
    return _sqlite(variable, url) if url.get_backend_name() == SQLITE else _server(url)


def service_database_url(text: str, service: str) -> str:
    """The URL of the service's own database on the given server; an SQLite URL is returned unchanged."""
    url = sa.make_url(text)
    if url.get_backend_name() == SQLITE:
        return text
    return url.set(database=f"{url.database or 'postgres'}_{service}").render_as_string(hide_password=False)


async def ensure_database(given: str, own: str) -> None:
    """Creates the PostgreSQL database `own` over a connection to `given`, if it is missing. Raises
    StoreUnavailableError."""
    if given == own:
        return
    engine = _server(parse_database("", given))
    name = str(sa.make_url(own).database)
    known = sa.text("SELECT 1 FROM pg_database WHERE datname = :name")
    try:
        with translate_store_errors():
            async with engine.connect() as connection:
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                if await connection.scalar(known, {"name": name}) is None:
                    quoted = engine.dialect.identifier_preparer.quote_identifier(name)
                    try:
                        await connection.execute(sa.text(f"CREATE DATABASE {quoted}"))
                    except (exc.ProgrammingError, exc.IntegrityError):
                        # Another replica may have created it meanwhile: both errors say so.
                        if await connection.scalar(known, {"name": name}) is None:
                            raise
    finally:
        await engine.dispose()


def _server(url: sa.URL) -> AsyncEngine:
    # The driver takes 6 MB, which a service with a file of its own does without.
    from services.common.storage.postgresql import open_server  # noqa: PLC0415

    return open_server(url, pool_seconds=POOL_SECONDS)


def _sqlite(variable: str, url: sa.URL) -> AsyncEngine:
    folder = Path(str(url.database)).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = f"is in a folder that cannot be made: {error.strerror}: {folder}"
        raise ValidationError("the environment", [Violation(variable, what)]) from None
    return open_file(url, pool_size=5, max_overflow=5, pool_timeout=POOL_SECONDS)


def is_missing(error: BaseException | None) -> bool:
    """Whether the error is a missing table or database, which existed when the service started."""
    while error is not None:
        original = getattr(error, "orig", None) or error
        if getattr(original, "sqlstate", None) in _LOST or _LOST_ON_SQLITE in str(original):
            return True
        error = error.__cause__
    return False


@contextlib.contextmanager
def translate_store_errors() -> Iterator[None]:
    """Converts driver errors that concern the database's state or the connection to StoreUnavailableError.

    Errors of the statement (IntegrityError among them) pass; a missing table counts as a state of the database.
    """
    try:
        yield
    except exc.DBAPIError as error:
        if isinstance(error, _OURS) and not is_missing(error):
            raise
        raise StoreUnavailableError from error
    except (exc.TimeoutError, OSError, TimeoutError) as error:
        raise StoreUnavailableError from error
