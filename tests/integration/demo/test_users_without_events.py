"""Changes to users by releases without events are recorded by the first process that sees them, once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from services.common.event_sourcing.event_store import folded
from services.common.storage.database import open_database
from services.user import domain
from services.user.adapters import DatabaseUsers
from services.user.events import BalanceUpdated, evolve
from services.user.tables import users as table
from support.demo.people import NOW, changed, user

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncEngine

    from services.user.domain import User


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    """Another way to the same database than that of `users`."""
    made = open_database("X", database)
    yield made
    await made.dispose()


async def _without_events(engine: AsyncEngine, *made: User, name: str = "", at: datetime = NOW) -> None:
    """What a release that knows no events does: users that it makes, or a name that it gives to all."""
    async with engine.execution_options(writes=True).begin() as connection:
        for one in made:
            row = {"id": one.id, "name": one.name, "email": one.email, "email_key": one.email_key, "phone": ""}
            times = {"created_at": one.created_at, "updated_at": one.updated_at}
            await connection.execute(sa.insert(table).values(**row, **times, active=True))
        if name:
            await connection.execute(sa.update(table).values(name=name, updated_at=at))


async def test_what_a_release_without_events_did_is_made_up_for(users: DatabaseUsers, engine: AsyncEngine) -> None:
    """Such a release knows the columns of before, and no others."""
    kept, gone, made = user(1), user(2), user(3)
    await users.add(kept)
    await users.add(gone)
    later = NOW + timedelta(hours=1)
    async with engine.execution_options(writes=True).begin() as connection:
        await connection.execute(
            sa.update(table).where(table.c.id == kept.id).values(name="Ada Byron", updated_at=later)
        )
        await connection.execute(sa.delete(table).where(table.c.id == gone.id))
        row = {"id": made.id, "name": "Ada", "email": made.email, "email_key": made.email, "phone": "", "active": True}
        await connection.execute(sa.insert(table).values(**row, created_at=made.created_at, updated_at=later))
    assert await users.reconcile() == 3
    assert await users.reconcile() == 0
    for one in (kept, gone, made):
        assert folded(evolve, await users.history(one.id), one.id) == await users.get(one.id)
    assert (await users.history(kept.id))[-1].actor == "unknown"


async def test_a_change_on_top_of_one_without_events_accounts_for_both(
    users: DatabaseUsers, engine: AsyncEngine
) -> None:
    ada = user(1)
    await users.add(ada)
    later = NOW + timedelta(hours=1)
    async with engine.execution_options(writes=True).begin() as connection:
        await connection.execute(sa.update(table).values(name="Ada Byron", updated_at=later))
    before = await users.get(ada.id)
    assert before is not None
    await changed(users, before, 7200, phone="+4930123456")
    history = await users.history(ada.id)
    assert [type(one.event).__name__ for one in history] == ["UserCreated", "NameChanged", "PhoneChanged"]
    assert folded(evolve, history, ada.id) == await users.get(ada.id)


async def test_two_replicas_that_make_up_for_the_same_users_record_them_once(
    users: DatabaseUsers, engine: AsyncEngine
) -> None:
    await _without_events(engine, *(user(number) for number in range(15)))
    counts = await asyncio.gather(users.reconcile(), DatabaseUsers(engine).reconcile())
    assert sum(counts) == 15
    async with engine.execution_options(writes=True).begin() as connection:
        await connection.execute(sa.delete(table))
    counts = await asyncio.gather(users.reconcile(), DatabaseUsers(engine).reconcile())
    assert sum(counts) == 15
    for number in range(15):
        told = [type(one.event).__name__ for one in await users.history(user(number).id)]
        assert told == ["UserCreated", "UserDeleted"]


async def test_users_who_are_changed_while_they_are_made_up_for_keep_a_true_history(
    users: DatabaseUsers, engine: AsyncEngine
) -> None:
    """The second writer gets this reason, and no other: not that an address is taken."""
    other = DatabaseUsers(engine)
    everybody = [user(number) for number in range(4)]
    for one in everybody:
        await users.add(one)
    await _without_events(engine, name="Ada Byron", at=NOW + timedelta(hours=1))
    seen = [one for one in await users.page("", 100) for _ in range(3)]
    changes = [
        (users, other)[number % 2].replace(
            before, domain.changed(before, domain.Changes(name=f"Ada {number}"), now=NOW + timedelta(hours=2)), "grace"
        )
        for number, before in enumerate(seen)
    ]
    written, _, _ = await asyncio.gather(asyncio.gather(*changes), users.reconcile(), other.reconcile())
    assert written.count(True) == len(everybody)
    for one in everybody:
        history = await users.history(one.id)
        assert [type(each.event).__name__ for each in history] == ["UserCreated", "NameChanged", "NameChanged"]
        assert [each.actor for each in history[1:]] == ["unknown", "grace"]
        assert folded(evolve, history, one.id) == await users.get(one.id)


async def test_a_payment_of_a_user_without_events_comes_after_its_creation(
    users: DatabaseUsers, engine: AsyncEngine
) -> None:
    ada, bob = user(1), user(2)
    await _without_events(engine, ada, bob)
    assert await users.record_balance(1, ada.id, BalanceUpdated(0, 500, "deposit", "payment/1"), NOW)
    assert await users.remove(bob.id)
    assert await users.reconcile() == 0
    history = await users.history(ada.id)
    assert [type(one.event).__name__ for one in history] == ["UserCreated", "BalanceUpdated"]
    assert folded(evolve, history, ada.id) == await users.get(ada.id) == replace(ada, balance_cents=500)
    assert [type(one.event).__name__ for one in await users.history(bob.id)] == ["UserCreated", "UserDeleted"]
