"""Which traces a query finds, and what is wrong with a query, by table."""

from __future__ import annotations

from typing import Any

import pytest
from multidict import MultiDict

from meshwright.dev.traces import TraceStore
from meshwright.dev.traces.query_api.search import dependencies, find
from meshwright.dev.traces.query_api.summary import summary
from meshwright.dev.traces.query_api.v1_parameters import (
    NANOS,
    BadQueryError,
    TraceQuery,
    parse_dependency_query,
    parse_trace_id,
    parse_trace_query,
)
from meshwright.messages.otlp import Span
from support.spans import EPOCH, MS, attributes, request, span, trace_id

NOW = EPOCH + 60 * NANOS


@pytest.fixture
def store() -> TraceStore:
    made = TraceStore(max_spans=1000, max_bytes=10_000_000)
    event = Span.Event(name="cache miss", attributes=attributes({"key": "user:7"}))
    made.ingest(request(span(1, 1, name="GET /users", took=30), service="gateway"))
    made.ingest(
        request(
            span(
                1, 2, parent=1, name="Get", at=2, took=20, tags={"code": 5, "ok": False, "ratio": 2.0}, events=[event]
            ),
            service="user",
            **{"service.version": "v2"},
        )
    )
    made.ingest(request(span(2, 1, name="GET /users", at=1000, took=300), service="gateway"))
    made.ingest(request(span(2, 2, parent=1, name="Get", kind="client", at=1001, took=9, error="down"), service="user"))
    made.ingest(request(span(3, 1, name="tick", kind="internal", at=2000, took=0.5), service="cron", scope="beat"))
    return made


async def found(store: TraceStore, **query: Any) -> list[int]:
    return [int.from_bytes(trace.id, "big") async for trace in find(store, TraceQuery(**query))]


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ({}, [3, 2, 1]),
        ({"limit": 2}, [3, 2]),
        ({"service": "gateway"}, [2, 1]),
        ({"service": "nobody"}, []),
        ({"service": "user", "operation": "Get"}, [2, 1]),
        # One span must satisfy all of it: the gateway's are the long ones, the user service's are called Get.
        ({"service": "gateway", "operation": "Get"}, []),
        ({"service": "user", "min_duration": 100 * MS}, []),
        ({"min_duration": 100 * MS}, [2]),
        ({"min_duration": 20 * MS, "max_duration": 20 * MS}, [1]),
        ({"max_duration": MS}, [3]),
        ({"start": EPOCH + 1000 * MS}, [3, 2]),
        ({"end": EPOCH + 999 * MS}, [1]),
        ({"start": EPOCH + 1000 * MS, "end": EPOCH + 1000 * MS}, [2]),
    ],
)
async def test_times_names_and_durations(store: TraceStore, query: dict[str, Any], numbers: list[int]) -> None:
    assert await found(store, **query) == numbers


