"""The HTTP side of a gateway: what the server's wrapper does for a gRPC call, for an HTTP request.

An ASGI middleware without a framework: it goes on with the caller's trace, or begins one, sets the deadline and the
authorization that calls into the mesh inherit, and counts. Attribute names are OpenTelemetry's for HTTP. The route,
which keeps names and labels few, is what the framework leaves in the scope when it has found one (Starlette and
FastAPI do).

A WebSocket has one span, from its handshake (a GET) until it ends, and calls made on its behalf are inside of it. It
hands down neither a deadline nor its handshake's authorization: it may be open for hours, and outlive both.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.context import Context

from meshwright.interceptors.incoming import INCOMING, Incoming
from meshwright.telemetry import current
from meshwright.telemetry.metrics import UNKNOWN_METHOD

if TYPE_CHECKING:
    from collections.abc import Collection

    from meshwright.telemetry import Telemetry

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_FIRST_SERVER_ERROR = 500
_SWITCHING_PROTOCOLS = 101


class AsgiMiddleware:
    """Wraps an ASGI application. `timeout`: seconds within which a request's calls into the mesh must end.

    `quiet`: paths without spans and metrics, such as health checks. `untraced`: paths that are counted and have no
    spans, such as static files; one that ends in `*` stands for all that begin so. `telemetry`: instead of the
    process's.
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
        self._untraced = frozenset(untraced)
        self._untraced_below = tuple(path[:-1] for path in untraced if path.endswith("*"))
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        telemetry = self._telemetry or current()
        if scope["type"] not in {"http", "websocket"} or telemetry is None or scope["path"] in self._quiet:
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if scope["type"] == "websocket":
            await _Request(telemetry, scope, headers).answer(self._app, receive, send)
            return
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        incoming = INCOMING.set(Incoming(deadline, headers.get("authorization")))
        traced = not self._is_untraced(scope["path"])
        try:
            await _Request(telemetry, scope, headers, traced=traced).answer(self._app, receive, send)
        finally:
            INCOMING.reset(incoming)

    def _is_untraced(self, path: str) -> bool:
        return path in self._untraced or path.startswith(self._untraced_below)


class _Request:
    """One request that is being answered."""

    def __init__(self, telemetry: Telemetry, scope: Scope, headers: dict[str, str], *, traced: bool = True) -> None:
        self._telemetry = telemetry
        self._scope = scope
        self._status = 0
        method = scope.get("method", "GET")
        self._method = method if method in _METHODS else "_OTHER"
        self._start = time.perf_counter()
        self._parent = propagate.extract(headers, context=Context())
        self._span: trace.Span = trace.INVALID_SPAN
        if traced:
            self._span = telemetry.tracer.start_span(
                self._method, self._parent, trace.SpanKind.SERVER, _attributes(scope, headers, self._method)
            )

    async def answer(self, app: App, receive: Receive, send: Send) -> None:
        async def noting(message: MutableMapping[str, Any]) -> None:
            if message["type"] in {"http.response.start", "websocket.http.response.start"}:
                self._status = message["status"]
            elif message["type"] == "websocket.accept":
                self._status = _SWITCHING_PROTOCOLS
            await send(message)

        token = otel_context.attach(trace.set_span_in_context(self._span, self._parent))
        try:
            await app(self._scope, receive, noting)
        except Exception as error:
            self._status = self._status or _FIRST_SERVER_ERROR
            self._span.record_exception(error)
            raise
        finally:
            otel_context.detach(token)
            self._end()

    def _end(self) -> None:
        route = getattr(self._scope.get("route"), "path", None)
        seconds = time.perf_counter() - self._start
        identity, metrics = self._telemetry.identity, self._telemetry.metrics
        labels = (identity.service, identity.version, self._method, route or UNKNOWN_METHOD)
        # No status: the client was gone before there was one.
        metrics.http_requests.labels(*labels, str(self._status or 499)).inc()
        if self._status != _SWITCHING_PROTOCOLS:  # how long a socket was open is no time that an answer took
            metrics.http_duration.labels(*labels).observe(seconds)
        if route:
            self._span.update_name(f"{self._method} {route}")
            self._span.set_attribute("http.route", route)
        if self._status:
            self._span.set_attribute("http.response.status_code", self._status)
        if self._status >= _FIRST_SERVER_ERROR:
            self._span.set_attribute("error.type", str(self._status))
            self._span.set_status(trace.Status(trace.StatusCode.ERROR))
        self._span.end()


def _attributes(scope: Scope, headers: dict[str, str], method: str) -> dict[str, str | int]:
    attributes: dict[str, str | int] = {
        "http.request.method": method,
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
    if "user-agent" in headers:
        attributes["user_agent.original"] = headers["user-agent"]
    return attributes
