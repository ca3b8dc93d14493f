"""What a request asks besides its subject: blocking, consistency, datacenter, formatting.

A blocking query (`index`, `wait`) reads, compares the index of what it read with the one that the client has, and
if there is nothing newer waits for one of the topics that it read to move, then reads again. At the end of the
wait it answers with what there is. The wait is at most ten minutes, five by default, and stretched at random by up
to a sixteenth so that a crowd of clients does not come back at once.
"""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web

from meshwright import durations
from meshwright.dev.consul.http_errors import bad_request, refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshwright.dev.consul.catalog.store import Store

DEFAULT_WAIT = 300.0
MAX_WAIT = 600.0
JITTER = 16
_DIGITS = 20
"""Of the greatest number in 64 bits."""

JSON = "application/json"


@dataclass(frozen=True)
class Read:
    """What a query found: the value, its index, and the topics to wait for."""

    value: Any
    index: int
    topics: tuple[str, ...]
    status: int = 200
    text: str | None = None
    """Answer with this text instead of the value's JSON."""
    null: bool = False
    """Answer JSON's null where the value is None, instead of nothing."""


class Waiting:
    """Answers reads, blocking where the request asks for it, until the server stops."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stopping = False

    def stop(self) -> None:
        """Answer all waiting queries; later ones do not wait."""
        self._stopping = True
        self._store.wake_all()

    async def answer(self, request: web.Request, read: Callable[[], Read]) -> web.Response:
        """Read, and wait for something newer than the request has."""
        index, wait = _index(request), blocking_wait(request)
        found = read()
        if index and found.index <= index:
            deadline = asyncio.get_running_loop().time() + wait
            while found.index <= index and not self._stopping:
                if not await self.moved(found.topics, deadline):
                    found = read()
                    break
                found = read()
        return respond(request, found)

    async def moved(self, topics: tuple[str, ...], deadline: float) -> bool:
        """Wait until a topic is touched; False after `deadline` (in the loop's seconds) or when the server stops."""
        if self._stopping:
            return False
        moved = asyncio.Event()
        unsubscribe = self._store.subscribe(topics, moved.set)
        try:
            async with asyncio.timeout_at(deadline):
                await moved.wait()
        except TimeoutError:
            return False
        finally:
            unsubscribe()
        return True


def respond(request: web.Request, found: Read) -> web.Response:
    """The response with Consul's headers."""
    headers = {
        "X-Consul-Index": str(max(found.index, 1)),
        "X-Consul-KnownLeader": "true",
        "X-Consul-LastContact": "0",
        "X-Consul-Effective-Consistency": _consistency(request),
    }
    if found.text is not None:
        return web.Response(status=found.status, text=found.text, headers=headers)
    if found.value is None and not found.null:
        return web.Response(status=found.status, headers=headers)
    return as_json(request, found.value, headers, found.status)


def as_json(request: web.Request, value: Any, headers: dict[str, str] | None = None, status: int = 200) -> web.Response:
    """The value as JSON, indented where `?pretty` asks for it."""
    pretty = "pretty" in request.query
    text = json.dumps(value, indent=4, ensure_ascii=False) if pretty else json.dumps(value, separators=(",", ":"))
    return web.Response(
        status=status, body=text.encode() + (b"\n" if pretty else b""), content_type=JSON, headers=headers
    )


def check_datacenter(request: web.Request, datacenter: str) -> None:
    """Refuse any other datacenter: there is no way to one from here."""
    asked = request.query.get("dc", "")
    if asked and asked != datacenter:
        raise refused("No path to datacenter")


def blocking_wait(request: web.Request) -> float:
    """Seconds that the request is willing to wait, stretched at random."""
    wait = DEFAULT_WAIT
    text = request.query.get("wait", "")
    if text:
        try:
            wait = durations.seconds(durations.parse(text))
        except ValueError:
            raise bad_request("Invalid wait time") from None
    wait = min(wait, MAX_WAIT) if wait > 0 else DEFAULT_WAIT
    return wait * (1 + random.uniform(0, 1 / JITTER))  # noqa: S311


def _index(request: web.Request) -> int:
    if "stale" in request.query and "consistent" in request.query:
        raise bad_request("Cannot specify ?stale with ?consistent, conflicting semantics.")
    text = request.query.get("index", "")
    if text and not is_uint64(text):
        raise bad_request("Invalid index")
    return int(text or 0)


def is_uint64(text: str) -> bool:
    """Whether Go's ParseUint would take it."""
    digits = text.lstrip("0")
    return (
        text.isascii()
        and text.isdigit()
        and (len(digits) < _DIGITS or (len(digits) == _DIGITS and int(digits) < 2**64))
    )


def _consistency(request: web.Request) -> str:
    if "stale" in request.query:
        return "stale"
    return "consistent" if "consistent" in request.query else "leader"
