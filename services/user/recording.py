"""The history of users in the database: facts appended, states of the past read.

Facts are written in the transaction that changes the user's row. The row is what lists, lookups and the unique e-mail
address need: today's state, never behind. `recorded_at` says up to which change the facts account for it. A release
that knows no facts leaves it behind, when it is rolled out, or back, beside this one; then what it changed is found by
comparing the row with the sum of the facts, and recorded as done by `unknown`.

A snapshot every hundred facts bounds what has to be read for a state.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from services.user.domain import User
from services.user.facts import Fact, Happened, UserDeleted, data_of, fact_of, facts_between, folded, type_of
from services.user.tables import events, snapshots, users

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.kit.outbox import Outbox

SOURCE = "user"
UNKNOWN_ACTOR = "unknown"
SNAPSHOT_EVERY = 100
BATCH = 200
"""Users that are made up for in one transaction."""


async def append(
    connection: AsyncConnection, log: Outbox, user_id: str, facts: Sequence[Fact], *, actor: str, at: datetime
) -> int:
    """Append facts to the user's history; the last one's sequence over all users. The last thing in a transaction."""
    version = await connection.scalar(sa.select(sa.func.max(events.c.version)).where(events.c.subject == user_id)) or 0
    sequence = 0
    for fact in facts:
        version += 1
        data = data_of(fact, actor)
        sequence = await log.add(connection, type_of(fact), user_id, data, at, version=version)
    if facts and version // SNAPSHOT_EVERY > (version - len(facts)) // SNAPSHOT_EVERY:
        await _take_snapshot(connection, user_id, version, at)
    return sequence


async def history(connection: AsyncConnection, user_id: str, after: int = 0) -> list[Happened]:
    """The facts of a user after that version, in their order."""
    query = sa.select(events).where(events.c.subject == user_id, events.c.version > after).order_by(events.c.version)
    return [_happened(row) for row in await connection.execute(query)]


async def state(connection: AsyncConnection, user_id: str, until: datetime | None = None) -> tuple[User | None, int]:
    """The user at that time, or now; and the version of the last fact until then (0: there was none)."""
    query = sa.select(snapshots).where(snapshots.c.user_id == user_id).order_by(snapshots.c.version.desc()).limit(1)
    if until is not None:
        query = query.where(snapshots.c.at <= until)
    found = (await connection.execute(query)).one_or_none()
    start, version = (_restored(found.state), found.version) if found else (None, 0)
    later = await history(connection, user_id, version)
    # Versions decide what came first; clocks of several replicas may differ a little.
    if until is not None:
        later = later[: next((number for number, one in enumerate(later) if one.at > until), len(later))]
    return folded(later, user_id, start), later[-1].version if later else version


async def unaccounted(connection: AsyncConnection, limit: int = BATCH) -> list[str]:
    """Ids of users whose rows were changed, made or deleted without facts."""
    stale = sa.or_(users.c.recorded_at.is_(None), users.c.recorded_at != users.c.updated_at)
    found = list(await connection.scalars(sa.select(users.c.id).where(stale).limit(limit)))
    alive = sa.select(events.c.subject).group_by(events.c.subject)
    ended = sa.select(events.c.subject).where(events.c.type == f"demo.{SOURCE}.{type_of(UserDeleted())}")
    gone = alive.where(events.c.subject.not_in(sa.select(users.c.id)), events.c.subject.not_in(ended)).limit(limit)
    return found + list(await connection.scalars(gone))


async def account_for(connection: AsyncConnection, log: Outbox, row: User | None, user_id: str, now: datetime) -> None:
    """Append what must have happened for the row to be what it is."""
    before, _ = await state(connection, user_id)
    missing = facts_between(before, row)
    at = row.updated_at if row is not None else now
    if before is None and row is not None:
        at = row.created_at
    await append(connection, log, user_id, missing, actor=UNKNOWN_ACTOR, at=at)
    if row is not None:
        mark = sa.update(users).where(users.c.id == user_id, users.c.updated_at == row.updated_at)
        await connection.execute(mark.values(recorded_at=row.updated_at))


async def _take_snapshot(connection: AsyncConnection, user_id: str, version: int, at: datetime) -> None:
    user, _ = await state(connection, user_id)
    if user is not None:
        document = json.dumps(asdict(user), default=datetime.isoformat)
        row = {"user_id": user_id, "version": version, "at": at, "state": document}
        await connection.execute(sa.insert(snapshots).values(row))


def _restored(document: str) -> User:
    found: dict[str, Any] = json.loads(document)
    times = {name: datetime.fromisoformat(found[name]) for name in ("created_at", "updated_at")}
    return User(**{**found, **times})


def _happened(row: sa.Row[Any]) -> Happened:
    data = json.loads(row.data)
    return Happened(row.version, fact_of(row.type, data), row.occurred_at, data.get("actor", UNKNOWN_ACTOR))
