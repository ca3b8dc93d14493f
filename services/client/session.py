"""Who is signed in: signing up, in and out, and renewing access tokens.

Access tokens live for minutes; they are renewed a little before they expire, and when the gateway refuses one. A
refresh token serves once, and one that comes twice ends the session at the gateway: renewals of one session take turns.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from services.client.changes import Changes
from services.client.errors import ProblemError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from services.client.http_api import HttpApi

EARLY_SHARE = 0.2
"""The part of a token's lifetime before its end in which it is renewed, ..."""
EARLY_SECONDS = 30.0
"""... and the most that this may be."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """A session. `expires_at`: when the access token does, in seconds since 1970; `lifetime`: its seconds in all."""

    access: str
    refresh: str
    subject: str
    expires_at: float
    lifetime: float
    name: str = ""
    email: str = ""

    @property
    def renew_at(self) -> float:
        """When to renew, in seconds since 1970: late enough to be rare, early enough for slow networks."""
        return self.expires_at - min(EARLY_SECONDS, EARLY_SHARE * self.lifetime)

    def document(self) -> dict[str, Any]:
        """As JSON, for a `TokenStore`."""
        return asdict(self)

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> Tokens:
        """Reads what `document` wrote. Raises KeyError, TypeError, ValueError."""
        access, refresh, subject = (str(document[name]) for name in ("access", "refresh", "subject"))
        expires_at, lifetime = float(document["expires_at"]), float(document["lifetime"])
        return cls(
            access,
            refresh,
            subject,
            expires_at,
            lifetime,
            str(document.get("name", "")),
            str(document.get("email", "")),
        )


class TokenStore(Protocol):
    """Keeps a session between starts of a program."""

    async def load(self) -> Tokens | None:
        """The session that was kept; None for none."""

    async def save(self, tokens: Tokens | None) -> None:
        """Keep this session; None ends it."""


class Session:
    """The user of this client. `changes` tells of each sign-in, renewal and sign-out."""

    def __init__(self, api: HttpApi, store: TokenStore | None = None, clock: Callable[[], float] = time.time) -> None:
        self.changes = Changes()
        self._api = api
        self._store = store
        self._clock = clock
        self._tokens: Tokens | None = None
        self._renewing = asyncio.Lock()

    @property
    def tokens(self) -> Tokens | None:
        """The session; None: no user is signed in."""
        return self._tokens

    @property
    def subject(self) -> str:
        """The id of the user who is signed in; empty for none."""
        return self._tokens.subject if self._tokens else ""

    @property
    def seconds_to_renewal(self) -> float:
        """Seconds until the access token should be renewed; 0 where it is time, or no user is signed in."""
        return max(0.0, self._tokens.renew_at - self._clock()) if self._tokens else 0.0

    async def restore(self) -> bool:
        """Take up the session that the store has kept; False where there is none."""
        found = await self._store.load() if self._store else None
        if found:
            self._become(found)
        return found is not None

    async def sign_up(self, name: str, email: str, password: str) -> None:
        """Create an account, and sign in. Raises ProblemError."""
        await self._enter("/auth/sign-up", {"name": name, "email": email, "password": password})

    async def sign_in(self, email: str, password: str) -> None:
        """Raises ProblemError."""
        await self._enter("/auth/sign-in", {"email": email, "password": password})

    async def sign_out(self) -> None:
        """End the session here in any case; at the gateway where it answers, else there after its time."""
        async with self._renewing:
            spent = self._tokens
            await self._keep(None)
        if spent:
            try:
                await self._api.call("POST", "/auth/sign-out", {"refresh_token": spent.refresh}, anonymous=True)
            except ProblemError:
                return

    async def token(self) -> str:
        """An access token that is good now; empty: no user is signed in. Raises ProblemError."""
        tokens = self._tokens
        if tokens is None:
            return ""
        return tokens.access if self._clock() < tokens.renew_at else await self.renew(tokens.access)

    async def renew(self, spent: str) -> str:
        """A token in place of `spent`; empty: the session has ended. Raises ProblemError."""
        async with self._renewing:
            tokens = self._tokens
            if tokens is None or tokens.access != spent:
                return tokens.access if tokens else ""
            try:
                answer = await self._api.call(
                    "POST", "/auth/refresh", {"refresh_token": tokens.refresh}, anonymous=True
                )
            except ProblemError as problem:
                if problem.status != HTTPStatus.UNAUTHORIZED:
                    raise
                await self._keep(None)
                return ""
            await self._keep(self._of_answer(answer, tokens.name, tokens.email))
            return str(answer["access_token"])

    async def _enter(self, path: str, body: Mapping[str, str]) -> None:
        answer = await self._api.call("POST", path, body, anonymous=True)
        headers = {"Authorization": f"Bearer {answer['access_token']}"}
        user = await self._api.call("GET", f"/api/v3/users/{answer['subject']}", anonymous=True, headers=headers)
        async with self._renewing:
            await self._keep(self._of_answer(answer, str(user["name"]), str(user["email"])))

    def _of_answer(self, answer: Mapping[str, Any], name: str, email: str) -> Tokens:
        lifetime = float(answer["expires_in"])
        until = self._clock() + lifetime
        return Tokens(
            str(answer["access_token"]),
            str(answer["refresh_token"]),
            str(answer["subject"]),
            until,
            lifetime,
            name,
            email,
        )

    async def _keep(self, tokens: Tokens | None) -> None:
        if self._store:
            await self._store.save(tokens)
        self._become(tokens)

    def _become(self, tokens: Tokens | None) -> None:
        self._tokens = tokens
        self.changes.notify()
