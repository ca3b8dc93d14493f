"""The event log of users in the database: appends events, reads past states.

Events are written in the transaction that changes the user's row. The row has the current state, for lists, lookups and
the unique e-mail address. `recorded_at` is the change up to which events are recorded. A release without events does
not update it while it runs beside this one during a rollout; its changes are then found by comparing the row with the
sum of the events, and recorded with the actor `unknown`.

A snapshot every hundred events limits the events to read for a state.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from services.user.domain import User
from services.user.events import StoredEvent, UserDeleted, data_of, event_of, events_between, folded, type_of
from services.user.tables import events, snapshots, users

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.common.messaging.outbox import Outbox

SOURCE = "user"
UNKNOWN_ACTOR = "unknown"
SNAPSHOT_EVERY = 100
BATCH = 20
"""Users reconciled in one transaction, which locks all of them."""
_ENDED = f"demo.{SOURCE}.{type_of(UserDeleted())}"


async def append(connection: AsyncConnection, log: Outbox, user_id: str, happened: Sequence[StoredEvent]) -> int:
    """Appends events to the user's history and assigns their versions; returns the last one's sequence in the log.

    Must be the last statement of the transaction.
    """
    version = await connection.scalar(sa.select(sa.func.max(events.c.version)).where(events.c.subject == user_id)) or 0
    sequence = 0
    for one in happened:
        version += 1
        data = data_of(one.event, one.actor)
        sequence = await log.add(connection, type_of(one.event), user_id, data, one.at, version=version)
    if happened and version // SNAPSHOT_EVERY > (version - len(happened)) // SNAPSHOT_EVERY:
        await _take_snapshot(connection, user_id, version)
    return sequence


async def history(
    connection: AsyncConnection, user_id: str, after: int = 0, limit: int | None = None
) -> list[StoredEvent]:
    """The events of a user after that version, in their order; at most `limit`."""
    query = sa.select(events).where(events.c.subject == user_id, events.c.version > after)
    return [stored_event(row) for row in await connection.execute(query.order_by(events.c.version).limit(limit))]


async def state(connection: AsyncConnection, user_id: str, until: datetime | None = None) -> tuple[User | None, int]:
    """The user at that time, or now, and the version of its last event until then (0: none)."""
    query = sa.select(snapshots).where(snapshots.c.user_id == user_id).order_by(snapshots.c.version.desc()).limit(1)
    if until is not None:
        query = query.where(snapshots.c.at <= until)
    found = (await connection.execute(query)).one_or_none()
    start, version = (_restored(found.state), found.version) if found else (None, 0)
    if until is None:
        later = await history(connection, user_id, version)
    else:
        # The next snapshot is after `until`, so an event after `until` precedes it.
        following = sa.select(sa.func.min(snapshots.c.version)).where(snapshots.c.user_id == user_id)
        end = await connection.scalar(following.where(snapshots.c.version > version))
        later = await history(connection, user_id, version, None if end is None else end - version)
        # Versions decide the order: clocks of replicas differ.
        later = later[: next((number for number, one in enumerate(later) if one.at > until), len(later))]
    return folded(later, user_id, start), later[-1].version if later else version


async def unaccounted(connection: AsyncConnection, limit: int = BATCH) -> list[str]:
    """Ids of users whose rows were changed, created or deleted without events."""
    stale = sa.or_(users.c.recorded_at.is_(None), users.c.recorded_at != users.c.updated_at)
    found = list(await connection.scalars(sa.select(users.c.id).where(stale).limit(limit)))
    alive = sa.select(events.c.subject).group_by(events.c.subject)
    ended = sa.select(events.c.subject).where(events.c.type == _ENDED)
    gone = alive.where(events.c.subject.not_in(sa.select(users.c.id)), events.c.subject.not_in(ended)).limit(limit)
    return found + list(await connection.scalars(gone))


async def locked(connection: AsyncConnection, user_id: str) -> tuple[User | None, list[StoredEvent]]:
    """Locks the user's row until the transaction ends; returns the user, and the events that are missing in its
    history."""
    query = sa.select(users).where(users.c.id == user_id).with_for_update()
    row = (await connection.execute(query)).one_or_none()
    return (None, []) if row is None else (user_of(row), await _missing(connection, row))


async def make_up(connection: AsyncConnection, log: Outbox, user_ids: Sequence[str], now: datetime) -> int:
    """Records the missing events of those users; returns the number of users that had any.

    Rows are locked in order before events are appended, as by every change of a user.
    """
    query = sa.select(users).where(users.c.id.in_(user_ids)).order_by(users.c.id).with_for_update()
    rows = {row.id: row for row in await connection.execute(query)}
    stale = [row for row in rows.values() if row.recorded_at != row.updated_at]
    lacking = {row.id: await _missing(connection, row) for row in stale}
    for row in stale:
        mark = sa.update(users).where(users.c.id == row.id)
        await connection.execute(mark.values(recorded_at=row.updated_at))
    ended = sa.select(events.c.subject).where(events.c.type == _ENDED, events.c.subject.in_(user_ids))
    gone = set(user_ids) - rows.keys() - set(await connection.scalars(ended))
    lacking |= {user_id: [StoredEvent(0, UserDeleted(), now, UNKNOWN_ACTOR)] for user_id in sorted(gone)}
    for user_id, missing in lacking.items():
        await append(connection, log, user_id, missing)
    return len(lacking)


async def _missing(connection: AsyncConnection, row: sa.Row[Any]) -> list[StoredEvent]:
    if row.recorded_at == row.updated_at:
        return []
    before, version = await state(connection, row.id)
    at = row.created_at if before is None else row.updated_at
    missing = events_between(before, user_of(row))
    return [StoredEvent(version + number, event, at, UNKNOWN_ACTOR) for number, event in enumerate(missing, 1)]


async def _take_snapshot(connection: AsyncConnection, user_id: str, version: int) -> None:
    """Stores a snapshot with the latest event's time: events of other services may be recorded late."""
    user, _ = await state(connection, user_id)
    if user is not None:
        at = await connection.scalar(sa.select(sa.func.max(events.c.occurred_at)).where(events.c.subject == user_id))
        document = json.dumps(asdict(user), default=datetime.isoformat)
        row = {"user_id": user_id, "version": version, "at": at, "state": document}
        await connection.execute(sa.insert(snapshots).values(row))


def _restored(document: str) -> User:
    """Decodes a snapshot; ignores fields of later releases."""
    found: dict[str, Any] = json.loads(document)
    times = {name: datetime.fromisoformat(found[name]) for name in ("created_at", "updated_at")}
    known = {one.name for one in fields(User)}
    return User(**{name: value for name, value in (found | times).items() if name in known})


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


def stored_event(row: sa.Row[Any]) -> StoredEvent:
    """The event of a row."""
    data = json.loads(row.data)
    return StoredEvent(row.version, event_of(row.type, data), row.occurred_at, data.get("actor", UNKNOWN_ACTOR))
