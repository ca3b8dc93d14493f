"""Views in a database, by generation, and the ends of their source logs.

Each batch of events is one transaction: it advances the stored sequence, on the condition that it is still where the
batch begins, and changes the views. So each event is applied once, however many replicas consume, whatever crashes.

A rebuild fills a second generation from the first event while the first generation serves reads. A read selects the
current generation within its statement, and so never mixes two generations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from nats.js import errors as js_errors
from sqlalchemy import exc

from services.common.messaging.bus import translate_bus_errors
from services.common.messaging.events import InvalidEventError, decode, stream_of
from services.common.messaging.stream_reader import StreamReader
from services.common.runtime.errors import StoreUnavailableError
from services.common.storage.database import translate_store_errors
from services.common.storage.transactions import in_transaction, make_tables
from services.userview.app import SourceHead, ViewProgress
from services.userview.domain import (
    DELETED,
    PAYMENT,
    POSITIONS,
    SOURCES,
    RebuildRunningError,
    UserView,
    ViewEvent,
    apply_event,
    payment_seen,
)
from services.userview.tables import BUILDING, CURRENT, RETIRED, generations, metadata, places, views, with_words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from services.common.messaging.bus import Bus
    from services.common.messaging.event_consumer import EventBatch
    from services.common.messaging.events import Event

SWEEP = 1000
"""Rows of a retired generation deleted per transaction, to keep locks short."""
_CURRENT = sa.select(generations.c.number).where(generations.c.state == CURRENT).scalar_subquery()
_SHOWN = (views.c.generation == _CURRENT, views.c.known, views.c.status != DELETED)


def view_event_of(event: Event) -> ViewEvent:
    return ViewEvent(event.source, event.name, event.subject, event.time, event.data)


class DatabaseViews:
    """The views. Every method may raise StoreUnavailableError."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writing = engine.execution_options(writes=True)

    async def prepare(self) -> None:
        """Creates missing tables and the first generation."""
        await make_tables(self._engine, metadata)

        async def first(connection: AsyncConnection) -> None:
            if await connection.scalar(sa.select(sa.func.count()).select_from(generations)) == 0:
                await _begin(connection, 1, CURRENT)

        await in_transaction(self._engine, first)

    # Reads

    async def get(self, user_id: str) -> UserView | None:
        query = sa.select(views).where(views.c.generation == _CURRENT, views.c.id == user_id)
        with translate_store_errors():
            async with self._engine.connect() as connection:
                row = (await connection.execute(query)).one_or_none()
        return None if row is None else _view(row)

    async def matching(self, terms: Sequence[str], limit: int) -> Sequence[UserView]:
        condition = with_words(self._engine.dialect.name, list(terms))
        return await self._many(sa.select(views).where(*_SHOWN, condition).order_by(views.c.id).limit(limit))

    async def page(self, after: str, limit: int) -> Sequence[UserView]:
        return await self._many(sa.select(views).where(*_SHOWN, views.c.id > after).order_by(views.c.id).limit(limit))

    async def _many(self, query: sa.Select[Any]) -> Sequence[UserView]:
        with translate_store_errors():
            async with self._engine.connect() as connection:
                return [_view(row) for row in await connection.execute(query)]

    async def progress(self) -> ViewProgress:
        query = sa.select(generations.c.state, places).join(places, places.c.generation == generations.c.number)
        with translate_store_errors():
            async with self._engine.connect() as connection:
                rows = (await connection.execute(query)).all()
        current = [row for row in rows if row.state == CURRENT]
        return ViewProgress(
            generation=current[0].generation,
            positions={row.source: row.position for row in current},
            places={row.source: row.place for row in current},
            rebuilding=any(row.state == BUILDING for row in rows),
        )

    # Writes

    async def generations(self) -> dict[int, str]:
        """The state of each generation."""
        query = sa.select(generations)
        with translate_store_errors():
            async with self._engine.connect() as connection:
                return {row.number: row.state for row in await connection.execute(query)}

    async def place(self, generation: int, source: str) -> int | None:
        """The sequence up to which that generation has consumed; None: it is gone."""
        query = sa.select(places.c.place).where(places.c.generation == generation, places.c.source == source)
        with translate_store_errors():
            async with self._engine.connect() as connection:
                return await connection.scalar(query)

    async def apply(
        self, generation: int, source: str, batch: EventBatch, counted: Callable[[EventBatch], None] = lambda _: None
    ) -> bool:
        """Applies the batch's new events to the generation; False: it is gone. `counted` is called with the events
        applied by this call; other replicas have applied the rest."""
        while True:
            place = await self.place(generation, source)
            if place is None:
                return False
            if place < batch.start:
                raise StoreUnavailableError("the views were lost; rebuilding")
            rest = batch.after(place)
            if rest is None:
                return True
            if await self._apply(generation, source, place, rest):
                counted(rest)
                return True

    async def _apply(self, generation: int, source: str, place: int, batch: EventBatch) -> bool:
        """False if another replica has advanced the sequence meanwhile."""
        view_events = [view_event_of(event) for _, event in batch.events]

        async def work(connection: AsyncConnection) -> bool:
            new = {"place": batch.place, "position": batch.events[-1][1].sequence}
            if not await _move(connection, generation, source, new, places.c.place == place):
                return False
            await _apply_events(connection, generation, view_events)
            payment = max(map(payment_seen, view_events))
            await _move(connection, generation, PAYMENT, {"position": payment}, places.c.position < payment)
            return True

        return await in_transaction(self._engine, work)

    async def begin_rebuild(self) -> None:
        newest = sa.select(sa.func.max(generations.c.number))
        try:
            with translate_store_errors():
                async with self._writing.begin() as connection:
                    await _begin(connection, (await connection.scalar(newest) or 0) + 1, BUILDING)
        except exc.IntegrityError as error:
            raise RebuildRunningError from error

    async def begin_anew(self, generation: int, source: str, place: int, end: int) -> None:
        """Rebuilds the views because the stream of that source was recreated, and ends at `end`, before `place`.

        The current generation serves reads meanwhile, and continues at `end`; the new one consumes all events.
        """

        async def work(connection: AsyncConnection) -> None:
            still = places.c.place == place
            if not await _move(connection, generation, source, {"place": end, "position": 0}, still):
                return
            # An unfinished generation has consumed the lost stream, and is retired.
            building = generations.c.state == BUILDING
            await connection.execute(sa.update(generations).where(building).values(state=RETIRED))
            newest = await connection.scalar(sa.select(sa.func.max(generations.c.number)))
            await _begin(connection, (newest or 0) + 1, BUILDING)

        await in_transaction(self._engine, work)

    async def switch(self) -> bool:
        """Makes the new generation current if it has caught up; returns whether it did."""

        async def work(connection: AsyncConnection) -> bool:
            old = await _places(connection, CURRENT)
            new = await _places(connection, BUILDING)
            # If another replica was first, there is nothing to switch or to compare.
            if not (old and new) or any(new[source] < old[source] for source in SOURCES):
                return False
            for before, after in ((CURRENT, RETIRED), (BUILDING, CURRENT)):
                change = sa.update(generations).where(generations.c.state == before).values(state=after)
                await connection.execute(change)
            return True

        return await in_transaction(self._engine, work)

    async def sweep(self) -> None:
        """Deletes retired generations: their sequences first, which stops writes to their views, and themselves last,
        so that an interrupted deletion is continued."""
        past = [number for number, state in (await self.generations()).items() if state == RETIRED]
        for number in past:
            # One transaction each, to avoid deadlocks with consumers.
            for source in POSITIONS:
                await self._deleted(sa.delete(places).where(places.c.generation == number, places.c.source == source))
        some = sa.select(views.c.number).where(views.c.generation.in_(past)).limit(SWEEP)
        # Rows locked by another replica's deletion are left to it.
        free = some.order_by(views.c.number).with_for_update(skip_locked=True)
        while await self._deleted(sa.delete(views).where(views.c.number.in_(free))):
            pass
        left = sa.exists().where(views.c.generation == generations.c.number)
        for number in past:
            await self._deleted(sa.delete(generations).where(generations.c.number == number, ~left))

    async def _deleted(self, statement: sa.Delete) -> int:
        """Returns the number of deleted rows."""
        with translate_store_errors():
            async with self._writing.begin() as connection:
                return (await connection.execute(statement)).rowcount


