"""Jaeger's query API over the store, and the store's own health and metrics.

The paths, parameters and shapes are those of Jaeger's query service (`/api/...` on port 16686). What the page needs
beside them lives under `/ui/`: summaries without the spans, and a stream that says when something changed.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from meshwright.dev.traces.query_api.jaeger_json import trace_id_text, trace_to_json
from meshwright.dev.traces.query_api.search import dependencies, find
from meshwright.dev.traces.query_api.summary import summary
from meshwright.dev.traces.query_api.v1_parameters import (
    BadQueryError,
    check_trace_parameters,
    now_nanos,
    parse_dependency_query,
    parse_trace_id,
    parse_trace_query,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from meshwright.dev.traces.store.trace_store import Trace, TraceStore

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

Json = dict[str, Any]
NOT_FOUND = "trace not found"


class QueryApi:
    """The handlers, over one store."""

    def __init__(self, store: TraceStore) -> None:
        self._store = store

    def routes(self) -> list[web.RouteDef]:
        """Every path that this serves."""
        return [
            web.get("/api/services", self.services),
            web.get("/api/services/{service}/operations", self.operation_names),
            web.get("/api/operations", self.operations),
            web.get("/api/traces", self.search),
            web.get("/api/traces/{id}", self.trace),
            web.get("/api/dependencies", self.dependencies),
            web.get("/ui/summaries", self.summaries),
            web.get("/api/{path:.*}", self.unknown),
        ]

    async def services(self, _request: web.Request) -> web.Response:
        """The services that have sent spans."""
        return _listed(self._store.services())

    async def operation_names(self, request: web.Request) -> web.Response:
        """The names of a service's operations, whatever their kind."""
        names = {name for name, _ in self._store.operations(request.match_info["service"])}
        return _listed(sorted(names))

    async def operations(self, request: web.Request) -> web.Response:
        """A service's operations with their kinds."""
        service = request.query.get("service", "")
        if not service:
            raise BadQueryError("parameter 'service' is required")
        found = self._store.operations(service, request.query.get("spanKind", ""))
        return _listed([{"name": name, "spanKind": kind} for name, kind in found])

    async def search(self, request: web.Request) -> web.Response:
        """The traces that a query finds, or those that it names, whole."""
        query = parse_trace_query(request.query, now_nanos())
        if not query.trace_ids:
            return await _traces([trace async for trace in find(self._store, query)])
        found = [(trace_id, self._store.get(trace_id)) for trace_id in query.trace_ids]
        missing = [{"msg": NOT_FOUND, "traceID": trace_id_text(id_)} for id_, trace in found if trace is None]
        return await _traces([trace for _, trace in found if trace is not None], missing)

    async def trace(self, request: web.Request) -> web.Response:
        """One trace, whole."""
        trace_id = parse_trace_id(request.match_info["id"])
        check_trace_parameters(request.query)
        trace = self._store.get(trace_id)
        return _failure(404, NOT_FOUND) if trace is None else await _traces([trace])

    async def dependencies(self, request: web.Request) -> web.Response:
        """Which service called which, how often."""
        start, end = parse_dependency_query(request.query, now_nanos())
        calls = dependencies(self._store.newest_first(), start, end)
        service = request.query.get("service", "")
        links = [
            {"parent": parent, "child": child, "callCount": count}
            for (parent, child), count in sorted(calls.items())
            if service in ("", parent, child)
        ]
        return _answer(_envelope(links))

    async def summaries(self, request: web.Request) -> web.Response:
        """What the page's list shows of the traces that a query finds. Without `service`: of any service."""
        query = parse_trace_query(request.query, now_nanos(), service_required=False)
        found = [summary(trace) async for trace in find(self._store, query)]
        return _answer({**_envelope(found, total=len(found)), "stored": len(self._store)})

    async def unknown(self, request: web.Request) -> web.Response:
        """An API path that neither Jaeger nor this store has."""
        return _failure(404, f"no {request.path} here")


@web.middleware
async def explain(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer a bad query in Jaeger's shape."""
    try:
        return await handler(request)
    except BadQueryError as error:
        return _failure(400, str(error))


async def _traces(traces: Sequence[Trace], errors: Sequence[Json] | None = None) -> web.Response:
    """The traces whole, written one at a time, with a turn for other tasks in between."""
    written = []
    for trace in traces:
        written.append(_encode(trace_to_json(trace)))
        await asyncio.sleep(0)
    rest = _encode({"total": 0, "limit": 0, "offset": 0, "errors": errors or None})
    body = b'{"data":[' + b",".join(written) + b"]," + rest[1:]
    return web.Response(body=body, content_type="application/json")


def _listed(items: list[Any]) -> web.Response:
    return _answer(_envelope(items, total=len(items)))


def _envelope(data: Any, *, total: int = 0, errors: list[Json] | None = None) -> Json:
    return {"data": data, "total": total, "limit": 0, "offset": 0, "errors": errors}


def _failure(status: int, text: str) -> web.Response:
    return _answer(_envelope(None, errors=[{"code": status, "msg": text}]), status)


def _answer(document: Json, status: int = 200) -> web.Response:
    return web.Response(status=status, body=_encode(document), content_type="application/json")


def _encode(document: Json) -> bytes:
    # Span names and attributes are whatever was sent; a lone surrogate must not break the answer.
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode(errors="replace")
