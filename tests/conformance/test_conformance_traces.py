"""One suite for the dev trace store and a real Jaeger: what both answer to what readers of traces ask.

Each test sends spans of a service of its own name, at a time of its own, so that both stores may be full of others.
"""

from __future__ import annotations

import json
import time
import uuid
import zlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import pytest_asyncio

from conformance.jaeger import NO_JAEGER, Jaeger, dev_store, find_jaeger, real_jaeger
from support.spans import EPOCH, request, span, span_id
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from meshwright.messages.otlp import Span

MISSING = "/api/v3/traces/000000000000000000000000000000aa"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def dev_traces(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Jaeger]:
    """The dev trace store."""
    async with dev_store(tmp_path_factory.mktemp("traces")) as store:
        yield store


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def real_traces(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Jaeger]:
    """The real Jaeger, where there is one."""
    binary = find_jaeger()
    if binary is None:
        pytest.skip(NO_JAEGER)
    async with real_jaeger(binary, tmp_path_factory.mktemp("jaeger")) as jaeger:
        yield jaeger


@pytest.fixture(params=["dev", "real"])
def jaeger(request: pytest.FixtureRequest) -> Jaeger:
    """Each of the two in turn."""
    found: Jaeger = request.getfixturevalue(f"{request.param}_traces")
    return found


class Asking:
    """Sends spans of one service, and asks for them."""

    def __init__(self, jaeger: Jaeger, client: httpx.AsyncClient) -> None:
        self.jaeger = jaeger
        self.client = client
        self.service = f"svc-{uuid.uuid4().hex[:10]}"
        self.trace = uuid.uuid4().bytes
        self.now = time.time_ns()

    def spans(self) -> list[Span]:
        """A call that took 20 ms, and a failed one within it."""
        root = span(1, 1, name="GET /", took=20)
        child = span(1, 2, parent=1, name="Get", kind="client", at=5, took=3, error="down", tags={"n": 7, "b": True})
        for one in (root, child):
            one.trace_id = self.trace
            one.start_time_unix_nano += self.now - EPOCH
            one.end_time_unix_nano += self.now - EPOCH
        return [root, child]

    async def send(self, *, coding: str = "", parent: int = 1) -> None:
        """Export the call, and wait until it is found."""
        root, child = self.spans()
        child.parent_span_id = span_id(parent)
        body = request(root, child, service=self.service, **{"service.version": "2"}).SerializeToString()
        headers = {"Content-Type": "application/x-protobuf"} | ({"Content-Encoding": coding} if coding else {})
        sent = zlib.compress(body) if coding == "deflate" else body
        answer = await self.client.post(f"{self.jaeger.otlp_http}/v1/traces", content=sent, headers=headers)
        assert answer.status_code == 200, answer.text

        async def found() -> bool:
            return (await self.get(f"/api/v3/traces/{self.trace.hex()}")).status_code == 200

        await eventually(found, timeout=20)

    async def get(self, path: str, **parameters: str) -> httpx.Response:
        return await self.client.get(f"{self.jaeger.query}{path}", params=parameters or None)

    def window(self, older: bool = False, **more: str) -> dict[str, str]:
        """Parameters of a search around the call, by their names or by their older ones."""
        names = ("service_name", "start_time_min", "start_time_max")
        if not older:
            names = ("serviceName", "startTimeMin", "startTimeMax")
        times = (self.now - 10**9, self.now + 10**9)
        texts = (self.service, *(datetime.fromtimestamp(at / 1e9, UTC).isoformat() for at in times))
        found = {f"query.{name}": text for name, text in zip(names, texts, strict=True)}
        return found | {f"query.{name}": text for name, text in more.items()}


@pytest.fixture
async def asking(jaeger: Jaeger) -> AsyncIterator[Asking]:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        yield Asking(jaeger, client)


def told(answer: httpx.Response) -> list[dict[str, Any]]:
    """The spans of an answer, each with its service."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    found = []
    for group in answer.json()["result"]["resourceSpans"]:
        attributes = {item["key"]: item["value"] for item in group["resource"]["attributes"]}
        service = attributes["service.name"]["stringValue"]
        found += [{"service": service, **one} for scoped in group["scopeSpans"] for one in scoped["spans"]]
    return sorted(found, key=lambda one: one["startTimeUnixNano"])


def error_of(answer: httpx.Response) -> tuple[int, str]:
    error = answer.json()["error"]
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert error["httpCode"] == answer.status_code
    return answer.status_code, error["message"]


async def test_services_and_operations(asking: Asking) -> None:
    await asking.send()
    assert asking.service in (await asking.get("/api/v3/services")).json()["services"]
    both = await asking.get("/api/v3/operations", service=asking.service)
    assert sorted(both.json()["operations"], key=lambda one: one["name"]) == [
        {"name": "GET /", "spanKind": "server"},
        {"name": "Get", "spanKind": "client"},
    ]
    for name in ("spanKind", "span_kind"):
        one = await asking.get("/api/v3/operations", service=asking.service, **{name: "client"})
        assert one.json() == {"operations": [{"name": "Get", "spanKind": "client"}]}
    assert (await asking.get("/api/v3/operations", service="nobody")).json() == {"operations": []}
    assert (await asking.get("/api/v3/operations")).json() == {"operations": []}


async def test_a_trace_is_otlp_in_json(asking: Asking) -> None:
    await asking.send()
    root, child = told(await asking.get(f"/api/v3/traces/{asking.trace.hex()}"))
    assert (root["service"], root["name"], root["kind"], root["status"]) == (asking.service, "GET /", 2, {})
    assert (root["traceId"], root["spanId"]) == (asking.trace.hex(), "0000000000000001")
    assert "parentSpanId" not in root or not root["parentSpanId"]
    assert root["startTimeUnixNano"] == str(asking.now)
    assert (child["parentSpanId"], child["kind"]) == (root["spanId"], 3)
    assert child["status"] == {"code": 2, "message": "down"}
    attributes = {item["key"]: item["value"] for item in child["attributes"]}
    assert (attributes["n"], attributes["b"]) == ({"intValue": "7"}, {"boolValue": True})


@pytest.mark.parametrize("older", [False, True])
async def test_a_search_finds_whole_traces(asking: Asking, older: bool) -> None:
    await asking.send()
    searched = told(await asking.get("/api/v3/traces", **asking.window(older)))
    assert [(one["service"], one["name"]) for one in searched] == [(asking.service, "GET /"), (asking.service, "Get")]


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ({"attributes": '{"error":"true"}'}, True),
        ({"attributes": '{"error":"false"}'}, True),
        ({"attributes": '{"span.status":"ERROR","span.kind":"client"}'}, True),
        ({"attributes": '{"span.status":"OK"}'}, False),
        ({"attributes": '{"service.version":"2","n":"7"}'}, True),
        ({"attributes": '{"resource.service.version":"2"}'}, True),
        ({"attributes": '{"resource.n":"7"}'}, False),
        ({"attributes": '{"scope.name":"tests"}'}, True),
        ({"attributes": '{"n":"8"}'}, False),
        ({"attributes": '{"error":"1"}'}, True),
        ({"attributes": '{"error":"maybe"}'}, False),
        ({"attributes": "null"}, True),
        ({"operationName": "Get"}, True),
        ({"operation_name": "Put"}, False),
        ({"durationMin": "20ms"}, True),
        ({"duration_min": "21ms"}, False),
        ({"durationMax": "3ms"}, True),
        ({"searchDepth": "1"}, True),
        ({"num_traces": "1", "raw_traces": "true"}, True),
    ],
    ids=str,
)
async def test_a_search_asks_for_attributes_names_and_durations(
    asking: Asking, more: dict[str, str], found: bool
) -> None:
    await asking.send()
    answer = await asking.get("/api/v3/traces", **asking.window(**more))
    if found:
        assert len(told(answer)) == 2
    else:
        assert error_of(answer) == (404, "No traces found")


async def test_summaries_say_a_trace_in_short(asking: Asking) -> None:
    await asking.send()
    (one,) = (await asking.get("/api/v3/trace-summaries", **asking.window())).json()["summaries"]
    assert one == {
        "traceId": asking.trace.hex(),
        "rootServiceName": asking.service,
        "rootOperationName": "GET /",
        "minStartTimeUnixNano": str(asking.now),
        "maxEndTimeUnixNano": str(asking.now + 20_000_000),
        "spanCount": 2,
        "errorSpanCount": 1,
        "services": [{"name": asking.service, "spanCount": 2, "errorSpanCount": 1}],
    }
    nothing = await asking.get("/api/v3/trace-summaries", **asking.window(operationName="absent"))
    assert (nothing.status_code, nothing.json()) == (200, {"summaries": []})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"startTimeMin": ""}, "query.startTimeMin and query.startTimeMax are required"),
        ({"startTimeMax": ""}, "query.startTimeMin and query.startTimeMax are required"),
        (
            {"startTimeMin": "soon"},
            'malformed parameter query.startTimeMin: parsing time "soon" as "2006-01-02T15:04:05.999999999Z07:00": '
            'cannot parse "soon" as "2006"',
        ),
        ({"startTimeMin": "2999-01-01T00:00:00Z"}, "query.startTimeMin must be before query.startTimeMax"),
        (
            {"startTimeMin": "2020-01-01T00:00:00"},
            'malformed parameter query.startTimeMin: parsing time "2020-01-01T00:00:00" as '
            '"2006-01-02T15:04:05.999999999Z07:00": cannot parse "" as "Z07:00"',
        ),
        (
            {"startTimeMin": "2020-01-01T25:00:00Z"},
            'malformed parameter query.startTimeMin: parsing time "2020-01-01T25:00:00Z": hour out of range',
        ),
        (
            {"startTimeMin": "2020-02-30T00:00:00Z"},
            'malformed parameter query.startTimeMin: parsing time "2020-02-30T00:00:00Z": day out of range',
        ),
        (
            {"filter": "{}"},
            "the structured query filter is disabled: "
            'enable the "jaeger.query.structuredFilters" feature gate to use it',
        ),
        (
            {"searchDepth": "9" * 20},
            f'malformed parameter query.searchDepth: strconv.Atoi: parsing "{"9" * 20}": value out of range',
        ),
        ({"searchDepth": "x"}, 'malformed parameter query.searchDepth: strconv.Atoi: parsing "x": invalid syntax'),
        ({"num_traces": "x"}, 'malformed parameter query.num_traces: strconv.Atoi: parsing "x": invalid syntax'),
        ({"durationMin": "5"}, 'malformed parameter query.durationMin: time: missing unit in duration "5"'),
        ({"duration_max": "ms"}, 'malformed parameter query.duration_max: time: invalid duration "ms"'),
        (
            {"rawTraces": "maybe"},
            'malformed parameter query.rawTraces: strconv.ParseBool: parsing "maybe": invalid syntax',
        ),
        ({"attributes": "{"}, "malformed parameter query.attributes: unexpected end of JSON input"),
        (
            {"attributes": "x"},
            "malformed parameter query.attributes: invalid character 'x' looking for beginning of value",
        ),
        (
            {"attributes": '{"a":1}'},
            "malformed parameter query.attributes: json: cannot unmarshal number into Go value of type string",
        ),
        (
            {"attributes": "[]"},
            "malformed parameter query.attributes: json: cannot unmarshal array into Go value of type "
            "map[string]string",
        ),
    ],
    ids=str,
)
async def test_a_search_that_is_wrong_is_refused_in_the_same_words(
    asking: Asking, changed: dict[str, str], message: str
) -> None:
    answer = await asking.get("/api/v3/traces", **asking.window(**changed))
    status, said = error_of(answer)
    assert (status, said) == (400, message)


async def test_a_depth_below_one_is_an_error_of_the_store(asking: Asking) -> None:
    answer = await asking.get("/api/v3/traces", **asking.window(searchDepth="0"))
    assert error_of(answer) == (500, "search depth must be greater than 0 and less than max traces")


async def test_a_trace_that_is_not_there_or_has_no_id(asking: Asking) -> None:
    assert error_of(await asking.get(MISSING)) == (404, "No traces found")
    status, said = error_of(await asking.get("/api/v3/traces/nothex"))
    assert (status, said.startswith("malformed parameter trace_id: ")) == (400, True)
    status, said = error_of(await asking.get(MISSING, startTime="soon"))
    assert (status, said.startswith("malformed parameter startTime: ")) == (400, True)
    status, said = error_of(await asking.get(MISSING, raw_traces="maybe"))
    assert (status, said.startswith("malformed parameter raw_traces: ")) == (400, True)


async def test_warnings_are_an_attribute_unless_the_trace_is_asked_for_raw(asking: Asking) -> None:
    await asking.send(parent=9)
    path = f"/api/v3/traces/{asking.trace.hex()}"
    told_of = {raw: told(await asking.get(path, rawTraces=raw))[1] for raw in ("false", "true")}
    keys = [item["key"] for item in told_of["false"]["attributes"]]
    assert keys == ["b", "n", "@jaeger@warnings"]
    text = "parent span ID=0000000000000009 is not in the trace; skipping clock skew adjustment"
    assert told_of["false"]["attributes"][2]["value"] == {"arrayValue": {"values": [{"stringValue": text}]}}
    assert "@jaeger@warnings" not in {item["key"] for item in told_of["true"]["attributes"]}


async def test_the_older_api_still_has_a_trace_by_its_id(asking: Asking) -> None:
    await asking.send()
    (trace,) = (await asking.get(f"/api/traces/{asking.trace.hex()}")).json()["data"]
    assert sorted(one["operationName"] for one in trace["spans"]) == ["GET /", "Get"]
    assert [process["serviceName"] for process in trace["processes"].values()] == [asking.service]
    for name, words in (("start", "strconv.ParseInt"), ("raw", "strconv.ParseBool")):
        refused = await asking.get("/api/traces/aa", **{name: "x"})
        why = f"unable to parse param '{name}': {words}: parsing \"x\": invalid syntax"
        assert refused.json()["errors"] == [{"code": 400, "msg": why}]
    missing = await asking.get("/api/traces/aa")
    assert missing.status_code == 404
    assert missing.json()["errors"] == [{"code": 404, "msg": "trace not found"}]


async def test_dependencies(asking: Asking) -> None:
    answer = await asking.get("/api/dependencies", endTs=str(asking.now // 10**6), lookback="1000")
    assert (answer.status_code, answer.json()["errors"]) == (200, None)


async def test_deflate_is_taken(asking: Asking) -> None:
    await asking.send(coding="deflate")


async def test_json_with_fields_of_the_future_is_taken(asking: Asking) -> None:
    ids = {"traceId": asking.trace.hex(), "spanId": "0000000000000001"}
    times = {"startTimeUnixNano": str(asking.now), "endTimeUnixNano": str(asking.now + 1)}
    odd = {"fromTheFuture": {"traceId": "not hex"}}
    named = {"attributes": [{"key": "service.name", "value": {"stringValue": asking.service}}]} | odd
    body = {
        "resourceSpans": [
            {"resource": named, "scopeSpans": [{"spans": [{**ids, **times, **odd, "name": "one", "kind": 2}]}]}
        ]
    }
    answer = await asking.client.post(f"{asking.jaeger.otlp_http}/v1/traces", json=body)
    assert answer.status_code == 200, answer.text

    async def found() -> bool:
        return (await asking.get(f"/api/v3/traces/{asking.trace.hex()}")).status_code == 200

    await eventually(found, timeout=20)


async def test_a_span_whose_id_is_no_hex_is_refused(asking: Asking) -> None:
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "not hex", "spanId": "01" * 8, "name": "one"}]}]}]}
    answer = await asking.client.post(f"{asking.jaeger.otlp_http}/v1/traces", json=body)
    assert answer.status_code == 400
    assert json.loads(answer.text)["message"]


async def test_its_health_is_asked_at_status(asking: Asking) -> None:
    answer = await asking.client.get(asking.jaeger.health)
    assert (answer.status_code, answer.json()["status"]) == (200, "StatusOK")
