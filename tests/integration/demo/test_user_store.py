"""The store of users keeps its promises on SQLite and PostgreSQL alike."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from services.common.runtime.errors import StoreUnavailableError
from services.common.runtime.ids import new_id
from services.common.storage.database import open_database
from services.user import domain
from services.user.adapters import DatabaseUsers, prepare_database

if TYPE_CHECKING:
    from pathlib import Path

    from services.user.domain import User
    from support.servers.postgres import Cluster

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def user(number: int, **changes) -> User:
    moment = NOW + timedelta(milliseconds=number)
    made = domain.new_user(
        f"Ada {number}",
        f"Ada{number}@Example.org",
        "+4930123456",
        id=new_id(moment, number.to_bytes),
        now=moment,
    )
    return replace(made, **changes)


async def test_a_user_comes_back_as_it_went_in(users: DatabaseUsers) -> None:
    ada = user(1, name="Zoë 李 🚀")
    await users.add(ada)
    assert await users.get(ada.id) == ada


async def test_an_unknown_user_is_none(users: DatabaseUsers) -> None:
    assert await users.get(user(1).id) is None
    assert await users.remove(user(1).id) is False


async def test_an_address_belongs_to_one_user_whatever_its_case(users: DatabaseUsers) -> None:
    await users.add(user(1))
    with pytest.raises(domain.EmailTakenError, match="another user has this e-mail address"):
        await users.add(user(2, email="ada1@example.ORG"))
    assert await users.get(user(2).id) is None


async def test_of_many_who_want_one_address_at_once_one_gets_it(users: DatabaseUsers) -> None:
    attempts = [users.add(user(number, email="one@example.org")) for number in range(10)]
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes if outcome is not None] == [domain.EmailTakenError] * 9
    assert len(await users.page("", 100)) == 1


async def test_the_address_of_a_deleted_user_is_free_again(users: DatabaseUsers) -> None:
    await users.add(user(1))
    assert await users.remove(user(1).id) is True
    await users.add(user(2, email=user(1).email))


async def test_a_user_is_replaced_only_in_the_state_that_was_seen(users: DatabaseUsers) -> None:
    ada = user(1)
    await users.add(ada)
    changed = domain.changed(ada, domain.Changes(name="Ada King", active=False), now=NOW)
    assert await users.replace(ada, changed) is True
    assert await users.replace(ada, domain.changed(ada, domain.Changes(name="Ada Byron"), now=NOW)) is False
    assert await users.get(ada.id) == changed


async def test_of_many_changes_of_one_state_one_is_written(users: DatabaseUsers) -> None:
    ada = user(1)
    await users.add(ada)
    changes = [domain.changed(ada, domain.Changes(name=f"Ada {letter}"), now=NOW) for letter in "abcdefgh"]
    written = await asyncio.gather(*(users.replace(ada, change) for change in changes))
    assert sorted(written) == [False] * 7 + [True]
    assert await users.get(ada.id) == changes[written.index(True)]


async def test_a_change_cannot_take_the_address_of_another(users: DatabaseUsers) -> None:
    await users.add(user(1))
    await users.add(user(2))
    with pytest.raises(domain.EmailTakenError):
        await users.replace(user(2), domain.changed(user(2), domain.Changes(email="ADA1@example.org"), now=NOW))


async def test_pages_follow_each_other_in_the_order_of_creation(users: DatabaseUsers) -> None:
    everybody = [user(number) for number in range(5)]
    for one in reversed(everybody):
        await users.add(one)
    assert await users.page("", 3) == everybody[:3]
    assert await users.page(everybody[2].id, 3) == everybody[3:]


async def test_two_replicas_write_to_one_database_at_once(users: DatabaseUsers, database: str) -> None:
    engine = open_database("X", database)
    other = DatabaseUsers(engine)
    stores = [users, other]
    await asyncio.gather(*(stores[number % 2].add(user(number)) for number in range(60)))
    assert len(await other.page("", 100)) == 60
    await engine.dispose()


async def test_a_database_that_cannot_be_reached_is_unavailable_and_not_a_bug() -> None:
    engine = open_database("X", "postgresql://someone:secret@127.0.0.1:1/nothing")
    with pytest.raises(StoreUnavailableError, match="cannot be read or written now") as caught:
        await DatabaseUsers(engine).get(user(1).id)
    assert "secret" not in str(caught.value)
    await engine.dispose()


async def test_a_database_that_restarts_is_used_again(postgres: Cluster) -> None:
    engine = open_database("X", postgres.new_database())
    await prepare_database(engine)
    users = DatabaseUsers(engine)
    await users.add(user(1))
    await asyncio.to_thread(postgres.stop)
    with pytest.raises(StoreUnavailableError):
        await users.get(user(1).id)
    await asyncio.to_thread(postgres.start)
    assert await users.get(user(1).id) == user(1)
    await engine.dispose()


async def test_a_file_that_is_no_database_is_told_as_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "users.db"
    path.write_text("this is no database, and long enough for SQLite to notice" * 20)
    engine = open_database("X", f"sqlite:///{path}")
    with pytest.raises(StoreUnavailableError):
        await prepare_database(engine)
    await engine.dispose()
