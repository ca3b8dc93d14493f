"""OTLP becomes Jaeger's JSON as Jaeger's own translator makes it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meshwright.dev.traces import TraceStore
from meshwright.dev.traces.query_api.jaeger_json import trace_id_text, trace_to_json
from meshwright.messages.otlp import Span, Status
from support.spans import EPOCH, MS, attributes, request, span, span_id, trace_id


def translate(*requests: Any, trace: int = 1) -> dict[str, Any]:
    store = TraceStore(max_spans=1000, max_bytes=10_000_000)
    for one in requests:
        store.ingest(one)
    found = store.get(trace_id(trace))
    assert found is not None
    document = trace_to_json(found)
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    return document


def tags_of(span_json: dict[str, Any]) -> dict[str, tuple[str, Any]]:
    return {tag["key"]: (tag["type"], tag["value"]) for tag in span_json["tags"]}


def test_a_span_has_jaegers_fields() -> None:
    document = translate(request(span(1, 2, parent=1, name="Get", at=1.5, took=2.25), service="user"))
    (only,) = document["spans"]
    assert document["traceID"] == only["traceID"] == "0000000000000001"
    assert only["spanID"] == "0000000000000002"
    assert only["operationName"] == "Get"
    assert only["startTime"] == (EPOCH + round(1.5 * MS)) // 1000
    assert only["duration"] == 2250
    assert only["references"] == [{"refType": "CHILD_OF", "traceID": "0000000000000001", "spanID": "0000000000000001"}]
    assert only["processID"] == "p1"
    assert only["logs"] == []
    assert set(only) == {
        *("traceID", "spanID", "operationName", "references", "startTime", "duration", "tags", "logs", "processID"),
        "warnings",
    }


def test_long_ids_have_32_digits() -> None:
    assert trace_id_text(bytes(range(16))) == "000102030405060708090a0b0c0d0e0f"


@pytest.mark.parametrize(
    ("plain", "kind", "shown"),
    [
        ("text", "string", "text"),
        (True, "bool", True),
        (42, "int64", 42),
        (2**53 - 1, "int64", 2**53 - 1),
        (2**53, "int64", "9007199254740992"),
        (-(2**53), "int64", "-9007199254740992"),
        (0.5, "float64", 0.5),
        (float("inf"), "float64", "inf"),
        (b"\x00\xff", "binary", "AP8="),
        ([1, "two", True], "string", '[1,"two",true]'),
        ({"a": {"b": [1]}}, "string", '{"a":{"b":[1]}}'),
        (None, "string", ""),
    ],
)
def test_tags_are_typed(plain: Any, kind: str, shown: Any) -> None:
    document = translate(request(span(tags={"key": plain})))
    assert tags_of(document["spans"][0])["key"] == (kind, shown)


def test_scope_kind_status_and_state_become_tags_around_the_attributes() -> None:
    one = span(kind="client", error="no route", tags={"own": 1}, trace_state="a=b")
    (only,) = translate(request(one, scope="mesh"))["spans"]
    assert [tag["key"] for tag in only["tags"]] == [
        *("otel.scope.name", "own", "span.kind", "otel.status_code", "error", "otel.status_description"),
        "w3c.tracestate",
    ]
    found = tags_of(only)
    assert found["otel.scope.name"] == ("string", "mesh")
    assert found["span.kind"] == ("string", "client")
    assert found["otel.status_code"] == ("string", "ERROR")
    assert found["error"] == ("bool", True)
    assert found["otel.status_description"] == ("string", "no route")
    assert found["w3c.tracestate"] == ("string", "a=b")


def test_an_unset_status_leaves_no_tag_and_ok_leaves_one() -> None:
    plain, fine = span(1, 1), span(1, 2)
    fine.status.code = Status.STATUS_CODE_OK
    first, second = translate(request(plain, fine))["spans"]
    assert not {"error", "otel.status_code"} & set(tags_of(first))
    assert tags_of(second)["otel.status_code"] == ("string", "OK")
    assert "error" not in tags_of(second)


def test_links_follow_and_a_link_to_the_parent_is_the_parent() -> None:
    links = [
        Span.Link(trace_id=trace_id(9), span_id=span_id(8)),
        Span.Link(trace_id=trace_id(1), span_id=span_id(1)),
        Span.Link(
            trace_id=trace_id(7), span_id=span_id(7), attributes=attributes({"opentracing.ref_type": "child_of"})
        ),
        Span.Link(),
    ]
    (only,) = translate(request(span(1, 2, parent=1, links=links)))["spans"]
    assert [(ref["refType"], ref["traceID"][-1], ref["spanID"][-1]) for ref in only["references"]] == [
        ("FOLLOWS_FROM", "1", "1"),
        ("FOLLOWS_FROM", "9", "8"),
        ("CHILD_OF", "7", "7"),
    ]


def test_events_are_logs_and_their_name_is_a_field() -> None:
    events = [
        Span.Event(name="exception", time_unix_nano=EPOCH + 5 * MS, attributes=attributes({"exception.type": "E"})),
        Span.Event(name="named", time_unix_nano=EPOCH, attributes=attributes({"event": "own name"})),
    ]
    (only,) = translate(request(span(events=events)))["spans"]
    assert only["logs"][0] == {
        "timestamp": (EPOCH + 5 * MS) // 1000,
        "fields": [
            {"key": "event", "type": "string", "value": "exception"},
            {"key": "exception.type", "type": "string", "value": "E"},
        ],
    }
    assert only["logs"][1]["fields"] == [{"key": "event", "type": "string", "value": "own name"}]


def test_each_resource_is_one_process() -> None:
    document = translate(
        request(span(1, 1), service="gateway"),
        request(span(1, 2, parent=1, at=1), span(1, 3, parent=1, at=2), service="user", **{"service.version": "2"}),
    )
    assert [one["processID"] for one in document["spans"]] == ["p1", "p2", "p2"]
    assert document["processes"] == {
        "p1": {"serviceName": "gateway", "tags": []},
        "p2": {
            "serviceName": "user",
            "tags": [{"key": "service.version", "type": "string", "value": "2"}],
        },
    }


def test_a_clock_that_is_behind_is_said_not_corrected() -> None:
    document = translate(
        request(span(1, 1, at=0, took=10), service="gateway", **{"host.name": "a"}),
        request(span(1, 2, parent=1, at=-100, took=4), service="user", **{"host.name": "b"}),
    )
    child, parent = document["spans"]
    assert child["startTime"] < parent["startTime"]
    assert child["warnings"] == ["clock skew adjustment disabled; not applying calculated delta of 103ms"]
    assert parent["warnings"] is None


def test_children_on_the_same_host_and_children_within_are_not_warned_of() -> None:
    document = translate(
        request(span(1, 1, took=10), span(1, 2, parent=1, at=-100), **{"host.name": "a"}),
        request(span(1, 3, parent=1, at=2, took=3), service="other"),
    )
    assert [one["warnings"] for one in document["spans"]] == [None, None, None]


def test_a_missing_parent_and_a_circle_are_said() -> None:
    (orphan,) = translate(request(span(1, 2, parent=0xAB)))["spans"]
    assert orphan["warnings"] == ["parent span ID=00000000000000ab is not in the trace; skipping clock skew adjustment"]
    circle = translate(request(span(1, 1, parent=2), span(1, 2, parent=1)))["spans"]
    assert all(one["warnings"] == ["the span is its own ancestor"] for one in circle)


def test_a_span_that_ends_before_it_starts_has_no_duration_and_a_warning() -> None:
    (only,) = translate(request(span(took=-3)))["spans"]
    assert only["duration"] == 0
    assert only["warnings"] == ["the span ends 3000000 ns before it starts; shown with no duration"]


def test_an_unnamed_span_and_an_unknown_kind_are_shown() -> None:
    odd = Span.FromString(span(name="", kind="").SerializeToString() + b"\x30\x63")  # field 6, kind = 99
    (only,) = translate(request(odd))["spans"]
    assert only["operationName"] == "empty-span-name"
    assert "span.kind" not in tags_of(only)
