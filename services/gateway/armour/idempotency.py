"""Asking twice does it once: `Idempotency-Key` on POST (draft-ietf-httpapi-idempotency-key-header).

The key, with a digest of the request, is stored before the request is answered, and the answer with it afterwards, for
24 hours and for all replicas. The same request with the same key gets the stored answer; another request with the key
is refused (422), and one whose first is still being answered too (409). Answers that say "not now" are not stored: the
client is to try again. Where a replica dies in the middle, the key is free again after `PENDING_SECONDS`; whether the
first attempt did its work is then for the service behind to know, which gets the key where it takes one (orders do).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy import exc
from starlette.datastructures import Headers, MutableHeaders

from services.gateway.armour.rates import client_of
from services.gateway.problems import ProblemResponse, problem
from services.gateway.tables import idempotency_keys as table
from services.kit.database import translated
from services.kit.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncEngine
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "idempotency-key"
KEPT_SECONDS = 86400.0
PENDING_SECONDS = 330.0
"""Longer than any request may take."""
LONGEST_KEY = 255
MOST_BODY = 262_144
_FINAL = frozenset({400, 404, 409, 412, 422})
"""Refusals that would be the same next time, or that the client must see as they were."""
_KEPT_HEADERS = ("content-type", "location", "etag")
_APPLIES = ("/api/", "/rpc")


@dataclass(frozen=True, slots=True)
class Stored:
    """What is known of a key. `status` 0: its request is still being answered."""

    fingerprint: str
    begun_at: float
    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


class IdempotencyStore:
    """Every method may raise StoreUnavailableError."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._writing = engine.execution_options(writes=True)

    async def begin(self, client: str, key: str, fingerprint: str, now: float) -> Stored | None:
        """Take the key: None where it was free, else what is known of it."""
        same = _same(client, key)
        row = {"fingerprint": fingerprint, "begun_at": now, "status": 0, "headers": "[]", "body": b""}
        gone = sa.or_(
            table.c.begun_at <= now - KEPT_SECONDS,
            sa.and_(table.c.status == 0, table.c.begun_at <= now - PENDING_SECONDS),
        )
        with translated():
            try:
                async with self._writing.begin() as connection:
                    await connection.execute(sa.delete(table).where(same, gone))
                    await connection.execute(sa.insert(table).values(client=client, key=key, **row))
            except exc.IntegrityError:
                pass
            else:
                return None
            async with self._writing.begin() as connection:
                found = (await connection.execute(sa.select(table).where(same))).one_or_none()
        if found is None:  # given up by its first request in this very moment
            return Stored(fingerprint, now)
        headers = tuple((name, value) for name, value in json.loads(found.headers))
        return Stored(found.fingerprint, found.begun_at, found.status, headers, found.body)

    async def finish(self, client: str, key: str, answer: Stored) -> None:
        values = {"status": answer.status, "headers": json.dumps(answer.headers), "body": answer.body}
        with translated():
            async with self._writing.begin() as connection:
                await connection.execute(sa.update(table).where(_same(client, key)).values(values))

    async def give_up(self, client: str, key: str) -> None:
        """Free the key: its request came to nothing."""
        with translated():
            async with self._writing.begin() as connection:
                await connection.execute(sa.delete(table).where(_same(client, key)))

    async def sweep(self, now: float) -> None:
        with translated():
            async with self._writing.begin() as connection:
                await connection.execute(sa.delete(table).where(table.c.begun_at <= now - KEPT_SECONDS))


def _same(client: str, key: str) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.client == client, table.c.key == key)


class Idempotency:
    """ASGI middleware. It stands inside of `BodyLimit`, so that a body is one message. `clock`: since 1970."""

    def __init__(self, app: ASGIApp, store: IdempotencyStore, proxies: int, clock: Callable[[], float]) -> None:
        self._app = app
        self._store = store
        self._proxies = proxies
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        applies = scope["type"] == "http" and scope["method"] == "POST" and scope["path"].startswith(_APPLIES)
        key = Headers(scope=scope).get(HEADER) if applies else None
        if key is None:
            await self._app(scope, receive, send)
            return
        if not usable(key):
            await _refuse(scope, receive, send, 400, f"Idempotency-Key must be 1 to {LONGEST_KEY} visible characters")
            return
        message = await receive()
        if message["type"] != "http.request":
            return
        fingerprint = _fingerprint(scope, message.get("body", b""))
        client = client_of(scope, self._proxies)[:LONGEST_KEY]
        try:
            known = await self._store.begin(client, key, fingerprint, self._clock())
        except StoreUnavailableError as error:
            await _refuse(scope, receive, send, 503, str(error))
            return
        if known is not None:
            await _repeat(known, fingerprint, scope, receive, send)
            return
        await self._answer(client, key, scope, _replaying(message, receive), send)

    async def _answer(self, client: str, key: str, scope: Scope, receive: Receive, send: Send) -> None:
        start: Message = {"status": 0, "headers": []}
        body = bytearray()

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            elif len(body) <= MOST_BODY:
                body.extend(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except BaseException:
            await self._store.give_up(client, key)
            raise
        status = start["status"]
        final = 200 <= status < 300 or status in _FINAL  # noqa: PLR2004
        if not final or len(body) > MOST_BODY:
            await self._store.give_up(client, key)
            return
        told = Headers(raw=start["headers"])
        kept = tuple((name, told[name]) for name in _KEPT_HEADERS if name in told)
        await self._store.finish(client, key, Stored("", 0.0, status, kept, bytes(body)))


def usable(key: str) -> bool:
    return 0 < len(key) <= LONGEST_KEY and key.isascii() and key.isprintable()


async def _repeat(known: Stored, fingerprint: str, scope: Scope, receive: Receive, send: Send) -> None:
    if known.fingerprint != fingerprint:
        await _refuse(scope, receive, send, 422, "this Idempotency-Key was used for another request")
    elif known.status == 0:
        detail = "a request with this Idempotency-Key is still being answered"
        response = ProblemResponse(problem(409, detail, scope["path"]), {"Retry-After": "1"})
        await response(scope, receive, send)
    else:
        start: Message = {"type": "http.response.start", "status": known.status, "headers": []}
        headers = MutableHeaders(scope=start)
        headers.update(dict(known.headers))
        headers["Content-Length"] = str(len(known.body))
        headers["Idempotency-Replayed"] = "true"
        await send(start)
        await send({"type": "http.response.body", "body": known.body, "more_body": False})


def _fingerprint(scope: Scope, body: bytes) -> str:
    head = f"{scope['method']} {scope['path']}?{scope['query_string'].decode('latin-1')}\n"
    return hashlib.sha256(head.encode() + body).hexdigest()


def _replaying(first: Message, receive: Receive) -> Receive:
    pending = [first]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, detail: str) -> None:
    await ProblemResponse(problem(status, detail, scope["path"]))(scope, receive, send)
