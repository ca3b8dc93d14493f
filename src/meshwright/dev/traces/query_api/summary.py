"""A trace in one line: what the page's list shows. No span is parsed for it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from meshwright.dev.traces.query_api.jaeger_json import NANOS_PER_MICRO, trace_id_text

if TYPE_CHECKING:
    from meshwright.dev.traces.store.trace_store import Trace


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


def brief(trace: Trace) -> dict[str, Any]:
    """The trace as Jaeger's API v3 sums it up: whole numbers past 32 bits as text, and what is 0 left out."""
    root = trace.root()
    spans = Counter(span.service for span in trace.spans.values())
    failed = Counter(span.service for span in trace.spans.values() if span.failed)
    orphans = sum(bool(span.parent_id) and span.parent_id not in trace.spans for span in trace.spans.values())
    found = {
        "traceId": trace.id.hex(),
        "rootServiceName": "" if root.parent_id else root.service,
        "rootOperationName": "" if root.parent_id else root.name,
        "minStartTimeUnixNano": str(trace.start),
        "maxEndTimeUnixNano": str(trace.end),
        "spanCount": len(trace.spans),
        "errorSpanCount": failed.total(),
        "orphanSpanCount": orphans,
        "services": [
            {"name": name, "spanCount": count} | ({"errorSpanCount": failed[name]} if failed[name] else {})
            for name, count in sorted(spans.items())
        ],
    }
    return {key: value for key, value in found.items() if value}
