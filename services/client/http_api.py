"""Requests to the gateway over HTTP. What is not done is a `ProblemError`.

A request with a key may be sent again without being done twice, so it is where no answer came. A token that the gateway
refuses is renewed once, and the request sent again with the new one.
"""

from __future__ import annotations

import asyncio
import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

import httpx

from services.client.backoff import backoff
from services.client.errors import NO_ANSWER, ProblemError, problem_of

if TYPE_CHECKING:
    from collections.abc import Mapping

ATTEMPTS = 4
TIMEOUT_SECONDS = 20.0


class TokenSource(Protocol):
    """Where access tokens come from."""

    async def token(self) -> str:
        """A token that is good now; empty: no user is signed in. Raises ProblemError."""

    async def renew(self, spent: str) -> str:
        """A token in place of `spent`; empty: the session has ended. Raises ProblemError."""


class HttpApi:
    """The gateway at `url`. An async context manager."""

    def __init__(self, url: str, *, timeout: float = TIMEOUT_SECONDS) -> None:
        """`timeout`: seconds for each step of a request (connecting, writing, waiting for the next bytes)."""
        self.url = url.rstrip("/")
        self.http = httpx.AsyncClient(base_url=self.url, timeout=timeout, trust_env=False)
        self.tokens: TokenSource | None = None

    async def __aenter__(self) -> HttpApi:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        key: str = "",
        anonymous: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """The JSON of the answer; None where there is none. `key`: see `new_key`. Raises ProblemError."""
        sent = dict(headers or {}) | ({"Idempotency-Key": key} if key else {})
        for attempt in range(ATTEMPTS):
            try:
                response = await self._once(method, path, body, query, sent, anonymous=anonymous)
                if response.is_success:
                    return response.json() if response.content else None
                raise problem_of(response)
            except ProblemError as problem:
                if not key or not problem.is_transient or attempt + 1 == ATTEMPTS:
                    raise
            await asyncio.sleep(backoff(attempt))
        raise AssertionError("unreachable")

    async def headers(self) -> dict[str, str]:
        """The header with the token of the signed-in user. Raises ProblemError."""
        return _with_token({}, await self.tokens.token() if self.tokens else "")

    async def _once(
        self,
        method: str,
        path: str,
        body: Any,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str],
        *,
        anonymous: bool,
    ) -> httpx.Response:
        token = await self.tokens.token() if self.tokens and not anonymous else ""
        response = await self._send(method, path, body, query, _with_token(headers, token))
        if response.status_code == HTTPStatus.UNAUTHORIZED and token and self.tokens:
            fresh = await self.tokens.renew(token)
            if fresh:
                return await self._send(method, path, body, query, _with_token(headers, fresh))
        return response

    async def _send(
        self, method: str, path: str, body: Any, query: Mapping[str, str] | None, headers: Mapping[str, str]
    ) -> httpx.Response:
        try:
            return await self.http.request(method, path, json=body, params=query, headers=headers)
        except httpx.TransportError as error:
            raise no_answer(self.url, error) from error


def no_answer(url: str, error: Exception) -> ProblemError:
    """The problem of a gateway that cannot be reached."""
    return ProblemError(NO_ANSWER, f"the gateway at {url} does not answer: {str(error) or type(error).__name__}")


def new_key() -> str:
    """A key for one request that is to be done once, however often it is sent."""
    return uuid.uuid4().hex


def _with_token(headers: Mapping[str, str], token: str) -> dict[str, str]:
    return {**headers, "Authorization": f"Bearer {token}"} if token else dict(headers)