@pytest.mark.parametrize(
    ("tags", "numbers"),
    [
        ({"error": "true"}, [2]),
        ({"error": "false"}, [3, 2, 1]),
        ({"error": "maybe"}, []),
        ({"code": "5"}, [1]),
        ({"code": "6"}, []),
        ({"ok": "false"}, [1]),
        ({"ratio": "2"}, [1]),
        ({"code": "5", "ok": "true"}, []),
        ({"span.kind": "client"}, [2]),
        ({"span.kind": "internal"}, [3]),
        ({"otel.status_code": "ERROR"}, [2]),
        ({"otel.status_description": "down"}, [2]),
        ({"otel.scope.name": "beat"}, [3]),
        ({"service.version": "v2"}, [1]),
        ({"resource.service.version": "v2"}, [1]),
        ({"resource.code": "5"}, []),
        ({"key": "user:7"}, [1]),
        ({"event": "cache miss"}, [1]),
        ({"span.status": "error"}, [2]),
        ({"span.status": "unset"}, [3, 2, 1]),
        ({"scope.name": "beat"}, [3]),
        ({"absent": "1"}, []),
    ],
)
async def test_tags_of_spans_processes_and_events(store: TraceStore, tags: dict[str, str], numbers: list[int]) -> None:
    assert await found(store, tags=tags) == numbers


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"service": "a"}, {"service": "a", "end": NOW, "start": NOW - 2 * 24 * 3600 * NANOS, "limit": 100}),
        ({"service": "a", "start": "5", "end": "9"}, {"start": 5000, "end": 9000}),
        ({"service": "a", "lookback": "1h"}, {"start": NOW - 3600 * NANOS}),
        ({"service": "a", "lookback": "1h", "start": "5"}, {"start": 5000}),
        ({"service": "a", "lookback": "2d"}, {"start": NOW - 48 * 3600 * NANOS}),
        ({"service": "a", "lookback": "1w"}, {"start": NOW - 7 * 24 * 3600 * NANOS}),
        # What Jaeger's page and Grafana send, beside the times that they mean.
        ({"service": "a", "lookback": "custom", "start": "5", "end": "9"}, {"start": 5000, "end": 9000}),
        ({"service": "a", "lookback": "custom"}, {"start": NOW - 2 * 24 * 3600 * NANOS}),
        ({"service": "a", "lookback": "-1h"}, {"start": NOW - 2 * 24 * 3600 * NANOS}),
        (
            {"service": "a", "minDuration": "1.5ms", "maxDuration": "1m30s"},
            {"min_duration": 1_500_000, "max_duration": 90 * NANOS},
        ),
        ({"service": "a", "limit": "7"}, {"limit": 7}),
        ({"service": "a", "tags": '{"k":"v"}', "tag": "a:b:c"}, {"tags": {"k": "v", "a": "b:c"}}),
        ({"traceID": "ab"}, {"trace_ids": (trace_id(0xAB),)}),
    ],
)
def test_parameters_are_read(parameters: dict[str, str], expected: dict[str, Any]) -> None:
    query = parse_trace_query(MultiDict(parameters), NOW)
    assert {name: getattr(query, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "parameter 'service' is required"),
        ({"start": "soon"}, "unable to parse param 'start': strconv.ParseInt: parsing \"soon\": invalid syntax"),
        ({"start": "٣"}, "unable to parse param 'start'"),
        ({"end": "9" * 30}, "unable to parse param 'end'"),
        ({"limit": "many"}, "unable to parse param 'limit'"),
        ({"limit": "0"}, "expected a number above 0, not 0"),
        ({"minDuration": "5"}, 'time: missing unit in duration "5"'),
        ({"minDuration": "5 parsec"}, 'time: unknown unit " parsec" in duration "5 parsec"'),
        ({"maxDuration": "5y"}, 'time: unknown unit "y" in duration "5y"'),
        ({"maxDuration": "ms"}, 'time: invalid duration "ms"'),
        ({"minDuration": "2s", "maxDuration": "1s"}, "'maxDuration' should be greater than 'minDuration'"),
        ({"tag": "novalue"}, "malformed 'tag' parameter, expecting key:value, received: novalue"),
        ({"tags": "{"}, "malformed 'tags' parameter, cannot unmarshal JSON"),
        ({"tags": '{"a":1}'}, "expected an object of strings"),
        ({"tags": "[" * 100_000}, "malformed 'tags' parameter"),
        ({"traceID": "xyz"}, "cannot parse traceID param"),
        ({"traceID": "1" * 33}, "TraceID cannot be longer than 32 hex characters"),
    ],
)
def test_bad_parameters_are_refused_in_jaegers_words(parameters: dict[str, str], message: str) -> None:
    given = {"service": "a", **parameters} if parameters else {}
    with pytest.raises(BadQueryError) as caught:
        parse_trace_query(MultiDict(given), NOW)
    assert message in str(caught.value)


def test_short_trace_ids_are_padded() -> None:
    assert parse_trace_id("ABC") == trace_id(0xABC)


@pytest.mark.parametrize("text", ["+/8AAAAAAAAAAAAAAAAAAA==", "-_8AAAAAAAAAAAAAAAAAAA", "+/8AAAAAAAAAAAAAAAAAAA"])
def test_a_trace_id_may_be_base64(text: str) -> None:
    assert parse_trace_id(text) == b"\xfb\xff" + bytes(14)


def test_dependencies_count_calls_between_services_within_the_time(store: TraceStore) -> None:
    traces = store.newest_first()
    assert dependencies(traces, 0, NOW) == {("gateway", "user"): 2}
    assert dependencies(traces, EPOCH + 500 * MS, NOW) == {("gateway", "user"): 1}


def test_a_service_that_calls_itself_counts_but_its_inner_spans_do_not() -> None:
    store = TraceStore(max_spans=100, max_bytes=1_000_000)
    store.ingest(
        request(
            span(1, 1, kind="internal"),
            span(1, 2, parent=1, kind="client"),
            span(1, 3, parent=2, kind="server"),
            span(1, 4, parent=99, kind="server"),
        )
    )
    assert dependencies(store.newest_first(), 0, NOW) == {("user", "user"): 1}


def test_the_dependency_window_is_in_milliseconds() -> None:
    assert parse_dependency_query(MultiDict(endTs="2000", lookback="500"), NOW) == (1_500_000_000, 2_000_000_000)


def test_a_summary_says_what_the_list_shows(store: TraceStore) -> None:
    trace = store.get(trace_id(2))
    assert trace is not None
    assert summary(trace) == {
        "traceID": "0000000000000002",
        "rootService": "gateway",
        "rootOperation": "GET /users",
        "rootMissing": False,
        "start": (EPOCH + 1000 * MS) // 1000,
        "duration": 300_000,
        "spans": 2,
        "errors": 1,
        "services": [
            {"name": "gateway", "spans": 1, "errors": 0},
            {"name": "user", "spans": 1, "errors": 1},
        ],
    }
