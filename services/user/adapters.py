"""Users in a database, and figures from the calculator.

One SQLAlchemy layer serves SQLite and PostgreSQL. Every method is one statement in a transaction of its own, so that
several replicas can share one SQLite file: a writer that has read nothing before never holds a stale snapshot, which
is the one kind of "database is locked" that waiting does not cure. WAL lets readers go on beside the writer.

That an e-mail address is unique is the database's word, not a look before the leap: two replicas may leap at once.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.ext.asyncio import create_async_engine

from demo.calculator.v1 import calculator_pb2 as calculator_pb
from meshwright.errors import BadInputError, Problem
from services.user.app import StoreUnavailableError
from services.user.domain import EmailTakenError, User
from services.user.migrations import migrate
from services.user.tables import users

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine

    from demo.calculator.v1 import calculator_pb2_grpc as calculator_rpc

SQLITE = "sqlite"
POSTGRESQL = "postgresql"
_DRIVERS = {
    SQLITE: "sqlite+aiosqlite",
    POSTGRESQL: "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
}
BUSY_SECONDS = 5.0
"""How long a statement may take: on SQLite that is waiting for another process that writes to the same file."""
CONNECT_SECONDS = 3.0
POOL_SECONDS = 3.0
_OURS = (exc.IntegrityError, exc.ProgrammingError, exc.DataError, exc.NotSupportedError)
"""Errors of the statement. All others that a driver reports are of the database's state, or of the way to it."""


def open_database(variable: str, text: str) -> AsyncEngine:
    """An engine for the URL that `variable` holds; raises BadInputError, which never shows the URL's password."""
    try:
        url = sa.make_url(text)
        backend = url.drivername.partition("+")[0]
        url = url.set(drivername=_DRIVERS[backend])
    except (exc.ArgumentError, KeyError, ValueError):
        what = "must be sqlite:///<file> or postgresql://<user>:<password>@<host>:<port>/<database>"
        raise BadInputError("the environment", [Problem(variable, what)]) from None
    return _sqlite(variable, url) if backend == SQLITE else _postgresql(url)


def _postgresql(url: sa.URL) -> AsyncEngine:
    return create_async_engine(
        url,
        pool_size=5,
        max_overflow=5,
        pool_timeout=POOL_SECONDS,
        pool_pre_ping=True,
        connect_args={"timeout": CONNECT_SECONDS, "command_timeout": BUSY_SECONDS},
    )


def _sqlite(variable: str, url: sa.URL) -> AsyncEngine:
    if not url.database or url.database == ":memory:":
        what = "must name a file, as in sqlite:///users.db: replicas cannot share a database in memory"
        raise BadInputError("the environment", [Problem(variable, what)])
    Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_async_engine(url, pool_size=5, max_overflow=5, pool_timeout=POOL_SECONDS)
    sa.event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    sa.event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own BEGIN comes late and never is IMMEDIATE: we begin transactions ourselves.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Turn what a driver raises into what the application knows."""
    try:
        yield
    except exc.IntegrityError as error:
        raise EmailTakenError from error
    except exc.DBAPIError as error:
        if isinstance(error, _OURS):
            raise
        raise StoreUnavailableError from error
    except (exc.TimeoutError, OSError, TimeoutError) as error:
        raise StoreUnavailableError from error


async def prepare_database(engine: AsyncEngine) -> None:
    """Bring the tables up to date; raises StoreUnavailableError."""
    with _translated():
        await migrate(engine)


class DatabaseUsers:
    """Users in the table `users`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._reading = engine
        self._writing = engine.execution_options(writes=True)

    async def add(self, user: User) -> None:
        with _translated():
            async with self._writing.begin() as connection:
                await connection.execute(sa.insert(users).values(_row(user)))

    async def get(self, user_id: str) -> User | None:
        with _translated():
            async with self._reading.connect() as connection:
                row = (await connection.execute(sa.select(users).where(users.c.id == user_id))).one_or_none()
        return None if row is None else _user(row)

    async def replace(self, before: User, after: User) -> bool:
        same = sa.and_(users.c.id == before.id, users.c.updated_at == before.updated_at)
        with _translated():
            async with self._writing.begin() as connection:
                result = await connection.execute(sa.update(users).where(same).values(_row(after)))
        return result.rowcount == 1

    async def remove(self, user_id: str) -> bool:
        with _translated():
            async with self._writing.begin() as connection:
                result = await connection.execute(sa.delete(users).where(users.c.id == user_id))
        return result.rowcount == 1

    async def page(self, after: str, limit: int) -> Sequence[User]:
        query = sa.select(users).where(users.c.id > after).order_by(users.c.id).limit(limit)
        with _translated():
            async with self._reading.connect() as connection:
                return [_user(row) for row in await connection.execute(query)]


def _row(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "name": user.name,
        "email": user.email,
        "email_key": user.email_key,
        "phone": user.phone,
        "active": user.active,
        "created_at": user.created_at,
        "updated_at": user.updated_at,
        "avatar": user.avatar,
    }


def _user(row: sa.Row[Any]) -> User:
    return User(
        id=row.id,
        name=row.name,
        email=row.email,
        phone=row.phone,
        active=row.active,
        created_at=row.created_at,
        updated_at=row.updated_at,
        avatar=row.avatar,
    )


class CalculatorFigures:
    """Figures from the calculator, over the mesh.

    Its errors pass: "not now" stays "not now" one hop further, and anything else is a mistake in what we asked.
    """

    def __init__(self, calculator: calculator_rpc.CalculatorStub) -> None:
        self._calculator = calculator

    async def product(self, a: float, b: float) -> float:
        answer: calculator_pb.Result = await self._calculator.Multiply(calculator_pb.Numbers(a=a, b=b))
        return answer.value
