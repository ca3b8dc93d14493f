"""The event log of users, and the events of releases that write none.

Events are written in the transaction that changes the user's row. The row has the current state, for lists, lookups and
the unique e-mail address. `recorded_at` is the change up to which events are recorded. A release without events does
not update it while it runs beside this one during a rollout; its changes are then found by comparing the row with the
sum of the events, and recorded with the actor `unknown`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from services.common.event_sourcing.event_store import Entity
from services.common.event_sourcing.event_types import StoredEvent
from services.user.domain import User
from services.user.events import TYPES, UserDeleted, events_between, evolve
from services.user.tables import events, snapshots, users

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.common.event_sourcing.event_store import EventStore
    from services.user.events import Event

SOURCE = "user"
UNKNOWN_ACTOR = "unknown"
SNAPSHOT_EVERY = 100
BATCH = 20
"""Users reconciled in one transaction, which locks all of them."""
_ENDED = f"demo.{SOURCE}.{TYPES.type_of(UserDeleted())}"


USERS = Entity(SOURCE, events, snapshots, TYPES, User, evolve, SNAPSHOT_EVERY)


async def unaccounted(connection: AsyncConnection, limit: int = BATCH) -> list[str]:
    """Ids of users whose rows were changed, created or deleted without events."""
    stale = sa.or_(users.c.recorded_at.is_(None), users.c.recorded_at != users.c.updated_at)
    found = list(await connection.scalars(sa.select(users.c.id).where(stale).limit(limit)))
    alive = sa.select(events.c.subject).group_by(events.c.subject)
    ended = sa.select(events.c.subject).where(events.c.type == _ENDED)
    gone = alive.where(events.c.subject.not_in(sa.select(users.c.id)), events.c.subject.not_in(ended)).limit(limit)
    return found + list(await connection.scalars(gone))


async def locked(
    store: EventStore[User, Event], connection: AsyncConnection, user_id: str
) -> tuple[User | None, list[StoredEvent[Event]]]:
    """Locks the user's row until the transaction ends; returns the user, and the events that are missing in its
    history."""
    query = sa.select(users).where(users.c.id == user_id).with_for_update()
    row = (await connection.execute(query)).one_or_none()
    return (None, []) if row is None else (user_of(row), await _missing(store, connection, row))


async def make_up(
    connection: AsyncConnection, store: EventStore[User, Event], user_ids: Sequence[str], now: datetime
) -> int:
    """Records the missing events of those users; returns the number of users that had any.

    Rows are locked in order before events are appended, as by every change of a user.
    """
    query = sa.select(users).where(users.c.id.in_(user_ids)).order_by(users.c.id).with_for_update()
    rows = {row.id: row for row in await connection.execute(query)}
    stale = [row for row in rows.values() if row.recorded_at != row.updated_at]
    lacking = {row.id: await _missing(store, connection, row) for row in stale}
    for row in stale:
        mark = sa.update(users).where(users.c.id == row.id)
        await connection.execute(mark.values(recorded_at=row.updated_at))
    ended = sa.select(events.c.subject).where(events.c.type == _ENDED, events.c.subject.in_(user_ids))
    gone = set(user_ids) - rows.keys() - set(await connection.scalars(ended))
    lacking |= {user_id: [StoredEvent(0, UserDeleted(), now, UNKNOWN_ACTOR)] for user_id in sorted(gone)}
    for user_id, missing in lacking.items():
        await store.append(connection, user_id, missing)
    return len(lacking)


async def _missing(
    store: EventStore[User, Event], connection: AsyncConnection, row: sa.Row[Any]
) -> list[StoredEvent[Event]]:
    if row.recorded_at == row.updated_at:
        return []
    before, version = await store.state(connection, row.id)
    at = row.created_at if before is None else row.updated_at
    missing = events_between(before, user_of(row))
    return [StoredEvent(version + number, event, at, UNKNOWN_ACTOR) for number, event in enumerate(missing, 1)]


def user_of(row: sa.Row[Any]) -> User:
    """The user as its row has it."""
    return User(
        id=row.id,
        name=row.name,
        email=row.email,
        phone=row.phone,
        active=row.active,
        created_at=row.created_at,
        updated_at=row.updated_at,
        avatar=row.avatar,
        balance_cents=row.balance_cents,
    )
