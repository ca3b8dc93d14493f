"""W3C trace context as text, stored with work that continues later in the same trace."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from opentelemetry import context, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROPAGATOR = TraceContextTextMapPropagator()
_KEY = "traceparent"


def current_traceparent() -> str:
    """The `traceparent` of the current span; empty without one."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get(_KEY, "")


@contextlib.contextmanager
def continue_trace(traceparent: str, name: str) -> Iterator[None]:
    """Starts a span in the trace of `traceparent`, or in a new trace, and makes it current."""
    parent = _PROPAGATOR.extract({_KEY: traceparent}, context.Context()) if traceparent else context.Context()
    with trace.get_tracer(__name__).start_as_current_span(name, parent):
        yield
