"""Converts unhandled exceptions to 500 problem documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry import trace
from starlette.requests import Request

from services.gateway.http.problems import unhandled

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class UnhandledErrorMiddleware:
    """ASGI middleware. The framework's own handler is outside of all middleware, and its responses would lack their
    headers; it still handles errors in outer middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            if started or scope["type"] != "http":
                raise
            trace.get_current_span().record_exception(error)
            response = await unhandled(Request(scope), error)
            await response(scope, receive, send)
