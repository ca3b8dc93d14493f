"""Users: those who sign up at the gateway, and those whose ids and times are known before they are made."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from services.common.runtime.ids import new_id
from services.user import domain

if TYPE_CHECKING:
    import httpx

    from services.user.adapters import DatabaseUsers
    from services.user.domain import User
    from support.demo.gateway import Demo


PASSWORD = "correct horse battery"


@dataclass
class Person:
    """A user who has signed up, and whom `headers` identify."""

    email: str
    subject: str
    tokens: dict[str, Any]

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens['access_token']}"}

    @property
    def beta(self) -> dict[str, str]:
        return self.headers | {"API-Beta": "v4"}


def address() -> str:
    """An unused e-mail address."""
    return f"{os.urandom(6).hex()}@example.org"


async def sign_up(served: Demo, **changes: str) -> Person:
    body = {"name": "Ada", "email": address(), "password": PASSWORD} | changes
    response = await served.http.post("/auth/sign-up", json=body)
    assert response.status_code == 201, response.text
    return Person(body["email"], response.json()["subject"], response.json())


def reason(response: httpx.Response) -> tuple[int, str]:
    """Status and reason of a problem, having checked that it is one."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    return response.status_code, response.json().get("reason", "")


NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def user(number: int) -> User:
    """One of whom there may be several: its id and address follow from the number."""
    made = NOW + timedelta(milliseconds=number)
    return domain.new_user("Ada", f"ada{number}@example.org", "", id=new_id(made, number.to_bytes), now=made)


async def changed(users: DatabaseUsers, before: User, seconds: int, **changes: Any) -> User:
    """The user after a change by `grace`, so long after the first of all times."""
    after = domain.changed(before, domain.Changes(**changes), now=NOW + timedelta(seconds=seconds))
    assert await users.replace(before, after, "grace")
    return after
