"""The user service's use cases, on a store in memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.common.runtime.ids import new_id
from services.user import domain
from services.user.app import PAGE, UserBook

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Memory:
    """The smallest store that keeps the port's promises. `interfere` runs before each replacement."""

    def __init__(self) -> None:
        self.users: dict[str, domain.User] = {}
        self.interfere = lambda user: None
        self.pages: list[int] = []

    async def add(self, user, actor):
        self.users[user.id] = user

    async def get(self, user_id):
        return self.users.get(user_id)

    async def replace(self, before, after, actor):
        self.interfere(before)
        if self.users.get(before.id) != before:
            return False
        self.users[before.id] = after
        return True

    async def remove(self, user_id, actor, seen=None):
        found = self.users.get(user_id)
        if found is None or seen not in {None, found.updated_at}:
            return False
        return self.users.pop(user_id, None) is not None

    async def history(self, user_id, after, limit):
        return [self.users[user_id]] if user_id in self.users else []

    async def page(self, after, limit):
        self.pages.append(limit)
        return [user for user_id, user in sorted(self.users.items()) if user_id > after][:limit]


class Product:
    async def product(self, a, b):
        return a * b


class Clock:
    now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def book(memory, clock) -> UserBook:
    counter = iter(range(10_000))
    return UserBook(memory, Product(), entropy=lambda size: next(counter).to_bytes(size), now=clock)


async def add(book: UserBook, count: int) -> list[domain.User]:
    return [await book.create("Ada", f"ada{number}@example.org", "") for number in range(count)]


@pytest.mark.parametrize("method", ["get", "delete", "summary"])
@pytest.mark.parametrize("user_id", ["no uuid", "01890000-0000-7000-8000-000000000000", ""])
async def test_an_unknown_user_is_not_found(book, method, user_id):
    with pytest.raises(domain.UserNotFoundError, match="there is no such user"):
        await getattr(book, method)(user_id)


async def test_an_update_that_names_the_version_it_saw_writes_over_no_other(book, clock):
    (user,) = await add(book, 1)
    clock.now += timedelta(seconds=1)
    changed = await book.update(user.id, domain.Changes(name="Ada King"), user.updated_at)
    assert (changed.name, changed.updated_at) == ("Ada King", clock.now)
    with pytest.raises(domain.UserChangedError, match="has changed since it was read"):
        await book.update(user.id, domain.Changes(name="Ada Byron"), user.updated_at)
    assert (await book.get(user.id)).name == "Ada King"


async def test_an_update_that_names_none_goes_on_top_of_whatever_came_between(book, memory):
    (user,) = await add(book, 1)

    def once(before):
        memory.interfere = lambda user: None
        memory.users[user.id] = domain.changed(before, domain.Changes(phone="+4930123456"), now=NOW)

    memory.interfere = once
    changed = await book.update(user.id, domain.Changes(name="Ada King"), None)
    assert (changed.name, changed.phone) == ("Ada King", "+4930123456")


async def test_an_update_gives_up_where_others_never_stop(book, memory):
    (user,) = await add(book, 1)

    def always(before):
        changes = domain.Changes(active=not memory.users[user.id].active)
        memory.users[user.id] = domain.changed(memory.users[user.id], changes, now=NOW)

    memory.interfere = always
    with pytest.raises(domain.UserChangedError):
        await book.update(user.id, domain.Changes(name="Ada King"), None)


async def test_a_list_goes_through_the_store_page_by_page(book, memory):
    users = await add(book, PAGE + 5)
    listed = [user async for user in book.list(0, "")]
    assert listed == users
    assert memory.pages == [PAGE, PAGE]


@pytest.mark.parametrize(("limit", "asked"), [(3, [3]), (PAGE, [PAGE]), (PAGE + 3, [PAGE, 3])])
async def test_a_limited_list_reads_no_more_than_it_needs(book, memory, limit, asked):
    users = await add(book, PAGE + 5)
    assert [user async for user in book.list(limit, "")] == users[:limit]
    assert memory.pages == asked


async def test_a_list_goes_on_after_a_user(book):
    users = await add(book, 4)
    assert [user async for user in book.list(2, users[0].id.upper())] == users[1:3]


async def test_a_list_refuses_what_it_cannot_mean(book):
    with pytest.raises(domain.InvalidUserError) as caught:
        await anext(book.list(-1, "nobody"))
    assert caught.value.fields == {"limit": "must not be negative", "after": "must be the id of a user"}


async def test_points_are_days_times_what_a_day_is_worth(book, clock):
    (user,) = await add(book, 1)
    clock.now += timedelta(days=6)
    summary = await book.summary(user.id)
    assert (summary.member_days, summary.points) == (7, 70)


async def test_validation_answers_for_unknown_users_too(book):
    assert (await book.validate("nobody")).reason == "there is no such user"


async def test_a_caller_may_make_the_id_and_no_id_serves_twice(book):
    chosen = new_id(NOW, lambda size: b"\x07" * size)
    ada = await book.create("Ada", "ada@example.org", "", user_id=chosen.upper())
    assert ada.id == chosen
    early = new_id(NOW - timedelta(days=2), bytes)
    for wrong in (chosen, early, "00000000-0000-4000-8000-000000000000", "nonsense"):
        with pytest.raises(domain.InvalidUserError) as caught:
            await book.create("Eve", "eve@example.org", "", user_id=wrong)
        assert set(caught.value.fields) == {"id"}
