"""People who sign up at the gateway."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

    from support.demo import Demo

PASSWORD = "correct horse battery"


@dataclass
class Person:
    """Somebody who has signed up, and whom `headers` identify."""

    email: str
    subject: str
    tokens: dict

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens['access_token']}"}

    @property
    def beta(self) -> dict[str, str]:
        return self.headers | {"API-Beta": "v4"}


def address() -> str:
    """An e-mail address that nobody has."""
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
