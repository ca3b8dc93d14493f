"""The HTTP side of a gateway: what the server's wrapper does for a gRPC call, for an HTTP request.

An ASGI middleware without a framework: it goes on with the caller's trace, or begins one, sets the deadline and the
authorization that calls into the mesh inherit, and counts. The route is what the framework leaves in the scope when it
has found one (Starlette and FastAPI do).

A WebSocket has one span, from its handshake (a GET) until it ends, and calls made on its behalf are inside of it. It
hands down neither a deadline nor its handshake's authorization: it may be open for hours, and outlive both.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context

from meshwright.calls.http.http_request import SWITCHING_PROTOCOLS, HttpRequest
from meshwright.calls.incoming import INCOMING, IncomingContext
from meshwright.telemetry import acquire, current

if TYPE_CHECKING:
    from collections.abc import Collection

    from meshwright.telemetry import Telemetry

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class AsgiMiddleware:
    """Wraps an ASGI application. `timeout`: seconds within which a request's calls into the mesh must end.

    `quiet`: paths without spans and metrics, such as health checks. `untraced`: paths that are counted and have no
    spans, such as static files; one that ends in `*` stands for all that begin so. `telemetry`: instead of the
    server's in whose context it runs, or without a server of the program's own.
    """

    def __init__(
        self,
        app: App,
        *,
        timeout: float | None = None,
        quiet: Collection[str] = (),
        untraced: Collection[str] = (),
        telemetry: Telemetry | None = None,
    ) -> None:
        self._app = app
        self._timeout = timeout
        self._quiet = frozenset(quiet)
        self._is_untraced = path_matcher(untraced)
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"} or scope["path"] in self._quiet:
            await self._app(scope, receive, send)
            return
        lines = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        headers = dict(lines)
        traced = not self._is_untraced(scope["path"])
        telemetry = self._telemetry or current() or acquire()
        method = scope.get("method", "GET")
        request = HttpRequest(telemetry, method, headers, _attributes(scope), traced=traced, lines=lines)
        if scope["type"] == "websocket":
            await _answer(self._app, scope, receive, send, request)
            return
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        incoming = INCOMING.set(IncomingContext(deadline, headers.get("authorization")))
        try:
            await _answer(self._app, scope, receive, send, request)
        finally:
            INCOMING.reset(incoming)


def path_matcher(patterns: Collection[str]) -> Callable[[str], bool]:
    """Returns whether a path matches one of `patterns`: exact paths, or prefixes that end in `*`."""
    paths = frozenset(patterns)
    prefixes = tuple(pattern[:-1] for pattern in patterns if pattern.endswith("*"))
    return lambda path: path in paths or path.startswith(prefixes)


async def _answer(app: App, scope: Scope, receive: Receive, send: Send, request: HttpRequest) -> None:
    """Let the application answer one request."""

    async def noting(message: MutableMapping[str, Any]) -> None:
        if message["type"] in {"http.response.start", "websocket.http.response.start"}:
            request.status = message["status"]
        elif message["type"] == "websocket.accept":
            request.status = SWITCHING_PROTOCOLS
        await send(message)

    token = otel_context.attach(request.context)
    try:
        await app(scope, receive, noting)
    except Exception as error:
        request.fail(error)
        raise
    finally:
        otel_context.detach(token)
        request.end(getattr(scope.get("route"), "path", None))


def _attributes(scope: Scope) -> dict[str, str | int]:
    attributes: dict[str, str | int] = {
        "url.path": scope["path"],
        "url.scheme": scope.get("scheme", "http"),
        "network.protocol.version": scope.get("http_version", "1.1"),
    }
    if scope.get("query_string"):
        attributes["url.query"] = scope["query_string"].decode("latin-1")
    if scope.get("server"):
        attributes |= {"server.address": scope["server"][0], "server.port": scope["server"][1] or 0}
    if scope.get("client"):
        attributes |= {"client.address": scope["client"][0]}
    return attributes
