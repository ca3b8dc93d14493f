"""The event store: the histories of entities in one table, which is an outbox too.

Events are appended in the transaction that changes the entity's row, so that neither is without the other. An event has
a version in its entity's history and an id over all. A unique constraint on the version makes concurrency optimistic:
of two transactions that append the same version one fails with sqlalchemy.exc.IntegrityError.

The state of an entity is the sum of its events, now or at any time before. A snapshot of the state every so many events
limits the events to read.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import sqlalchemy as sa

from services.common.event_sourcing.event_types import StateCodec, StoredEvent
from services.common.messaging.outbox import Outbox, outbox_table
from services.common.storage.columns import UtcDateTime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from services.common.event_sourcing.event_types import EventTypes

E = TypeVar("E")
S = TypeVar("S")

TRACE = "traceparent"
"""The field in which an event may have the trace that it belongs to. It is stored in a column, not with the data."""


def event_tables(metadata: sa.MetaData, entity: str) -> tuple[sa.Table, sa.Table]:
    """Defines the tables of an entity such as `user` in `metadata`: its events, its snapshots."""
    events = outbox_table(
        metadata,
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("subject", "version", name=f"{entity}_events_version_unique"),
        name=f"{entity}_events",
    )
    snapshots = sa.Table(
        f"{entity}_snapshots",
        metadata,
        sa.Column(f"{entity}_id", sa.String(36), primary_key=True, key="subject"),
        sa.Column("version", sa.BigInteger, primary_key=True),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
    )
    return events, snapshots


@dataclass(frozen=True, slots=True)
class Entity(Generic[S, E]):
    """What has a history."""

    name: str
    """As in `user`: the service, and the source of its events."""
    events: sa.Table
    snapshots: sa.Table
    types: EventTypes[E]
    state: type[S]
    """The dataclass that events add up to."""
    evolve: Callable[[S | None, E, datetime, str], S | None]
    """Applies an event to the state (None: before the first one, or after the last one of a deleted entity)."""
    snapshot_every: int
    """Events between snapshots."""


class EventStore(Generic[S, E]):
    """The histories of all entities of one kind."""

    def __init__(self, entity: Entity[S, E], engine: AsyncEngine) -> None:
        self._entity = entity
        self._events, self._snapshots = entity.events, entity.snapshots
        self._codec = StateCodec(entity.state)
        self.log = Outbox(entity.name, entity.events, engine, entity.types.upcast)
        """All events in order, for the outbox publisher."""

    async def append(
        self,
        connection: AsyncConnection,
        subject: str,
        happened: Sequence[StoredEvent[E]],
        *,
        after: int | None = None,
        trace: str | None = None,
    ) -> int:
        """Appends events after the version `after` (None: the last one) and assigns their versions; returns the last
        one's sequence in the log, 0 without events. `trace`: their traceparent; None: the present one.

        Must be the last statement of the transaction.
        """
        version = await self._last_version(connection, subject) if after is None else after
        sequence = 0
        for one in happened:
            version += 1
            data = {**asdict(one.event), **({"actor": one.actor} if one.actor else {})}  # type: ignore[call-overload]
            more = {} if trace is None else {TRACE: trace}
            data.pop(TRACE, None)
            kind = self._entity.types.type_of(one.event)
            sequence = await self.log.add(connection, kind, subject, data, one.at, version=version, **more)
        every = self._entity.snapshot_every
        if version // every > (version - len(happened)) // every:
            await self._take_snapshot(connection, subject, version)
        return sequence

    async def history(
        self, connection: AsyncConnection, subject: str, after: int = 0, limit: int | None = None
    ) -> list[StoredEvent[E]]:
        """The events of an entity after that version, in their order; at most `limit`."""
        query = sa.select(self._events).where(self._events.c.subject == subject, self._events.c.version > after)
        found = await connection.execute(query.order_by(self._events.c.version).limit(limit))
        return [self._stored_event(row) for row in found]

    async def state(
        self, connection: AsyncConnection, subject: str, until: datetime | None = None
    ) -> tuple[S | None, int]:
        """The entity at that time, or now, and the version of its last event until then (0: none)."""
        table = self._snapshots
        query = sa.select(table).where(table.c.subject == subject).order_by(table.c.version.desc()).limit(1)
        if until is not None:
            query = query.where(table.c.at <= until)
        found = (await connection.execute(query)).one_or_none()
        start, version = (self._codec.decode(found.state), found.version) if found else (None, 0)
        if until is None:
            later = await self.history(connection, subject, version)
        else:
            # The next snapshot is after `until`, so an event after `until` precedes it.
            following = sa.select(sa.func.min(table.c.version)).where(table.c.subject == subject)
            end = await connection.scalar(following.where(table.c.version > version))
            later = await self.history(connection, subject, version, None if end is None else end - version)
            # Versions decide the order: clocks of replicas differ.
            later = later[: next((number for number, one in enumerate(later) if one.at > until), len(later))]
        return folded(self._entity.evolve, later, subject, start), later[-1].version if later else version

    async def _last_version(self, connection: AsyncConnection, subject: str) -> int:
        query = sa.select(sa.func.max(self._events.c.version)).where(self._events.c.subject == subject)
        return await connection.scalar(query) or 0

    async def _take_snapshot(self, connection: AsyncConnection, subject: str, version: int) -> None:
        """Stores a snapshot with the latest event's time: events of other services may be recorded late."""
        state, _ = await self.state(connection, subject)
        if state is not None:
            latest = sa.select(sa.func.max(self._events.c.occurred_at)).where(self._events.c.subject == subject)
            at = await connection.scalar(latest)
            row = {"subject": subject, "version": version, "at": at, "state": self._codec.encode(state)}
            await connection.execute(sa.insert(self._snapshots).values(row))

    def _stored_event(self, row: sa.Row[Any]) -> StoredEvent[E]:
        data = json.loads(row.data)
        event = self._entity.types.event_of(row.type, {TRACE: row.traceparent, **data})
        return StoredEvent(row.version, event, row.occurred_at, data.get("actor", ""))


def folded(
    evolve: Callable[[S | None, E, datetime, str], S | None],
    history: Iterable[StoredEvent[E]],
    subject: str,
    start: S | None = None,
) -> S | None:
    """Applies all events to `start`."""
    state = start
    for one in history:
        state = evolve(state, one.event, one.at, subject)
    return state
