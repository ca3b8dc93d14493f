"""Which requests an abort points to: those that failed in the version that was refused, as soon as they are known."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from meshwright import http
from meshwright.config import ServiceConfig, load_config
from meshwright.dev.traces import TracesConfig, TraceStore, serving
from meshwright.errors import UnreachableError
from meshwright.rollout.adapters.jaeger import Search, failing_spans, failing_spans_v3, find
from meshwright.rollout.adapters.trace_exporter import LINK_INTERVAL, LINK_TIMEOUT, TraceExporter, wait_for_links
from meshwright.rollout.reconcile.decision import FinishedSpan
from meshwright.telemetry import Telemetry
from meshwright.telemetry.recording import SpanRecorder
from support.kubernetes.rollouts import rollout
from support.spans import EPOCH, request, span
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SEARCH = Search("user", "3.0.0", EPOCH / 1e9 - 5, EPOCH / 1e9 + 5)
LINKS = [("01" * 16, "02" * 8)]


def trace(number: int, version: str, *, service: str = "user", error: Any = True) -> dict[str, Any]:
    process = {"serviceName": service, "tags": [{"key": "service.version", "value": version}]}
    fine = {"spanID": f"{number}a", "traceID": f"t{number}", "processID": "p1", "tags": []}
    failed = {**fine, "spanID": f"{number}b", "tags": [{"key": "error", "value": error}]}
    return {"traceID": f"t{number}", "spans": [fine, failed], "processes": {"p1": process}}


def group(number: int, version: str, *, service: str = "user", code: Any = 2) -> dict[str, Any]:
    named = {"service.name": service, "service.version": version}
    attributes = [{"key": key, "value": {"stringValue": value}} for key, value in named.items()]
    fine = {"spanId": f"{number}a", "traceId": f"t{number}", "status": {}}
    failed = [{**fine, "spanId": f"{number}{letter}", "status": {"code": code}} for letter in "bc"]
    return {"resource": {"attributes": attributes}, "scopeSpans": [{"spans": [fine, *failed]}]}


def test_of_each_trace_the_first_span_that_failed_in_that_version_is_meant() -> None:
    numbers = [(1, "3.0.0", "user"), (2, "1.0.0", "user"), (3, "3.0.0", "gateway"), (4, "3.0.0", "user")]
    older = {"data": [trace(number, version, service=service) for number, version, service in numbers]}
    groups = [group(number, version, service=service) for number, version, service in numbers]
    v3 = {"result": {"resourceSpans": groups}}
    assert list(failing_spans(older, SEARCH)) == [("t1", "1b"), ("t4", "4b")]
    assert list(failing_spans_v3(v3, SEARCH)) == [("t1", "1b"), ("t4", "4b")]


@pytest.mark.parametrize("error", ["true", True])
def test_an_error_may_be_said_in_words(error: Any) -> None:
    assert list(failing_spans({"data": [trace(1, "3.0.0", error=error)]}, SEARCH)) == [("t1", "1b")]
    named = {"result": {"resourceSpans": [group(1, "3.0.0", code="STATUS_CODE_ERROR")]}}
    assert list(failing_spans_v3(named, SEARCH)) == [("t1", "1b")]


@pytest.mark.parametrize("answer", [None, [], "", {}, {"data": None}, {"data": [{}]}, {"data": [{"spans": [{}]}]}])
def test_an_answer_with_nothing_in_it_gives_no_links(answer: Any) -> None:
    assert list(failing_spans(answer, SEARCH)) == []
    wrapped = {"result": {"resourceSpans": [answer]}}
    assert list(failing_spans_v3(answer, SEARCH)) == list(failing_spans_v3(wrapped, SEARCH)) == []


def test_what_did_not_fail_is_not_linked() -> None:
    assert list(failing_spans({"data": [trace(1, "3.0.0", error=False)]}, SEARCH)) == []
    assert list(failing_spans_v3({"result": {"resourceSpans": [group(1, "3.0.0", code=1)]}}, SEARCH)) == []


def whole() -> TraceStore:
    """A store with a call that failed in the refused version and one that failed in the other."""
    store = TraceStore(max_spans=100, max_bytes=1_000_000)
    for number, version in ((1, "3.0.0"), (2, "1.0.0")):
        failed = span(number, 1, error="down")
        store.ingest(request(failed, service="user", **{"service.version": version}))
    return store


async def test_the_dev_trace_store_is_asked_by_the_api_v3() -> None:
    async with serving(TracesConfig(query_port=0, otlp_grpc_port=0, otlp_http_port=0), whole()) as bound:
        assert await find(f"http://{bound.query}", SEARCH) == [("00" * 15 + "01", "00" * 7 + "01")]


async def page(_: web.Request) -> web.Response:
    """What a Jaeger answers for a path that it does not have."""
    return web.Response(text="<html>Jaeger UI</html>", content_type="text/html")


@pytest.mark.parametrize("generation", ["older", "newer", "with a v3 that cannot filter", "after 2.20, nothing found"])
async def test_a_jaeger_of_any_generation_is_understood(generation: str) -> None:
    asked: list[tuple[str, dict[str, str]]] = []

    def answering(document: Any, status: int = 200) -> Callable[[web.Request], Any]:
        async def handler(asking: web.Request) -> web.Response:
            asked.append((asking.path, dict(asking.query)))
            return web.Response(text=json.dumps(document), status=status)

        return handler

    older = answering({"data": [trace(1, "3.0.0")]})
    v3 = {
        "newer": answering({"result": {"resourceSpans": [group(1, "3.0.0")]}}),
        "with a v3 that cannot filter": answering({"result": {"resourceSpans": [group(1, "3.0.0", code=0)]}}),
        "after 2.20, nothing found": answering({"error": {"httpCode": 404, "message": "No traces found"}}, 404),
    }.get(generation, page)
    app = web.Application()
    app.router.add_get("/api/v3/traces", v3)
    app.router.add_get("/api/traces", page if generation == "after 2.20, nothing found" else older)
    async with http.serving(app, "127.0.0.1", 0) as address:
        found = await find(f"http://{address}", SEARCH)
    assert found == ([] if generation == "after 2.20, nothing found" else [("t1", "1b")])
    times = {"/api/v3/traces": "query.start_time_min", "/api/traces": "start"}
    said = {path: query[times[path]] for path, query in asked}
    assert said.get("/api/v3/traces", "2023-11-14T22:13:15.000Z") == "2023-11-14T22:13:15.000Z"
    assert said.get("/api/traces", "1699999995000000") == "1699999995000000"


async def test_a_jaeger_that_is_away_is_said() -> None:
    with pytest.raises(UnreachableError, match=r"http://127\.0\.0\.1:9 does not answer"):
        await find("http://127.0.0.1:9", SEARCH)


@pytest.mark.parametrize(
    ("elapsed", "links", "wait"),
    [
        (0, [], LINK_INTERVAL),
        (LINK_TIMEOUT - 1, [], 1),
        (LINK_TIMEOUT, [], 0),
        (LINK_TIMEOUT + 9, [], 0),
        (0, LINKS, 0),
    ],
)
def test_links_are_asked_for_until_some_come_or_a_minute_has_passed(elapsed: float, links: Any, wait: float) -> None:
    assert wait_for_links(100, 100 + elapsed, links) == wait


class Telling:
    """Tells an abort to a Jaeger whose answers are `answers`, the last one for ever; an exception is raised."""

    def __init__(
        self, *answers: list[tuple[str, str]] | Exception, sleep: Callable[[float], Awaitable[None]] | None = None
    ) -> None:
        self.recorder = SpanRecorder()
        telemetry = Telemetry(load_config(ServiceConfig, {}, service="rollouts"), exporter=self.recorder)
        self.answers = list(answers)
        self.asked: list[Search] = []
        self.now = 0.0
        self.traces = TraceExporter(
            telemetry, "http://jaeger", find=self._find, clock=lambda: self.now, sleep=sleep or self._sleep
        )

    async def _find(self, _: str, search: Search) -> list[tuple[str, str]]:
        self.asked.append(search)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)

    async def abort(self) -> None:
        step = FinishedSpan("0a" * 16, "0b" * 8, "0c" * 8, "setWeight 10", 100.0, 110.0, ok=False, message="too many")
        await self.traces.export(rollout(version="2.0.0"), [step])

    def links(self) -> list[list[str]]:
        """The trace ids that each span told so far links to."""
        return [[f"{link.context.trace_id:032x}" for link in one.links] for one in self.recorder.spans]


async def test_an_abort_is_told_when_its_links_have_come() -> None:
    telling = Telling([], UnreachableError("away"), [], LINKS)
    await telling.abort()
    await eventually(telling.links)
    assert telling.links() == [["01" * 16]]
    assert len(telling.asked) == 4
    asked = telling.asked[0]
    assert (asked.service, asked.version, asked.start, asked.end) == ("user", "2.0.0", 95.0, 115.0)


async def test_without_links_an_abort_is_told_after_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    telling = Telling([])
    await telling.abort()
    await eventually(telling.links)
    assert (telling.links(), telling.now) == ([[]], LINK_TIMEOUT)
    assert not caplog.records
    away = Telling(UnreachableError("http://jaeger does not answer"))
    await away.abort()
    await eventually(away.links)
    assert "no links to failing requests of user: http://jaeger does not answer" in caplog.text


async def test_the_end_of_the_process_tells_what_still_waits() -> None:
    waiting = asyncio.Event()

    async def for_ever(_: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    telling = Telling([], sleep=for_ever)
    async with telling.traces:
        await telling.abort()
        await waiting.wait()
        assert telling.links() == []
    assert telling.links() == [[]]


async def test_what_went_well_is_told_at_once_and_without_a_jaeger_so_is_all() -> None:
    telling = Telling(LINKS)
    fine = FinishedSpan("0a" * 16, "0b" * 8, "", "rollout", 100.0, 110.0)
    await telling.traces.export(rollout(version="2.0.0"), [fine])
    assert (telling.links(), telling.asked) == ([[]], [])
