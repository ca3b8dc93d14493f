"""The trace in which something happens, as text that can be stored: work that goes on later goes on in that trace."""

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
    """W3C's `traceparent` of the current span; empty where there is none."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get(_KEY, "")


@contextlib.contextmanager
def continue_trace(traceparent: str, name: str) -> Iterator[None]:
    """A span in the trace that `traceparent` names, or in a new one; calls made inside belong to it."""
    parent = _PROPAGATOR.extract({_KEY: traceparent}, context.Context()) if traceparent else context.Context()
    with trace.get_tracer(__name__).start_as_current_span(name, parent):
        yield
