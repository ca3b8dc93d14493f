"""Which traces a query finds, and which services call which.

A trace is found when one of its spans satisfies the whole query: service, operation, times, duration and tags
together (Jaeger's in-memory store). The newest are looked at first and the search stops at the limit. Parsing a
span is the expensive step, so it comes last, and only for spans whose bytes contain the tag's key at all.

`find` gives way to other tasks every few hundred spans: a search through a full store must not hold up an export.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

from meshwright.dev import booleans
from meshwright.dev.traces.query_api.jaeger_json import event_to_json, process_to_json, span_tags, text_of
from meshwright.messages.otlp import Status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    from meshwright.dev.traces.query_api.v1_parameters import TraceQuery
    from meshwright.dev.traces.store.spans import StoredSpan
    from meshwright.dev.traces.store.trace_store import Trace, TraceStore

SPANS_PER_TURN = 2000
_MADE_BY_US = frozenset(
    {"otel.scope.name", "otel.scope.version", "span.kind", "otel.status_code", "otel.status_description"}
    | {"w3c.tracestate", "event", "error"}
)
_STATUSES = {"ok": Status.STATUS_CODE_OK, "error": Status.STATUS_CODE_ERROR}
_CALLERS = frozenset({"client", "producer"})
_CALLED = frozenset({"server", "consumer"})


async def find(store: TraceStore, query: TraceQuery) -> AsyncIterator[Trace]:
    """The newest traces that the query finds, at most its limit."""
    found = looked_at = 0
    for trace in store.newest_first():
        looked_at += len(trace.spans)
        if looked_at > SPANS_PER_TURN:
            looked_at = 0
            await asyncio.sleep(0)
        if any(matches(span, query) for span in trace.spans.values()):
            yield trace
            found += 1
            if found == query.limit:
                return


def matches(span: StoredSpan, query: TraceQuery) -> bool:
    """Whether this one span satisfies the whole query. Bounds are inclusive."""
    return (
        query.service in ("", span.service)
        and query.operation in ("", span.name)
        and query.start <= span.start
        and (not query.end or span.start <= query.end)
        and span.duration >= query.min_duration
        and (not query.max_duration or span.duration <= query.max_duration)
        and all(has_tag(span, key, value) for key, value in query.tags.items())
    )


def has_tag(span: StoredSpan, key: str, value: str) -> bool:
    """Whether the span, its process or one of its events carries that tag, compared as text.

    `error=false` finds the spans that are no error. `resource.<key>` looks at the process only, `span.status`,
    `span.kind`, `scope.name` and `scope.version` at what a span has beside its attributes.
    """
    if key in _BESIDE:
        return _BESIDE[key](span, value)
    if key.startswith("resource."):
        return _carries(process_to_json(span.resource)["tags"], key.removeprefix("resource."), value)
    if not _may_carry(span, key):
        return False
    process = process_to_json(span.resource)["tags"]
    message = span.message()
    own = span_tags(message, span.scope)
    logs = (field for event in message.events for field in event_to_json(event)["fields"])
    return _carries(own, key, value) or _carries(process, key, value) or _carries(logs, key, value)


def _has_error(span: StoredSpan, value: str) -> bool:
    try:
        return span.failed == booleans.parse(value)
    except ValueError:
        return False


def _has_status(span: StoredSpan, value: str) -> bool:
    return span.message().status.code == _STATUSES.get(value.lower(), Status.STATUS_CODE_UNSET)


_BESIDE: Mapping[str, Callable[[StoredSpan, str], bool]] = {
    "error": _has_error,
    "span.kind": lambda span, value: span.kind == value.lower(),
    "span.status": _has_status,
    "scope.name": lambda span, value: span.scope.name == value,
    "scope.version": lambda span, value: span.scope.version == value,
}
"""What a search may ask of a span beside its attributes."""


def _may_carry(span: StoredSpan, key: str) -> bool:
    encoded = key.encode(errors="surrogatepass")
    return key in _MADE_BY_US or encoded in span.body or encoded in span.resource.body


def _carries(items: Iterable[Mapping[str, Any]], key: str, value: str) -> bool:
    return any(item["key"] == key and text_of(dict(item)) == value for item in items)


def dependencies(traces: Iterable[Trace], start: int, end: int) -> Counter[tuple[str, str]]:
    """How often each service called each other one, in traces that started within the time.

    A service that calls an instance of itself counts; spans within one process do not.
    """
    calls: Counter[tuple[str, str]] = Counter()
    for trace in traces:
        if not start <= trace.start <= end:
            continue
        for span in trace.spans.values():
            parent = trace.spans.get(span.parent_id)
            if parent is None:
                continue
            hop = parent.kind in _CALLERS and span.kind in _CALLED
            if hop or parent.service != span.service:
                calls[parent.service, span.service] += 1
    return calls
