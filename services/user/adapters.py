"""Users in a database, and the client of the calculator.

Every method is one transaction, which locks the user's row first: concurrent changes of a user are serialised.

A unique constraint, not a query, ensures unique e-mail addresses: replicas may insert concurrently.
"""

from __future__ import annotations

import contextlib
import functools
import json
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects import postgresql, sqlite

from demo.calculator.v1 import calculator_pb2 as calculator_pb
from services.common.event_sourcing.event_store import EventStore
from services.common.event_sourcing.event_types import StoredEvent
from services.common.storage.consistency_token import record_write
from services.common.storage.database import POSTGRESQL, translate_store_errors
from services.common.storage.transactions import in_transaction
from services.user.app import ANONYMOUS, utc_now
from services.user.domain import EmailTakenError, User
from services.user.event_log import SOURCE, USERS, locked, make_up, unaccounted, user_of
from services.user.events import TYPES, BalanceUpdated, UserDeleted, events_between
from services.user.migrations import migrate
from services.user.tables import events, places, users

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from demo.calculator.v1 import calculator_pb2_grpc as calculator_rpc
    from services.user.events import Event

PAYMENT = "payment"


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Converts driver errors to errors of the application."""
    with translate_store_errors():
        try:
            yield
        except exc.IntegrityError as error:
            if users.c.email_key.name in str(error.orig):  # both databases name the constraint or its column
                raise EmailTakenError from error
            raise


async def prepare_database(engine: AsyncEngine) -> None:
    """Migrates the tables; raises StoreUnavailableError."""
    with _translated():
        await migrate(engine)


class DatabaseUsers:
    """Users in the table `users`, each change with its events.

    Each write sets the call's consistency token, with which callers read their own writes elsewhere.
    """

    def __init__(self, engine: AsyncEngine, now: Callable[[], datetime] = utc_now) -> None:
        self._reading = engine
        self._writing = engine.execution_options(writes=True)
        self._now = now
        self._store = EventStore(USERS, engine)
        self.log = self._store.log
        """All events in order, for the outbox publisher."""

    async def add(self, user: User, actor: str = ANONYMOUS) -> None:
        with _translated():
            async with self._writing.begin() as connection:
                await connection.execute(sa.insert(users).values(_row(user)))
                happened = [StoredEvent(0, event, user.created_at, actor) for event in events_between(None, user)]
                sequence = await self._store.append(connection, user.id, happened)
        record_write(SOURCE, sequence)

    async def get(self, user_id: str) -> User | None:
        with _translated():
            async with self._reading.connect() as connection:
                return await _found(connection, user_id)

    async def replace(self, before: User, after: User, actor: str = ANONYMOUS) -> bool:
        with _translated():
            async with self._writing.begin() as connection:
                found, missing = await locked(self._store, connection, before.id)
                if found is None or found.updated_at != before.updated_at:
                    return False
                await connection.execute(sa.update(users).where(users.c.id == before.id).values(_row(after)))
                happened = [StoredEvent(0, event, after.updated_at, actor) for event in events_between(before, after)]
                sequence = await self._store.append(connection, after.id, [*missing, *happened])
        record_write(SOURCE, sequence)
        return True

    async def remove(self, user_id: str, actor: str = ANONYMOUS, seen: datetime | None = None) -> bool:
        with _translated():
            async with self._writing.begin() as connection:
                found, missing = await locked(self._store, connection, user_id)
                if found is None or seen not in {None, found.updated_at}:
                    return False
                await connection.execute(sa.delete(users).where(users.c.id == user_id))
                gone: StoredEvent[Event] = StoredEvent(0, UserDeleted(), self._now(), actor)
                sequence = await self._store.append(connection, user_id, [*missing, gone])
        record_write(SOURCE, sequence)
        return True

    async def page(self, after: str, limit: int) -> Sequence[User]:
        query = sa.select(users).where(users.c.id > after).order_by(users.c.id).limit(limit)
        with _translated():
            async with self._reading.connect() as connection:
                return [user_of(row) for row in await connection.execute(query)]

    async def at(self, user_id: str, moment: datetime) -> tuple[User | None, int]:
        with _translated():
            async with self._reading.connect() as connection:
                return await self._store.state(connection, user_id, moment)

    async def history(self, user_id: str, after: int = 0, limit: int | None = None) -> Sequence[StoredEvent[Event]]:
        with _translated():
            async with self._reading.connect() as connection:
                return await self._store.history(connection, user_id, after, limit)

    async def reconcile(self) -> int:
        """Records changes of releases without events; returns the number of users. Raises StoreUnavailableError."""
        count = 0
        while True:
            with _translated():
                async with self._reading.connect() as connection:
                    found = await unaccounted(connection)
                if not found:
                    return count
                # If another replica records the same, the transaction runs again and finds it recorded.
                work = functools.partial(make_up, store=self._store, user_ids=found, now=self._now())
                count += await in_transaction(self._reading, work)

    async def place(self, source: str) -> int:
        """The sequence up to which events of another service were consumed."""
        with _translated():
            async with self._reading.connect() as connection:
                return await connection.scalar(sa.select(places.c.place).where(places.c.source == source)) or 0

    async def restart_consumer(self, source: str, place: int) -> None:
        """Consumes the events of another service from the first one, unless another replica has changed `place`."""
        change = sa.update(places).where(places.c.source == source, places.c.place == place)
        with _translated():
            async with self._writing.begin() as connection:
                await connection.execute(change.values(place=0))

    async def record_balance(self, place: int, user_id: str, event: BalanceUpdated, at: datetime) -> bool:
        """Records a balance and the sequence of its event; returns whether both are new and the user exists.

        After `restart_consumer` events are repeated: those in the user's history are ignored.
        """
        with _translated():
            async with self._writing.begin() as connection:
                if not await _take_place(connection, PAYMENT, place):
                    return False
                found, missing = await locked(self._store, connection, user_id)
                if found is None or await _is_recorded(connection, user_id, event, at):
                    return False
                change = sa.update(users).where(users.c.id == user_id)
                await connection.execute(
                    change.values(balance_cents=event.new_balance_cents, recorded_at=found.updated_at)
                )
                await self._store.append(connection, user_id, [*missing, StoredEvent(0, event, at, PAYMENT)])
        return True


async def _is_recorded(connection: AsyncConnection, user_id: str, event: BalanceUpdated, at: datetime) -> bool:
    kind = f"demo.{SOURCE}.{TYPES.type_of(event)}"
    same = (events.c.subject == user_id, events.c.occurred_at == at, events.c.type == kind)
    told = await connection.scalars(sa.select(events.c.data).where(*same))
    return any(json.loads(data)["key"] == event.key for data in told)


async def _found(connection: AsyncConnection, user_id: str) -> User | None:
    row = (await connection.execute(sa.select(users).where(users.c.id == user_id))).one_or_none()
    return None if row is None else user_of(row)


async def _take_place(connection: AsyncConnection, source: str, place: int) -> bool:
    """Stores the sequence, unless it is not above the stored one."""
    insert = postgresql.insert if connection.dialect.name == POSTGRESQL else sqlite.insert
    statement = insert(places).values(source=source, place=place)
    taken = statement.on_conflict_do_update(
        index_elements=["source"], set_={"place": place}, where=places.c.place < statement.excluded.place
    )
    # A driver forgets the number of inserted rows unless it is asked to keep it.
    return (await connection.execute(taken, execution_options={"preserve_rowcount": True})).rowcount == 1


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
        "recorded_at": user.updated_at,
    }


class CalculatorMultiplier:
    """Multiplies with the calculator, over the mesh.

    Its errors pass unchanged: UNAVAILABLE stays UNAVAILABLE, and any other error is a bug in the request.
    """

    def __init__(self, calculator: calculator_rpc.CalculatorStub) -> None:
        self._calculator = calculator

    async def product(self, a: float, b: float) -> float:
        answer: calculator_pb.Result = await self._calculator.Multiply(calculator_pb.Numbers(a=a, b=b))
        return answer.value
