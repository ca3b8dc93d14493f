"""Users in a database, and figures from the calculator.

Every method is one statement in a transaction of its own.

That an e-mail address is unique is the database's word, not a look before the leap: two replicas may leap at once.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import exc

from demo.calculator.v1 import calculator_pb2 as calculator_pb
from services.kit.database import translated
from services.user.domain import EmailTakenError, User
from services.user.migrations import migrate
from services.user.tables import users

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine

    from demo.calculator.v1 import calculator_pb2_grpc as calculator_rpc


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Turn what a driver raises into what the application knows."""
    with translated():
        try:
            yield
        except exc.IntegrityError as error:
            raise EmailTakenError from error


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
