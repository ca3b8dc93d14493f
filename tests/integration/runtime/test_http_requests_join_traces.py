from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest
from fastapi import FastAPI, HTTPException
from opentelemetry.trace import SpanKind, StatusCode

import meshwright
from demo.calculator.v1 import calculator_pb2 as pb
from demo.calculator.v1 import calculator_pb2_grpc as rpc
from integration.runtime.calculator import Everything, everything

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from meshwright.testing import Served

TRACE = "0af7651916cd43dd8448eb211c80319c"


def app_over(calculator: Served, **options) -> meshwright.AsgiMiddleware:
    # FastAPI would make spans of its own between ours, as soon as some test of this process has set a global provider.
    app = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})

    @app.get("/add/{number}")
    async def add(number: int) -> float:
        return (await rpc.CalculatorStub(calculator.channel).Multiply(pb.Numbers(a=number, b=1))).value

    @app.get("/left")
    async def left() -> float | None:
        return meshwright.time_left()

    @app.get("/healthz")
    async def healthy() -> str:
        return "yes"

    @app.get("/broken")
    async def broken() -> None:
        raise ValueError("secret")

    @app.get("/missing")
    async def missing() -> None:
        raise HTTPException(404)

    return meshwright.AsgiMiddleware(app, telemetry=calculator.telemetry, **options)


@contextlib.asynccontextmanager
async def browser(app: meshwright.AsgiMiddleware) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
        yield http


async def test_a_request_and_the_calls_it_makes_are_one_trace() -> None:
    async with everything(Everything()) as calculator, browser(app_over(calculator)) as http:
        header = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
        assert (await http.get("/add/7?x=1", headers=header)).json() == 7
    request = next(span for span in calculator.spans.servers if span.name == "GET /add/{number}")
    (call,) = calculator.spans.clients
    assert format(request.context.trace_id, "032x") == TRACE
    assert call.parent.span_id == request.context.span_id
    assert request.kind is SpanKind.SERVER
    assert request.attributes["http.route"] == "/add/{number}"
    assert request.attributes["http.request.method"] == "GET"
    assert request.attributes["http.response.status_code"] == 200
    assert (request.attributes["url.path"], request.attributes["url.query"]) == ("/add/7", "x=1")


async def test_calls_inherit_the_requests_deadline_and_authorization() -> None:
    seen: list[object] = []

    async def note(context):
        seen.append(dict(context.invocation_metadata()).get("authorization"))
        seen.append(context.time_remaining())

    async with everything(Everything(note)) as calculator, browser(app_over(calculator, timeout=3.0)) as http:
        await http.get("/add/1", headers={"authorization": "Bearer me"})
        assert 0 < (await http.get("/left")).json() <= 3.0
    assert seen[0] == "Bearer me"
    assert 0 < seen[1] < 3.01
    assert meshwright.time_left() is None


@pytest.mark.parametrize(("path", "status", "error"), [("/broken", 500, True), ("/missing", 404, False)])
async def test_only_the_servers_own_failures_are_errors(path: str, status: int, error: bool) -> None:
    async with everything(Everything()) as calculator, browser(app_over(calculator)) as http:
        assert (await http.get(path)).status_code == status
    (span,) = calculator.spans.servers
    assert span.attributes["http.response.status_code"] == status
    assert (span.status.status_code is StatusCode.ERROR) is error
    assert [event.name for event in span.events] == (["exception"] if error else [])


async def test_requests_are_counted_by_route_and_what_has_none_shares_one_label() -> None:
    async with everything(Everything()) as calculator, browser(app_over(calculator)) as http:
        for path in ("/add/1", "/add/2", "/nothing/1", "/nothing/2"):
            await http.get(path)
        await http.request("BREW", "/nothing/3")
        sample = calculator.telemetry.metrics.registry.get_sample_value
        same = {"service": "calculator", "version": "1.2.3"}
        assert sample("http_requests_total", same | {"method": "GET", "route": "/add/{number}", "status": "200"}) == 2
        assert sample("http_requests_total", same | {"method": "GET", "route": "unknown", "status": "404"}) == 2
        assert sample("http_requests_total", same | {"method": "_OTHER", "route": "unknown", "status": "404"}) == 1


async def test_quiet_paths_leave_no_trace() -> None:
    async with everything(Everything()) as calculator, browser(app_over(calculator, quiet={"/healthz"})) as http:
        assert (await http.get("/healthz")).json() == "yes"
        assert calculator.spans.spans == []
        assert 'route="/healthz"' not in calculator.telemetry.metrics.page().decode()


async def test_untraced_paths_are_counted_and_leave_no_trace() -> None:
    app = {"untraced": ("/healthz", "/add/*")}
    async with everything(Everything()) as calculator, browser(app_over(calculator, **app)) as http:
        header = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
        assert (await http.get("/healthz", headers=header)).json() == "yes"
        assert (await http.get("/add/7")).json() == 7
        assert (await http.get("/addition")).status_code == 404
        assert [span.name for span in calculator.spans.servers if "http.request.method" in span.attributes] == ["GET"]
        page = calculator.telemetry.metrics.page().decode()
        assert all(f'route="{route}",service' in page for route in ("/healthz", "/add/{number}"))


ALONE = """
import asyncio, sys
from meshwright import AsgiMiddleware
from meshwright.telemetry import current

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})

async def ignore(message=None):
    return {"type": "http.request"}

sys.argv = ["/usr/bin/uvicorn", "storefront.web:app"]
scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
asyncio.run(AsgiMiddleware(app)(scope, ignore, ignore))
alone = current()
print(alone.provider.resource.attributes["service.name"], b'http_requests_total{method="GET"' in alone.metrics.page())
"""


def test_an_application_without_a_server_is_traced_under_its_own_name() -> None:
    environ = {key: value for key, value in os.environ.items() if key != "MESHWRIGHT_SERVICE"}
    environ |= {"OTEL_TRACES_EXPORTER": "none"}
    done = subprocess.run([sys.executable, "-c", ALONE], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["storefront", "True"]
