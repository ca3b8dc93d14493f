"""From a table of routes to an aiohttp application that answers mistakes as Consul does."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from aiohttp import web

from meshwright.dev.consul.api import paths
from meshwright.dev.consul.http_errors import HttpError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp.typedefs import Middleware

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Route = tuple[str, str, Handler]
"""Method, path, handler."""

_WRITES = ("PUT", "DELETE")


def application(routes: Iterable[Route], max_body: int) -> web.Application:
    """An application that knows these routes: others are 404, other methods 405 with Consul's text."""
    by_path: defaultdict[str, dict[str, Handler]] = defaultdict(dict)
    for method, path, handler in routes:
        by_path[path][method] = handler
    families = {path.partition("{")[0] for path in by_path if "{" in path}
    odd_paths = paths.judging(by_path.keys() - families, families)
    app = web.Application(middlewares=[odd_paths, _writes_end(), _errors], client_max_size=max_body)
    for path, handlers in by_path.items():
        app.router.add_route("*", path, _by_method(handlers))
    return app


def _by_method(handlers: dict[str, Handler]) -> Handler:
    allowed = ",".join(sorted(handlers))

    async def handle(request: web.Request) -> web.StreamResponse:
        handler = handlers.get(request.method)
        if request.method == "OPTIONS":
            return web.Response(headers={"Allow": f"OPTIONS,{allowed}"})
        if handler is None:
            text = f"method {request.method} not allowed"
            return web.Response(status=405, text=text, headers={"Allow": allowed})
        return await handler(request)

    return handle


def _writes_end() -> Middleware:
    """A middleware: a write goes on to its end though its client goes away, and with it the handler that awaits it."""
    writes: set[asyncio.Task[web.StreamResponse]] = set()

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method not in _WRITES:
            return await handler(request)
        write = asyncio.ensure_future(handler(request))
        writes.add(write)  # the loop alone would let go of it
        write.add_done_callback(writes.discard)
        return await asyncio.shield(write)

    return middleware


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except HttpError as fault:
        return web.Response(status=fault.status, text=fault.text)
    except web.HTTPNotFound:
        return web.Response(status=404, text=paths.missing(request.path))
    except web.HTTPRequestEntityTooLarge:
        return web.Response(status=413, text=_too_large(request))


def _too_large(request: web.Request) -> str:
    return (
        f"Request body({request.content_length} bytes) too large, max size: {request.client_max_size} bytes. "
        "See https://www.consul.io/docs/agent/options.html#kv_max_value_size."
    )
