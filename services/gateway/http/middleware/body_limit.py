"""Limits the size of request bodies, and the time to receive them.

Compressed bodies are rejected unread: their decompressed size is unknown. Bodies with both Content-Length and
Transfer-Encoding are rejected as request smuggling (RFC 9112, 6.1).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from services.gateway.http.problems import ProblemResponse, problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimitMiddleware:
    """ASGI middleware: reads the body; answers 413 above `most` bytes, 408 if it does not arrive within `seconds`.

    Bodies are small documents that routes need whole, so they are passed on as one message. A body with a too large
    Content-Length is not read; a chunked body is read up to the limit.
    """

    def __init__(self, app: ASGIApp, most: int, seconds: float) -> None:
        self._app = app
        self._most = most
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refused = _refused(headers)
        if refused is not None:
            status, detail, more = refused
            response = ProblemResponse(problem(status, detail, scope["path"]), {"Connection": "close", **more})
            await response(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._seconds):
                body = None if _announced(headers) > self._most else await self._read(receive)
        except TimeoutError:
            detail = f"the body did not come within {self._seconds:g} seconds"
            response = ProblemResponse(problem(408, detail, scope["path"]), {"Connection": "close"})
            await response(scope, receive, send)
            return
        if body is None:
            detail = f"the body is larger than {self._most} bytes"
            # The rest of the body is not read: the connection closes after this response.
            response = ProblemResponse(problem(413, detail, scope["path"]), {"Connection": "close"})
            await response(scope, receive, send)
            return
        await self._app(scope, _replayed(body, receive), send)

    async def _read(self, receive: Receive) -> Message | None:
        """The body as one message, or the disconnect message; None if it is too large."""
        chunks = []
        size = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return message
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > self._most:
                return None
            if not message.get("more_body", False):
                return {"type": "http.request", "body": b"".join(chunks), "more_body": False}


def _refused(headers: Headers) -> tuple[int, str, dict[str, str]] | None:
    """Status, detail and headers for a body that is rejected unread."""
    if "content-length" in headers and "transfer-encoding" in headers:
        return 400, "Content-Length and Transfer-Encoding contradict each other", {}
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding not in {"", "identity"}:
        return 415, "send the body as it is, without Content-Encoding", {"Accept-Encoding": "identity"}
    return None


def _announced(headers: Headers) -> int:
    length = headers.get("content-length", "")
    return int(length) if length.isdecimal() else 0


def _replayed(first: Message, receive: Receive) -> Receive:
    pending: list[Message] = [first]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay
