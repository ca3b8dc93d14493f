"""The HTTP side of a WSGI application (Flask, Django): what `AsgiMiddleware` does, without asyncio.

The request's trace, deadline and authorization are context variables of the thread that answers it, for as long as the
application runs and its body is read. Threads that the application starts do not inherit them (run their work in
`contextvars.copy_context()`). The route is Flask's, or what the application puts into `environ["meshwright.route"]`.
"""

from __future__ import annotations

import contextlib
import contextvars
import time
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context

from meshwright.calls.http.http_request import HttpRequest
from meshwright.calls.incoming import INCOMING, IncomingContext
from meshwright.telemetry import acquire, current
from meshwright.telemetry.metrics import CONTENT_TYPE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, MutableMapping

    from meshwright.telemetry import Telemetry

    Environ = MutableMapping[str, Any]
    StartResponse = Callable[..., Any]
    App = Callable[[Environ, StartResponse], Iterable[bytes]]

ROUTE = "meshwright.route"


class WsgiMiddleware:
    """Wraps a WSGI application. `timeout`: seconds within which a request's calls into the mesh must end.

    `metrics`: the path at which Prometheus finds this process's metrics. `quiet`: paths without spans and metrics,
    such as health checks. `telemetry`: instead of the program's.
    """

    def __init__(
        self,
        app: App,
        *,
        timeout: float | None = None,
        metrics: str | None = None,
        quiet: Collection[str] = (),
        telemetry: Telemetry | None = None,
    ) -> None:
        self._app = app
        self._timeout = timeout
        self._metrics = metrics
        self._quiet = frozenset(quiet)
        self._telemetry = telemetry

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path in self._quiet:
            return self._app(environ, start_response)
        telemetry = self._telemetry or current() or acquire()
        if path == self._metrics:
            start_response("200 OK", [("Content-Type", CONTENT_TYPE)])
            return [telemetry.metrics.page()]
        headers = {
            name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")
        }
        request = HttpRequest(telemetry, environ.get("REQUEST_METHOD", "GET"), headers, _attributes(environ))
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        return _Response(self._app, environ, request, IncomingContext(deadline, headers.get("authorization"))).begin(
            start_response
        )


class _Response:
    """An answer, from the call of the application until its body has been read and closed."""

    def __init__(self, app: App, environ: Environ, request: HttpRequest, incoming: IncomingContext) -> None:
        self._app = app
        self._environ = environ
        self._request = request
        self._context = contextvars.copy_context()
        self._context.run(INCOMING.set, incoming)
        self._context.run(otel_context.attach, request.context)
        self._body: Iterable[bytes] = ()
        self._rule: Any = None
        self._ended = False

    def begin(self, start_response: StartResponse) -> Iterable[bytes]:
        def noting(status: str, *rest: Any) -> Any:
            self._request.status = int(status.split(maxsplit=1)[0])
            # Flask takes its request out of the environment when the application has returned.
            self._rule = getattr(self._environ.get("werkzeug.request"), "url_rule", None)
            return start_response(status, *rest)

        with self._failing():
            self._body = self._context.run(self._app, self._environ, noting)
        return self

    def __iter__(self) -> Iterator[bytes]:
        with self._failing():
            chunks = self._context.run(iter, self._body)
            while (chunk := self._context.run(next, chunks, None)) is not None:
                yield chunk

    def close(self) -> None:
        """The server calls it when it has sent the answer, or given up."""
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                self._context.run(close)
        finally:
            self._end()

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._request.fail(error)
            self._end()
            raise

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self._request.end(self._environ.get(ROUTE) or getattr(self._rule, "rule", None))


def _attributes(environ: Environ) -> dict[str, str | int]:
    attributes: dict[str, str | int] = {
        "url.path": environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""),
        "url.scheme": environ.get("wsgi.url_scheme", "http"),
        "network.protocol.version": environ.get("SERVER_PROTOCOL", "HTTP/1.1").rpartition("/")[2],
    }
    if environ.get("QUERY_STRING"):
        attributes["url.query"] = environ["QUERY_STRING"]
    if environ.get("SERVER_NAME"):
        attributes |= {"server.address": environ["SERVER_NAME"], "server.port": int(environ.get("SERVER_PORT") or 0)}
    if environ.get("REMOTE_ADDR"):
        attributes["client.address"] = environ["REMOTE_ADDR"]
    return attributes
