"""Jaeger's API v3 over the store: the one that a Jaeger after 2.20 still has for lists and searches.

Traces are answered as OTLP in JSON, all resources of all traces found in one list, under `result`. An error is
`{"error": {"httpCode": ..., "message": ...}}`, sent as plain text. All as Jaeger's HTTP gateway has it (cmd/jaeger,
extension jaegerquery, apiv3), against which this was compared.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from meshwright.dev.traces.query_api.otlp_json import resource_spans
from meshwright.dev.traces.query_api.search import find
from meshwright.dev.traces.query_api.summary import brief
from meshwright.dev.traces.query_api.v1_parameters import BadQueryError, parse_trace_id
from meshwright.dev.traces.query_api.v3_parameters import parse_v3_query, read_boolean, read_time, value_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from meshwright.dev.traces.store.trace_store import Trace, TraceStore

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

Json = dict[str, Any]
PREFIX = "/api/v3/"


class QueryApiV3:
    """The handlers, over one store."""

    def __init__(self, store: TraceStore) -> None:
        self._store = store

    def routes(self) -> list[web.RouteDef]:
        """Every path that this serves."""
        return [
            web.get("/api/v3/services", self.services),
            web.get("/api/v3/operations", self.operations),
            web.get("/api/v3/traces", self.search),
            web.get("/api/v3/traces/{id}", self.trace),
            web.get("/api/v3/trace-summaries", self.summaries),
        ]

    async def services(self, _request: web.Request) -> web.Response:
        """The services that have sent spans."""
        return _listed("services", self._store.services())

    async def operations(self, request: web.Request) -> web.Response:
        """A service's operations with their kinds."""
        service, kind = request.query.get("service", ""), value_of(request.query, "spanKind")[0]
        found = self._store.operations(service, kind)
        return _listed("operations", [{"name": name, "spanKind": kind or "internal"} for name, kind in found])

    async def search(self, request: web.Request) -> web.Response:
        """The traces that a query finds, whole."""
        found = await self._found(request)
        return await _traces(found, raw=read_boolean(request.query, "query.rawTraces"))

    async def trace(self, request: web.Request) -> web.Response:
        """One trace, whole. The times are hints for stores that need them."""
        try:
            trace_id = parse_trace_id(request.match_info["id"])
        except BadQueryError as error:
            raise BadQueryError(f"malformed parameter trace_id: {error}") from None
        for name in ("startTime", "endTime"):
            read_time(request.query, name)
        raw = read_boolean(request.query, "rawTraces")
        trace = self._store.get(trace_id)
        return await _traces([trace] if trace else [], raw=raw)

    async def summaries(self, request: web.Request) -> web.Response:
        """The traces that a query finds, in short."""
        return _listed("summaries", [brief(trace) for trace in await self._found(request)])

    async def _found(self, request: web.Request) -> list[Trace]:
        query = parse_v3_query(request.query)
        if query.limit < 1:
            # Jaeger's in-memory store says so when it is asked, which its gateway takes for an error of the server.
            raise web.HTTPInternalServerError(text="search depth must be greater than 0 and less than max traces")
        return [trace async for trace in find(self._store, query)]


@web.middleware
async def explain_v3(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer errors of the API v3 in its shape."""
    if not request.path.startswith(PREFIX):
        return await handler(request)
    try:
        return await handler(request)
    except BadQueryError as error:
        return _failure(400, str(error))
    except web.HTTPInternalServerError as error:
        return _failure(error.status, error.text or "")


async def _traces(traces: Iterable[Trace], *, raw: bool) -> web.Response:
    """The traces whole, written one at a time, with a turn for other tasks in between."""
    written = []
    for trace in traces:
        written += [_encode(group) for group in resource_spans(trace, raw=raw)]
        await asyncio.sleep(0)
    if not written:
        return _failure(404, "No traces found")
    body = b'{"result":{"resourceSpans":[' + b",".join(written) + b"]}}"
    return web.Response(body=body, content_type="application/json")


def _listed(name: str, items: list[Any]) -> web.Response:
    return web.Response(body=_encode({name: items}), content_type="application/json")


def _failure(status: int, text: str) -> web.Response:
    body = _encode({"error": {"httpCode": status, "message": text}}) + b"\n"
    return web.Response(status=status, body=body, content_type="text/plain", charset="utf-8")


def _encode(document: Json) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode(errors="replace")
