"""Makes POST idempotent by `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header).

The key and a digest of the request are stored before the request is processed, and the response before it is sent, for
24 hours and all replicas. The same request with the same key gets the stored response; a different request with the key
is rejected (422), as is a request while the first is in progress (409). Temporary errors are not stored: the client
retries. If a replica crashes, the key is free again after `PENDING_SECONDS`; services behind that accept a key (orders)
detect a first attempt that took effect.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy import exc
from starlette.datastructures import Headers, MutableHeaders

from services.common.runtime.errors import StoreUnavailableError
from services.common.storage.database import translate_store_errors
from services.gateway.http.middleware.rate_limit import client_of
from services.gateway.http.problems import ProblemResponse, problem
from services.gateway.tables import idempotency_keys as table

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncEngine
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

HEADER = "idempotency-key"
KEPT_SECONDS = 86400.0
PENDING_SECONDS = 330.0
"""Longer than any request may take."""
LONGEST_KEY = 255
MOST_BODY = 262_144
_FINAL = frozenset({400, 404, 409, 412, 422})
"""Refusals that would be the same next time, or that the client must see as they were."""
_KEPT_HEADERS = ("content-type", "location", "etag", "demo-position")
_APPLIES = ("/api/", "/rpc")


@dataclass(frozen=True, slots=True)
class StoredResponse:
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

    async def begin(self, client: str, key: str, fingerprint: str, now: float) -> StoredResponse | None:
        """Take the key: None where it was free, else what is known of it."""
        same = _same(client, key)
        row = {"fingerprint": fingerprint, "begun_at": now, "status": 0, "headers": "[]", "body": b""}
        gone = sa.or_(
            table.c.begun_at <= now - KEPT_SECONDS,
            sa.and_(table.c.status == 0, table.c.begun_at <= now - PENDING_SECONDS),
        )
        with translate_store_errors():
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
        if found is None:  # released by its first request meanwhile
            return StoredResponse(fingerprint, now)
        headers = tuple((name, value) for name, value in json.loads(found.headers))
        return StoredResponse(found.fingerprint, found.begun_at, found.status, headers, found.body)

    async def finish(self, client: str, key: str, answer: StoredResponse) -> None:
        """Stores the response of the request that took the key at `begun_at`, unless another request has it by now."""
        values = {"status": answer.status, "headers": json.dumps(answer.headers), "body": answer.body}
        with translate_store_errors():
            async with self._writing.begin() as connection:
                await connection.execute(sa.update(table).where(_taken(client, key, answer.begun_at)).values(values))

    async def give_up(self, client: str, key: str, begun_at: float) -> None:
        """Releases the key of a failed request that took it at `begun_at`."""
        with translate_store_errors():
            async with self._writing.begin() as connection:
                await connection.execute(sa.delete(table).where(_taken(client, key, begun_at)))

    async def sweep(self, now: float) -> None:
        with translate_store_errors():
            async with self._writing.begin() as connection:
                await connection.execute(sa.delete(table).where(table.c.begun_at <= now - KEPT_SECONDS))


def _same(client: str, key: str) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.client == client, table.c.key == key)


def _taken(client: str, key: str, begun_at: float) -> sa.ColumnElement[bool]:
    """Matches the key while the request that took it at `begun_at` holds it; PENDING_SECONDS later it may not."""
    return sa.and_(_same(client, key), table.c.status == 0, table.c.begun_at == begun_at)


class _BufferedResponse:
    """A response, buffered until it is stored; one above MOST_BODY is passed through."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._messages: list[Message] = []
        self._size = 0

    async def take(self, message: Message) -> None:
        self._messages.append(message)
        self._size += len(message.get("body", b""))
        if not self.fits:
            await self.release()

    @property
    def fits(self) -> bool:
        return self._size <= MOST_BODY

    def stored(self, begun_at: float) -> StoredResponse | None:
        """The response to store; None if it must not be replayed."""
        if not self.fits or not self._messages:
            return None
        start, *parts = self._messages
        status = start["status"]
        if not (HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES or status in _FINAL):
            return None
        headers = Headers(raw=start["headers"])
        kept = tuple((name, headers[name]) for name in _KEPT_HEADERS if name in headers)
        return StoredResponse("", begun_at, status, kept, b"".join(part.get("body", b"") for part in parts))

    async def release(self) -> None:
        messages, self._messages = self._messages, []
        for message in messages:
            await self._send(message)


class IdempotencyMiddleware:
    """ASGI middleware, inside of `BodyLimitMiddleware`, so that a body is one message. `clock`: seconds since 1970."""

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
        now = self._clock()
        try:
            known = await self._store.begin(client, key, fingerprint, now)
        except StoreUnavailableError as error:
            await _refuse(scope, receive, send, 503, str(error))
            return
        if known is not None:
            await _repeat(known, fingerprint, scope, receive, send)
            return
        answer = _BufferedResponse(send)
        try:
            await self._app(scope, _replaying(message, receive), answer.take)
        except BaseException:
            with contextlib.suppress(StoreUnavailableError):
                await self._store.give_up(client, key, now)
            raise
        await self._keep(client, key, now, answer.stored(now))
        await answer.release()

    async def _keep(self, client: str, key: str, begun_at: float, answer: StoredResponse | None) -> None:
        try:
            if answer is None:
                await self._store.give_up(client, key, begun_at)
            else:
                await self._store.finish(client, key, answer)
        except StoreUnavailableError as error:
            # The request took effect: its response is sent, though a retry will not replay it.
            log.warning("the response to an Idempotency-Key was not stored: %s", error)


def usable(key: str) -> bool:
    return 0 < len(key) <= LONGEST_KEY and key.isascii() and key.isprintable()


async def _repeat(known: StoredResponse, fingerprint: str, scope: Scope, receive: Receive, send: Send) -> None:
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
        if known.status != HTTPStatus.NO_CONTENT:
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
