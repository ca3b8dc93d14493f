"""One request is one trace, over all services that had to do with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.trace import SpanKind, format_trace_id

from meshwright.pages import assets
from services.gateway.pages.routes import PAGES
from support.waiting import eventually

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from support.demo.gateway import Demo


def lineage(spans: list[ReadableSpan]) -> list[tuple[str, SpanKind, str]]:
    """Service, kind and name of each span, from the root to the leaf of a trace without branches."""
    children = {span.parent.span_id if span.parent else None: span for span in spans}
    line, at = [], None
    while span := children.get(at):
        line.append((span.resource.attributes["service.name"], span.kind, span.name))
        at = span.context.span_id
    return line


async def test_a_summary_crosses_three_services_in_one_trace(served: Demo) -> None:
    user_id = await served.user_id()
    served.spans.spans.clear()
    response = await served.http.get(f"/api/v1/users/{user_id}/summary")
    await eventually(lambda: len(served.spans.spans) == 5)
    assert lineage(served.spans.spans) == [
        ("gateway", SpanKind.SERVER, "GET /api/v1/users/{user_id}/summary"),
        ("gateway", SpanKind.CLIENT, "demo.user.v1.UserService/GetUserSummary"),
        ("user", SpanKind.SERVER, "demo.user.v1.UserService/GetUserSummary"),
        ("user", SpanKind.CLIENT, "demo.calculator.v1.Calculator/Multiply"),
        ("calculator", SpanKind.SERVER, "demo.calculator.v1.Calculator/Multiply"),
    ]
    traces = {format_trace_id(span.context.trace_id) for span in served.spans.spans}
    assert traces == {response.headers["x-trace-id"]}


async def test_a_problem_names_its_trace(served: Demo) -> None:
    response = await served.http.get("/api/v1/users/nobody")
    assert response.status_code == 404
    assert response.json()["trace_id"] == response.headers["x-trace-id"]
    traces = {format_trace_id(span.context.trace_id) for span in served.spans.spans}
    assert response.json()["trace_id"] in traces


async def test_the_trace_of_a_caller_goes_on(served: Demo) -> None:
    known = "0af7651916cd43dd8448eb211c80319c"
    response = await served.http.get("/api/v1/users", headers={"traceparent": f"00-{known}-b7ad6b7169203331-01"})
    assert response.headers["x-trace-id"] == known


async def test_a_page_and_its_files_leave_no_trace(served: Demo) -> None:
    files = [f"/{page}/{name}" for page in ("shop", "docs") for name in assets(PAGES / page)]
    assert {"/shop/main.js", "/shop/shared/page.js", "/docs/docs.js", "/docs/shared/page.js"} <= set(files)
    for path in ("/", "/docs", "/openapi.json", "/shop/settings.json", *files):
        assert (await served.http.get(path)).status_code == 200, path
    for path in ("/favicon.ico", "/shop/none.js", "/.well-known/jwks.json", "/healthz", "/readyz"):
        await served.http.get(path)
    assert [span.name for span in served.spans.spans] == []
    assert (await served.http.get("/api/versions")).status_code == 200
    await eventually(lambda: [span.name for span in served.spans.spans] == ["GET /api/versions"])