class StreamSources:
    """The ends of the source logs in NATS."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def head(self, source: str, place: int) -> SourceHead:
        reader = StreamReader(self._bus, stream_of(source))
        subject = f"events.{source}.>"
        try:
            with translate_bus_errors():
                await self._bus.ensure_stream(stream_of(source), subject)
            last = await reader.last(subject)
            following = await reader.next(subject, place + 1) if last and last.sequence > place else None
        except js_errors.NotFoundError:
            return SourceHead(0, None)
        try:
            position = decode(last.body).sequence if last else 0
        except InvalidEventError:
            position = 0
        return SourceHead(position, following.moment if following else None)


async def _begin(connection: AsyncConnection, number: int, state: str) -> None:
    await connection.execute(sa.insert(generations).values(number=number, state=state))
    rows = [{"generation": number, "source": source, "place": 0, "position": 0} for source in POSITIONS]
    await connection.execute(sa.insert(places), rows)


async def _move(
    connection: AsyncConnection, generation: int, source: str, new: dict[str, int], still: sa.ColumnElement[bool]
) -> bool:
    change = sa.update(places).where(places.c.generation == generation, places.c.source == source, still)
    return (await connection.execute(change.values(**new))).rowcount == 1


async def _places(connection: AsyncConnection, state: str) -> dict[str, int]:
    """The sequences of the generation in that state, with row locks if the database has them.

    Without that of payments, which a consumer updates last, while it holds another of these locks.
    """
    query = (
        sa.select(places.c.source, places.c.place)
        .join(generations, places.c.generation == generations.c.number)
        .where(generations.c.state == state, places.c.source.in_(SOURCES))
        .order_by(places.c.generation, places.c.source)
        .with_for_update()
    )
    return {row.source: row.place for row in await connection.execute(query)}


async def _apply_events(connection: AsyncConnection, generation: int, view_events: Sequence[ViewEvent]) -> None:
    """Applies the events to the views of that generation, in order."""
    concerned = sorted({view_event.user_id for view_event in view_events if view_event.user_id})
    # Row locks: consumers of the other source change the same views.
    condition = (views.c.generation == generation, views.c.id.in_(concerned))
    query = sa.select(views).where(*condition).order_by(views.c.id).with_for_update()
    rows = {row.id: row for row in await connection.execute(query)}
    before = {user_id: _view(row) for user_id, row in rows.items()}
    after = dict(before)
    for view_event in view_events:
        if user_id := view_event.user_id:
            after[user_id] = apply_event(after.get(user_id, UserView(user_id)), view_event)
    # Insert in one order to avoid deadlocks.
    new = [{"generation": generation, **_row(after[user_id])} for user_id in concerned if user_id not in before]
    changed = [
        {"at": rows[user_id].number, **_row(view)}
        for user_id, view in after.items()
        if user_id in before and view != before[user_id]
    ]
    if new:
        await connection.execute(sa.insert(views), new)
    if changed:
        update = sa.update(views).where(views.c.number == sa.bindparam("at"))
        await connection.execute(update, changed)


def _row(view: UserView) -> dict[str, Any]:
    return {
        "id": view.id,
        "name": view.name,
        "email": view.email,
        "status": view.status,
        "balance_cents": view.balance_cents,
        "last_activity": view.last_activity,
        "total_orders": view.total_orders,
        "phone": view.phone,
        "known": view.known,
        "words": view.words,
    }


def _view(row: sa.Row[Any]) -> UserView:
    return UserView(
        id=row.id,
        name=row.name,
        email=row.email,
        status=row.status,
        balance_cents=row.balance_cents,
        last_activity=row.last_activity,
        total_orders=row.total_orders,
        phone=row.phone,
        known=row.known,
    )
