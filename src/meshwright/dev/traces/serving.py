"""The trace store's process: one store, two doors in, one door out."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from aiohttp import web

from meshwright import http
from meshwright.dev.traces.config import Bound, TracesConfig
from meshwright.dev.traces.ingest.receivers import http_app, serving_grpc
from meshwright.dev.traces.metrics import Exposition
from meshwright.dev.traces.query_api.v1_routes import QueryApi, explain
from meshwright.dev.traces.query_api.v3_routes import QueryApiV3, explain_v3
from meshwright.dev.traces.store.trace_store import TraceStore
from meshwright.dev.traces.ui.changes import Changes
from meshwright.dev.traces.ui.page import Page
from meshwright.model import Address
from meshwright.process import stop_event

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

logger = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def serving(config: TracesConfig, store: TraceStore | None = None) -> AsyncIterator[Bound]:
    """Run the trace store inside the current loop for as long as the context lasts; yields where it listens.

    `store`: the one to serve, if not a new one of the size that `config` says.
    """
    # An empty store is false: it has a length.
    kept = TraceStore(max_spans=config.max_spans, max_bytes=config.max_bytes) if store is None else store
    limit = config.max_request_bytes
    async with contextlib.AsyncExitStack() as stack:
        query = await stack.enter_async_context(http.serving(query_app(kept), config.host, config.query_port))
        otlp_http = await stack.enter_async_context(
            http.serving(http_app(kept, limit), config.host, config.otlp_http_port, auto_decompress=False)
        )
        otlp_grpc = await stack.enter_async_context(
            serving_grpc(kept, Address(config.host, config.otlp_grpc_port), limit)
        )
        yield Bound(query=query, otlp_grpc=otlp_grpc, otlp_http=otlp_http)


async def run(config: TracesConfig) -> None:
    """Run the trace store until SIGINT or SIGTERM."""
    with stop_event() as stopped:
        async with serving(config) as bound:
            logger.info(
                "trace store ready: page and query API on http://%s, OTLP on %s (gRPC) and %s (HTTP)",
                bound.query,
                bound.otlp_grpc,
                bound.otlp_http,
            )
            await stopped.wait()


def query_app(store: TraceStore) -> web.Application:
    """The page, Jaeger's query API, health and metrics."""
    exposition = Exposition(store)
    changes = Changes(store)

    async def healthz(_request: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "traces": len(store), "spans": store.spans})

    async def status(_request: web.Request) -> web.Response:
        return web.json_response({"status": "StatusOK"})

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=exposition.text(), headers={"Content-Type": "text/plain; version=0.0.4"})

    app = web.Application(middlewares=[explain, explain_v3])
    app.on_shutdown.append(changes.close)
    app.router.add_get("/healthz", healthz)
    # Where Jaeger 2 says that it is well, on a port of its own.
    app.router.add_get("/status", status)
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/ui/changes", changes.stream)
    app.router.add_routes(QueryApiV3(store).routes())
    app.router.add_routes(QueryApi(store).routes())
    app.router.add_routes(Page().routes())
    return app
