"""Server-sent events (HTML, 9.2): the response, and what goes into it.

FastAPI's `fastapi.sse` frames the events. Its routes that are generators (`response_class=EventSourceResponse`) are not
used: they have answered 200 before their first line runs, and a route here may answer 204, 404 or 503 instead.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fastapi.sse import EventSourceResponse, format_sse_event

from services.gateway.errors import problem_of
from services.gateway.http.tracing import trace_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.gateway.errors import ApiError

QUIET_SECONDS = 15.0
"""Interval of comments without events: proxies close idle connections."""
RETRY = format_sse_event(retry=1000)
"""How soon a browser reconnects, in milliseconds."""
QUIET = format_sse_event(comment="still here")
EVENTS: dict[str, Any] = {
    "description": "Events, as they happen",
    "content": {EventSourceResponse.media_type: {"example": "id: 3\nevent: order\n"}},
}
"""The response in the API's description."""


def event(kind: str, data: str, number: int | None = None) -> bytes:
    """One event. `data` is JSON. `number`: what a client that reconnects has seen last, in `Last-Event-ID`."""
    return format_sse_event(event=kind, data_str=data, id=None if number is None else str(number))


def problem_event(failure: ApiError, path: str) -> bytes:
    """The last event of a stream that fails: a problem document (RFC 9457)."""
    return event("problem", json.dumps(problem_of(failure, path, trace_id()).document()))


def streaming(events: AsyncIterator[bytes]) -> EventSourceResponse:
    """A response that no cache and no proxy keeps back."""
    return EventSourceResponse(events, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
