"""One HTTP request that a service answers: its span and its figures, for ASGI and WSGI alike.

Attribute names are OpenTelemetry's for HTTP. The route keeps names and labels few; where the framework leaves none, the
label is `unknown`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from opentelemetry import propagate, trace
from opentelemetry.context import Context

from meshwright.calls import carried
from meshwright.telemetry.metrics import UNKNOWN_METHOD

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meshwright.telemetry import Telemetry

FIRST_SERVER_ERROR = 500
SWITCHING_PROTOCOLS = 101
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class HttpRequest:
    """A request from its arrival to its end. `context` is what calls made for it go on with."""

    def __init__(
        self,
        telemetry: Telemetry,
        method: str,
        headers: Mapping[str, str],
        attributes: Mapping[str, str | int],
        *,
        traced: bool = True,
        lines: Iterable[tuple[str, str]] = (),
    ) -> None:
        """The names of `headers` are in lower case; `lines`: each of them, where a name may come several times.
        Without `traced` it is counted and has no span."""
        self.status = 0
        self._telemetry = telemetry
        self._method = method if method in _METHODS else "_OTHER"
        self._start = time.perf_counter()
        parent = propagate.extract(headers, context=Context())
        if names := telemetry.config.carried_headers:
            parent = carried.taken(lines or headers.items(), names, parent)
        self._span: trace.Span = trace.INVALID_SPAN
        if traced:
            named = {"http.request.method": self._method, **attributes}
            if "user-agent" in headers:
                named["user_agent.original"] = headers["user-agent"]
            self._span = telemetry.tracer.start_span(self._method, parent, trace.SpanKind.SERVER, named)
        self.context = trace.set_span_in_context(self._span, parent)

    def fail(self, error: Exception) -> None:
        """The application has raised; a status that was sent stands."""
        self.status = self.status or FIRST_SERVER_ERROR
        self._span.record_exception(error)

    def end(self, route: str | None) -> None:
        """Count it and end its span."""
        seconds = time.perf_counter() - self._start
        identity, metrics = self._telemetry.identity, self._telemetry.metrics
        labels = (identity.service, identity.version, self._method, route or UNKNOWN_METHOD)
        # No status: the client was gone before there was one.
        metrics.http_requests.labels(*labels, str(self.status or 499)).inc()
        if self.status != SWITCHING_PROTOCOLS:  # how long a socket was open is no time that an answer took
            metrics.http_duration.labels(*labels).observe(seconds)
        if route:
            self._span.update_name(f"{self._method} {route}")
            self._span.set_attribute("http.route", route)
        if self.status:
            self._span.set_attribute("http.response.status_code", self.status)
        if self.status >= FIRST_SERVER_ERROR:
            self._span.set_attribute("error.type", str(self.status))
            self._span.set_status(trace.Status(trace.StatusCode.ERROR))
        self._span.end()
