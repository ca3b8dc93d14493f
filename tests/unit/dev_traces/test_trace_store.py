"""The store keeps the newest traces within its bounds, whatever order spans come in."""

from __future__ import annotations

import gc
import weakref

import pytest

from meshwright.dev.traces import TracesConfig, TraceStore
from meshwright.errors import ValidationError
from support.spans import request, span, trace_id


def make_store(max_spans: int = 100, max_bytes: int = 10_000_000) -> TraceStore:
    return TraceStore(max_spans=max_spans, max_bytes=max_bytes)


def kept(store: TraceStore) -> set[int]:
    return {int.from_bytes(trace.id, "big") for trace in store.newest_first()}


def test_the_oldest_trace_leaves_first_and_whole() -> None:
    store = make_store(max_spans=4)
    for number in (1, 2, 3):
        store.ingest(request(span(number, 1), span(number, 2)))
    assert kept(store) == {2, 3}
    assert store.spans == 4
    assert (store.counts.evicted_traces, store.counts.evicted_spans) == (1, 2)


def test_age_is_the_time_of_arrival_not_the_clock_of_the_sender() -> None:
    store = make_store(max_spans=2)
    store.ingest(request(span(1, at=9_999_999)))
    store.ingest(request(span(2, at=0)))
    store.ingest(request(span(3, at=5)))
    assert kept(store) == {2, 3}


def test_the_store_is_bounded_in_bytes_too() -> None:
    store = make_store(max_spans=1_000, max_bytes=20_000)
    for number in range(1, 50):
        store.ingest(request(span(number, tags={"payload": "x" * 3_000})))
    assert store.bytes <= 20_000
    assert kept(store) == {46, 47, 48, 49}


def test_a_trace_that_is_still_written_to_cannot_stay_for_ever() -> None:
    store = make_store(max_spans=3)
    for number in range(2, 6):
        store.ingest(request(span(1, number), span(number, 1)))
    assert kept(store) == {4, 5}


def test_a_late_span_joins_its_trace() -> None:
    store = make_store()
    store.ingest(request(span(1, 2, parent=1, at=5), service="user"))
    store.ingest(request(span(2, 1)))
    store.ingest(request(span(1, 1, at=0), service="gateway"))
    trace = store.get(trace_id(1))
    assert len(trace.spans) == 2
    assert trace.root().service == "gateway"
    assert trace.start == min(one.start for one in trace.spans.values())


def test_a_span_that_comes_after_its_trace_has_left_starts_it_anew() -> None:
    store = make_store(max_spans=2)
    store.ingest(request(span(1, 1)))
    store.ingest(request(span(2, 1), span(3, 1)))
    assert store.get(trace_id(1)) is None
    store.ingest(request(span(1, 2, parent=1)))
    assert set(store.get(trace_id(1)).spans) == {(2).to_bytes(8, "big")}


def test_a_span_sent_twice_is_kept_once_in_its_latest_form() -> None:
    store = make_store()
    store.ingest(request(span(1, 1, name="first")))
    size = store.bytes
    outcome = store.ingest(request(span(1, 1, name="other")))
    assert (outcome.accepted, outcome.rejected) == (1, 0)
    assert (store.spans, store.bytes) == (1, size)
    assert [one.name for one in store.get(trace_id(1)).spans.values()] == ["other"]
    assert store.operations("user") == [("other", "server")]
    assert store.counts.repeated == 1


def test_one_trace_alone_cannot_flush_the_store() -> None:
    store = make_store(max_spans=5)
    outcome = store.ingest(request(*(span(1, number) for number in range(1, 9))))
    assert (outcome.accepted, outcome.rejected) == (5, 3)
    assert "has reached the store's limits by itself (and 2 more)" in outcome.reason
    assert store.spans == 5


def test_growing_copies_of_one_span_do_not_pass_the_bound() -> None:
    store = make_store(max_bytes=5_000)
    outcomes = [store.ingest(request(span(1, 1, tags={"payload": "x" * size}))) for size in (10, 2_000, 50_000)]
    assert [outcome.accepted for outcome in outcomes] == [1, 1, 0]
    assert store.bytes <= 5_000


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"trace_id": b"\1" * 8}, "trace_id must be 16 bytes"),
        ({"trace_id": b"\0" * 16}, "trace_id must be 16 bytes and not all zero"),
        ({"span_id": b""}, "span_id must be 8 bytes"),
        ({"span_id": b"\0" * 8}, "span_id must be 8 bytes and not all zero"),
        ({"parent_span_id": b"\1"}, "parent_span_id must be 8 bytes or absent"),
    ],
)
def test_a_span_with_bad_ids_is_rejected_and_its_neighbours_are_kept(broken: dict[str, bytes], reason: str) -> None:
    store = make_store()
    bad = span(2, 2, name="bad")
    for name, content in broken.items():
        setattr(bad, name, content)
    outcome = store.ingest(request(span(1, 1), bad))
    assert (outcome.accepted, outcome.rejected) == (1, 1)
    assert reason in outcome.reason
    assert "'bad'" in outcome.reason
    assert store.counts.invalid == 1


def test_services_and_operations_leave_with_their_last_span() -> None:
    store = make_store(max_spans=2)
    store.ingest(request(span(1, 1, name="old"), service="gone"))
    store.ingest(request(span(2, 1, name="Get", kind="client"), span(3, 1, name="Get", kind="server")))
    assert store.services() == ["user"]
    assert store.operations("user") == [("Get", "client"), ("Get", "server")]
    assert store.operations("user", "client") == [("Get", "client")]
    assert store.operations("gone") == []


@pytest.mark.parametrize(
    ("service", "shown"),
    [(None, "missing-service-name"), ("", "empty-service-name"), (7, "service-name-wrong-type"), ("a b", "a b")],
)
def test_a_service_without_a_name_gets_jaegers_placeholder(service: object, shown: str) -> None:
    store = make_store()
    store.ingest(request(span(), service=service))  # type: ignore[arg-type]
    assert store.services() == [shown]


def test_spans_of_one_process_share_its_resource_and_let_it_go() -> None:
    store = make_store(max_spans=2)
    store.ingest(request(span(1, 1)))
    store.ingest(request(span(1, 2)))
    first, second = store.get(trace_id(1)).spans.values()
    assert first.resource is second.resource
    resource = weakref.ref(first.resource)
    store.ingest(request(span(2, 1), service="other"))
    del first, second
    gc.collect()
    assert resource() is None


def test_listeners_hear_of_changes_until_they_leave() -> None:
    store = make_store()
    heard: list[int] = []
    leave = store.subscribe(lambda: heard.append(store.version))
    store.ingest(request(span(1)))
    store.ingest(request())
    leave()
    store.ingest(request(span(2)))
    assert heard == [1]


def test_an_empty_store_answers_with_nothing() -> None:
    store = make_store()
    assert store.newest_first() == []
    assert store.services() == []
    assert len(store) == 0


def test_limits_that_could_keep_nothing_are_refused_by_name() -> None:
    with pytest.raises(ValidationError, match=r"MESHWRIGHT_TRACES_MAX_SPANS: expected a number above 0, not 0"):
        TracesConfig(max_spans=0)
