"""Answers HEAD requests by the GET route, without the body (RFC 9110, 9.3.2).

A streamed response ends after its headers: it has no length, and is not read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class _HeadSentError(Exception):
    """Ends a stream after its headers."""


class HeadMiddleware:
    """ASGI middleware: routes see a GET."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                return
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            if message.get("more_body", False):
                raise _HeadSentError

        as_get = {**scope, "method": "GET"}
        try:
            await self._app(as_get, receive, without_body)
        except _HeadSentError:
            pass
        finally:
            if "route" in as_get:  # for traces and metrics
                scope["route"] = as_get["route"]
