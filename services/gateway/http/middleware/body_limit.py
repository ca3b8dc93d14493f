"""What a request may cost: the size of its body, and the time that it takes to come, before anything reads it.

A body that is compressed is not taken: what it would grow to is not known before it has grown. One with two lengths
(Content-Length beside Transfer-Encoding) is how requests are smuggled past a proxy that believes the other one (RFC
9112, 6.1). Both are refused unread.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from services.gateway.http.problems import ProblemResponse, problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimitMiddleware:
    """ASGI middleware that reads the body up to a limit, and answers 413 beyond it, and 408 where it does
    not come within `seconds`.

    Bodies here are small documents that are needed whole, so they are read here and handed on in one piece. Where the
    length is announced nothing is read of one that is too long; where it is not (chunked), reading stops at the limit.
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
            # What is left of the body is not worth reading: the connection ends with this answer.
            response = ProblemResponse(problem(413, detail, scope["path"]), {"Connection": "close"})
            await response(scope, receive, send)
            return
        await self._app(scope, _replayed(body, receive), send)

    async def _read(self, receive: Receive) -> Message | None:
        """The body as one message, or the message that the client has gone; None where it is too long."""
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
    """Status, detail and headers of the answer to a body that is not even looked at."""
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
