"""Users whose ids and times are known before they are made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from services.common.runtime.ids import new_id
from services.user import domain

if TYPE_CHECKING:
    from services.user.adapters import DatabaseUsers
    from services.user.domain import User

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def user(number: int) -> User:
    """One of whom there may be several: its id and address follow from the number."""
    made = NOW + timedelta(milliseconds=number)
    return domain.new_user("Ada", f"ada{number}@example.org", "", id=new_id(made, number.to_bytes), now=made)


async def changed(users: DatabaseUsers, before: User, seconds: int, **changes: str | bool) -> User:
    """The user after a change by `grace`, so long after the first of all times."""
    after = domain.changed(before, domain.Changes(**changes), now=NOW + timedelta(seconds=seconds))
    assert await users.replace(before, after, "grace")
    return after
