"""The trace id of a request, returned to the client for looking up the trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry import trace

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = b"x-trace-id"


def trace_id() -> str:
    """The id of the current trace in hexadecimal, or the empty string."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else ""


class TraceHeaderMiddleware:
    """ASGI middleware: adds the trace id to each response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        known = trace_id()

        async def with_trace_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (HEADER, known.encode())]
            await send(message)

        await self._app(scope, receive, with_trace_id if known else send)
