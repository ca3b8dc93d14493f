"""Whatever comes in, in whatever order: the store's books are right, and its bounds hold."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from meshwright.dev.traces import TraceStore
from meshwright.dev.traces.query_api.jaeger_json import trace_to_json
from meshwright.dev.traces.query_api.summary import summary
from meshwright.dev.traces.store.trace_store import TRACE_OVERHEAD
from support.spans import request, span

SPANS = st.builds(
    lambda trace, number, parent, service, size, at, took: (
        span(trace, number, parent=parent, name=f"op {number % 3}", at=at, took=took, tags={"x": "y" * size}),
        service,
    ),
    trace=st.integers(1, 5),
    number=st.integers(1, 8),
    parent=st.integers(0, 8),
    service=st.sampled_from(["a", "b", "c"]),
    size=st.integers(0, 3000),
    at=st.floats(-1000, 1000),
    took=st.floats(-5, 100),
)


@settings(max_examples=200)
@given(arrivals=st.lists(SPANS, max_size=60), max_spans=st.integers(1, 20), max_bytes=st.integers(2_000, 30_000))
def test_the_books_are_right_and_the_bounds_hold(arrivals: list, max_spans: int, max_bytes: int) -> None:
    store = TraceStore(max_spans=max_spans, max_bytes=max_bytes)
    for one, service in arrivals:
        store.ingest(request(one, service=service))
        traces = store.newest_first()
        assert store.spans == sum(len(trace.spans) for trace in traces) <= max_spans
        assert store.bytes == sum(trace.size for trace in traces) <= max_bytes
        for trace in traces:
            assert trace.spans
            assert trace.size == TRACE_OVERHEAD + sum(kept.size for kept in trace.spans.values())
            assert trace.start == min(kept.start for kept in trace.spans.values())
            assert trace.root() in trace.spans.values()
    counts = store.counts
    assert counts.received == len(arrivals)
    assert counts.received == store.spans + counts.evicted_spans + counts.repeated + counts.refused
    kept = [span for trace in store.newest_first() for span in trace.spans.values()]
    assert store.services() == sorted({span.service for span in kept})
    for service in store.services():
        shown = {(span.name, span.kind) for span in kept if span.service == service}
        assert store.operations(service) == sorted(shown)
    for trace in store.newest_first():
        document = trace_to_json(trace)
        assert len(document["spans"]) == len(trace.spans) == summary(trace)["spans"]
        assert {span["processID"] for span in document["spans"]} == set(document["processes"])
