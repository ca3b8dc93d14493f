"""Jaeger's query API over real HTTP, and the page's own paths."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from yarl import URL

from meshwright.dev.traces import TracesConfig, TraceStore, run, serving
from support.spans import EPOCH, MS, request, span
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CONFIG = TracesConfig(query_port=0, otlp_grpc_port=0, otlp_http_port=0)
WINDOW = {"start": str(EPOCH // 1000), "end": str((EPOCH + 3_600_000 * MS) // 1000)}


@pytest.fixture
def store() -> TraceStore:
    made = TraceStore(max_spans=1000, max_bytes=10_000_000)
    made.ingest(request(span(1, 1, name="GET /a b"), service="gateway"))
    made.ingest(request(span(1, 2, parent=1, at=1, took=5, name="Get", error="no"), service="team/user"))
    made.ingest(request(span(2, 1, at=50, name="GET /a b", kind="client"), service="gateway"))
    return made


@pytest.fixture
async def api(store: TraceStore) -> AsyncIterator[aiohttp.ClientSession]:
    async with serving(CONFIG, store) as bound, aiohttp.ClientSession(f"http://{bound.query}") as session:
        yield session


async def get(api: aiohttp.ClientSession, path: str, **parameters: str) -> tuple[int, Any]:
    async with api.get(path, params=parameters) as response:
        assert response.content_type == "application/json"
        return response.status, await response.json()


async def test_services_and_operations(api: aiohttp.ClientSession) -> None:
    assert await get(api, "/api/services") == (
        200,
        {"data": ["gateway", "team/user"], "total": 2, "limit": 0, "offset": 0, "errors": None},
    )
    assert (await get(api, "/api/services/gateway/operations"))[1]["data"] == ["GET /a b"]
    assert (await get(api, "/api/operations", service="gateway"))[1]["data"] == [
        {"name": "GET /a b", "spanKind": "client"},
        {"name": "GET /a b", "spanKind": "server"},
    ]
    only = await get(api, "/api/operations", service="gateway", spanKind="client")
    assert only[1]["data"] == [{"name": "GET /a b", "spanKind": "client"}]


async def test_a_service_name_with_a_slash_is_found_when_escaped(api: aiohttp.ClientSession) -> None:
    async with api.get(URL("/api/services/team%2Fuser/operations", encoded=True)) as response:
        assert (await response.json())["data"] == ["Get"]


async def test_a_search_answers_with_whole_traces(api: aiohttp.ClientSession) -> None:
    status, body = await get(api, "/api/traces", service="team/user", tags='{"error":"true"}', **WINDOW)
    assert status == 200
    (trace,) = body["data"]
    assert [one["operationName"] for one in trace["spans"]] == ["GET /a b", "Get"]
    assert {one["serviceName"] for one in trace["processes"].values()} == {"gateway", "team/user"}
    assert body["errors"] is None


async def test_the_newest_come_first_and_the_limit_holds(api: aiohttp.ClientSession) -> None:
    _, body = await get(api, "/api/traces", service="gateway", **WINDOW)
    assert [trace["traceID"][-1] for trace in body["data"]] == ["2", "1"]
    _, body = await get(api, "/api/traces", service="gateway", limit="1", **WINDOW)
    assert [trace["traceID"][-1] for trace in body["data"]] == ["2"]


async def test_without_a_time_only_the_last_days_are_searched(api: aiohttp.ClientSession) -> None:
    _, body = await get(api, "/api/traces", service="gateway")
    assert body["data"] == []


async def test_traces_by_id_tell_of_the_missing_ones(api: aiohttp.ClientSession) -> None:
    async with api.get("/api/traces", params=[("traceID", "1"), ("traceID", "ff")]) as response:
        body = await response.json()
    assert [trace["traceID"] for trace in body["data"]] == ["0000000000000001"]
    assert body["errors"] == [{"msg": "trace not found", "traceID": "00000000000000ff"}]


@pytest.mark.parametrize("text", ["1", "0000000000000001", "00000000000000000000000000000001"])
async def test_one_trace_by_an_id_of_any_length(api: aiohttp.ClientSession, text: str) -> None:
    status, body = await get(api, f"/api/traces/{text}")
    assert status == 200
    assert len(body["data"][0]["spans"]) == 2


@pytest.mark.parametrize(
    ("path", "parameters", "status", "message"),
    [
        ("/api/traces/abc", {}, 404, "trace not found"),
        ("/api/traces/nothex", {}, 400, "cannot parse traceID param"),
        ("/api/traces", {}, 400, "parameter 'service' is required"),
        ("/api/traces", {"service": "a", "minDuration": "x"}, 400, "unable to parse param 'minDuration'"),
        ("/api/operations", {}, 400, "parameter 'service' is required"),
        ("/api/dependencies", {"endTs": "x"}, 400, "unable to parse param 'endTs'"),
        ("/api/archive", {}, 404, "no /api/archive here"),
    ],
)
async def test_errors_have_jaegers_shape(
    api: aiohttp.ClientSession, path: str, parameters: dict[str, str], status: int, message: str
) -> None:
    answered, body = await get(api, path, **parameters)
    assert answered == status
    assert body["data"] is None
    (error,) = body["errors"]
    assert error["code"] == status
    assert message in error["msg"]


async def test_dependencies_of_a_time_and_of_a_service(api: aiohttp.ClientSession) -> None:
    end = str((EPOCH + 1000 * MS) // MS)
    link = {"parent": "gateway", "child": "team/user", "callCount": 1}
    assert (await get(api, "/api/dependencies", endTs=end, lookback="5000"))[1]["data"] == [link]
    assert (await get(api, "/api/dependencies", endTs=end, service="team/user"))[1]["data"] == [link]
    assert (await get(api, "/api/dependencies", endTs=end, service="other"))[1]["data"] == []
    assert (await get(api, "/api/dependencies"))[1]["data"] == []


async def test_summaries_need_no_service(api: aiohttp.ClientSession) -> None:
    _, body = await get(api, "/ui/summaries", **WINDOW)
    assert [(one["rootOperation"], one["spans"], one["errors"]) for one in body["data"]] == [
        ("GET /a b", 1, 0),
        ("GET /a b", 2, 1),
    ]


async def test_changes_are_told_as_they_come(api: aiohttp.ClientSession, store: TraceStore) -> None:
    async with api.get("/ui/changes") as response:
        assert response.content_type == "text/event-stream"
        first = await response.content.readline()
        assert first == b"data: %d\n" % store.version
        await response.content.readline()
        store.ingest(request(span(9, 9)))
        assert await response.content.readline() == b"data: %d\n" % store.version


async def test_an_open_stream_does_not_hold_up_the_stop(store: TraceStore) -> None:
    async with aiohttp.ClientSession() as session:
        async with serving(CONFIG, store) as bound:
            response = await session.get(f"http://{bound.query}/ui/changes")
            await response.content.readline()
        assert await response.content.read() in (b"\n", b"")


async def test_health_and_metrics(api: aiohttp.ClientSession, store: TraceStore) -> None:
    assert await get(api, "/healthz") == (200, {"status": "ok", "traces": 2, "spans": 3})
    async with api.get("/metrics") as response:
        text = await response.text()
    assert "meshwright_traces_spans_received_total 3.0" in text
    assert 'meshwright_traces_spans_dropped_total{reason="invalid"} 0.0' in text
    assert "meshwright_traces_spans_evicted_total 0.0" in text
    assert "meshwright_traces_spans_stored 3.0" in text
    assert f"meshwright_traces_stored_bytes {float(store.bytes)}" in text


@pytest.mark.parametrize("path", ["/", "/search", "/trace/abc", "/dependencies"])
async def test_jaegers_page_paths_answer_with_a_page_that_may_run_only_its_own_script(
    api: aiohttp.ClientSession, path: str
) -> None:
    async with api.get(path) as response:
        assert (response.status, response.content_type) == (200, "text/html")
        assert response.headers["Content-Security-Policy"].startswith("default-src 'self';")
        assert "unsafe" not in response.headers["Content-Security-Policy"]


async def test_assets_are_sent_once(api: aiohttp.ClientSession) -> None:
    async with api.get("/assets/app.js") as response:
        assert (response.status, response.content_type) == (200, "text/javascript")
        tag = response.headers["ETag"]
    async with api.get("/assets/app.js", headers={"If-None-Match": tag}) as response:
        assert response.status == 304
    async with api.get("/assets/absent.js") as response:
        assert response.status == 404


async def test_the_process_serves_until_it_is_told_to_stop(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "meshwright.dev.traces")
    running = asyncio.create_task(run(CONFIG))
    await eventually(lambda: "trace store ready" in caplog.text)
    assert not running.done()
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(running, 10)
