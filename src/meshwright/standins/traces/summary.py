"""A trace in one line: what the page's list shows. No span is parsed for it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from meshwright.standins.traces.jaeger import NANOS_PER_MICRO, trace_id_text

if TYPE_CHECKING:
    from meshwright.standins.traces.store import Trace


def summary(trace: Trace) -> dict[str, Any]:
    """The trace's name, extent, size, services and errors. Times are microseconds."""
    root = trace.root()
    spans = Counter(span.service for span in trace.spans.values())
    failed = Counter(span.service for span in trace.spans.values() if span.failed)
    return {
        "traceID": trace_id_text(trace.id),
        "rootService": root.service,
        "rootOperation": root.name,
        "rootMissing": bool(root.parent_id),
        "start": trace.start // NANOS_PER_MICRO,
        "duration": (trace.end - trace.start) // NANOS_PER_MICRO,
        "spans": len(trace.spans),
        "errors": failed.total(),
        "services": [{"name": name, "spans": count, "errors": failed[name]} for name, count in sorted(spans.items())],
    }
