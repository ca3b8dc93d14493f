"""Orders and their sagas: placing one once, looking at it, and following each of its states until it rests."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httpx
from httpx_sse import aconnect_sse

from services.client.backoff import backoff
from services.client.errors import ProblemError, problem_of, problem_of_document
from services.client.http_api import new_key, no_answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from services.client.http_api import HttpApi

SILENCE_SECONDS = 45.0
"""The gateway sends a comment every 15 s: a stream that is silent for this long is lost."""
RESTING = frozenset({"completed", "rejected", "needs_attention"})


@dataclass(frozen=True, slots=True)
class OrderStep:
    """A step of the saga: `state` is waiting, running, done, refused, compensating, compensated or stuck."""

    name: str
    state: str
    attempts: int
    error: str


@dataclass(frozen=True, slots=True)
class Order:
    """`state`: pending, compensating, completed, rejected or needs_attention. `version` grows with each step; times are
    RFC 3339."""

    id: str
    version: int
    state: str
    total_cents: int
    reason: str
    placed_at: str
    updated_at: str
    steps: tuple[OrderStep, ...]

    @property
    def is_resting(self) -> bool:
        """Whether it does not change any more by itself."""
        return self.state in RESTING


class Orders:
    """The orders of the signed-in user."""

    def __init__(self, api: HttpApi) -> None:
        self._api = api

    async def place(self, items: Mapping[str, int], *, key: str = "") -> Order:
        """Order so many of each SKU. With the same `key` it is placed once. Raises ProblemError."""
        body = {"items": [{"sku": sku, "quantity": quantity} for sku, quantity in items.items()]}
        return _order(await self._api.call("POST", "/api/v3/orders", body, key=key or new_key()))

    async def get(self, order_id: str) -> Order:
        """Raises ProblemError."""
        return _order(await self._api.call("GET", f"/api/v3/orders/{order_id}"))

    async def recent(self) -> list[Order]:
        """The newest first, a page of them. Raises ProblemError."""
        page = await self._api.call("GET", "/api/v3/orders")
        return [_order(item) for item in page]

    async def watch(self, order_id: str, after: int = 0) -> AsyncIterator[Order]:
        """The order now, and whenever it changed, until it rests; only versions above `after`.

        Comes back after the last version where the connection is lost. Raises ProblemError where waiting does not help.
        """
        attempt = 0
        while True:
            try:
                async for order in self._listen(order_id, after):
                    attempt, after = 0, order.version
                    yield order
                    if order.is_resting:
                        return
            except ProblemError as problem:
                if not problem.is_transient:
                    raise
            await asyncio.sleep(backoff(attempt))
            attempt += 1

    async def _listen(self, order_id: str, after: int) -> AsyncIterator[Order]:
        headers = await self._api.headers() | ({"Last-Event-ID": str(after)} if after else {})
        timeout = httpx.Timeout(self._api.http.timeout.connect, read=SILENCE_SECONDS)
        try:
            async with aconnect_sse(
                self._api.http, "GET", f"/api/v3/orders/{order_id}/watch", headers=headers, timeout=timeout
            ) as source:
                if source.response.status_code == HTTPStatus.NO_CONTENT:  # it rests, and that has been seen
                    yield await self.get(order_id)
                    return
                if not source.response.is_success:
                    await source.response.aread()
                    raise problem_of(source.response)
                async for event in source.aiter_sse():
                    if event.event == "problem":
                        raise problem_of_document(json.loads(event.data))
                    if event.event == "order":
                        yield _order(json.loads(event.data))
        except httpx.TransportError as error:
            raise no_answer(self._api.url, error) from error


def _order(document: Mapping[str, Any]) -> Order:
    steps = tuple(
        OrderStep(step["name"], step["state"], int(step.get("attempts", 0)), str(step.get("error") or ""))
        for step in document.get("steps", ())
    )
    return Order(
        document["id"],
        int(document["version"]),
        document["state"],
        int(document.get("total_cents", 0)),
        str(document.get("reason") or ""),
        document["placed_at"],
        document["updated_at"],
        steps,
    )
