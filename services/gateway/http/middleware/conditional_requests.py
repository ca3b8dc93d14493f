"""Answers GET requests with a matching `If-None-Match` with 304 (RFC 9110, 13.1.2).

Routes that know the version of their resource set `ETag`; for all other JSON the tag is a weak digest of the body. The
body is produced in any case: 304 saves bandwidth and parsing.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_NOT_IN_304 = ("content-length", "content-type")


class ConditionalRequestMiddleware:
    """ASGI middleware for GET and HEAD of the API's JSON."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reads = scope["type"] == "http" and scope["method"] in {"GET", "HEAD"} and scope["path"].startswith("/api/")
        if not reads:
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("if-none-match")
        held: list[Message] = []

        async def buffered(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_json(message):
                held.append(message)
            elif held:
                held.append(message)
                if not message.get("more_body", False):
                    await _finish(held, given, send)
            else:
                await send(message)

        await self._app(scope, receive, buffered)


def _is_json(start: Message) -> bool:
    return start["status"] == 200 and Headers(raw=start["headers"]).get("content-type") == "application/json"  # noqa: PLR2004


async def _finish(held: list[Message], given: str | None, send: Send) -> None:
    start, *parts = held
    body = b"".join(part.get("body", b"") for part in parts)
    headers = MutableHeaders(scope=start)
    tag = headers.get("etag") or f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers["ETag"] = tag
    headers.setdefault("Cache-Control", "private, no-cache")
    headers.add_vary_header("Authorization")
    if given is not None and _matches(given, tag):
        for name in _NOT_IN_304:
            del headers[name]
        start["status"] = 304
        body = b""
    await send(start)
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _matches(given: str, tag: str) -> bool:
    """The weak comparison of RFC 9110, 8.8.3.2."""
    wanted = tag.removeprefix("W/")
    return given.strip() == "*" or any(item.strip().removeprefix("W/") == wanted for item in given.split(","))
