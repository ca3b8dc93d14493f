from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace

import meshwright
from meshwright.config import ServiceConfig, load_config
from meshwright.telemetry import Telemetry
from meshwright.telemetry.recording import SpanRecorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Wrapped:
    """An application behind the middleware, and what was traced of it."""

    def __init__(self, app: Callable[..., Any], **options: Any) -> None:
        self.spans = SpanRecorder()
        self.telemetry = Telemetry(load_config(ServiceConfig, {}, service="shop"), exporter=self.spans)
        self.started: list[str] = []
        self._app = meshwright.sync.WsgiMiddleware(app, telemetry=self.telemetry, **options)

    def begin(self, path: str = "/a", **environ: str) -> Any:
        given = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": path,
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "HTTP_TRACEPARENT": PARENT,
            **environ,
        }
        return self._app(given, lambda status, *_: self.started.append(status))

    def get(self, path: str = "/a", **environ: str) -> bytes:
        body = self.begin(path, **environ)
        try:
            return b"".join(body)
        finally:
            if hasattr(body, "close"):
                body.close()


def test_the_body_is_made_in_the_context_of_the_request() -> None:
    seen: list[Any] = []

    def app(_environ: Any, start: Callable[..., Any]) -> Iterator[bytes]:
        start("200 OK", [])
        for _ in range(2):
            left = meshwright.time_left()
            seen.append((trace.get_current_span().get_span_context().trace_id, left))
            yield b"x"

    wrapped = Wrapped(app, timeout=5.0)
    assert wrapped.get(QUERY_STRING="q=1") == b"xx"
    assert {identifier for identifier, _ in seen} == {0x0AF7651916CD43DD8448EB211C80319C}
    assert all(left is not None and 4 < left <= 5 for _, left in seen)
    assert meshwright.time_left() is None
    assert trace.get_current_span() is trace.INVALID_SPAN
    (span,) = wrapped.spans.servers
    assert span.attributes["url.query"] == "q=1"
    assert span.attributes["http.response.status_code"] == 200


def test_an_application_that_raises_is_a_500_and_raises() -> None:
    def app(_environ: Any, _start: Callable[..., Any]) -> Any:
        raise ValueError("broken")

    wrapped = Wrapped(app)
    with pytest.raises(ValueError, match="broken"):
        wrapped.get()
    (span,) = wrapped.spans.servers
    assert span.attributes["http.response.status_code"] == 500
    assert not span.status.is_ok
    assert 'status="500"' in wrapped.telemetry.metrics.page().decode()


def test_a_body_that_raises_halfway_is_recorded_and_keeps_the_status_that_was_sent() -> None:
    def app(_environ: Any, start: Callable[..., Any]) -> Iterator[bytes]:
        start("200 OK", [])
        yield b"x"
        raise ValueError("broken")

    wrapped = Wrapped(app)
    with pytest.raises(ValueError, match="broken"):
        wrapped.get()
    (span,) = wrapped.spans.servers
    assert [event.name for event in span.events] == ["exception"]
    assert span.attributes["http.response.status_code"] == 200


def test_a_client_that_goes_away_ends_the_request_once() -> None:
    closed: list[bool] = []

    def app(_environ: Any, start: Callable[..., Any]) -> Iterator[bytes]:
        start("200 OK", [])
        try:
            yield b"x"
            yield b"y"
        finally:
            closed.append(True)

    wrapped = Wrapped(app)
    body = wrapped.begin()
    assert next(iter(body)) == b"x"
    body.close()
    body.close()
    assert closed == [True]
    assert len(wrapped.spans.servers) == 1


def test_quiet_paths_are_not_seen() -> None:
    def app(_environ: Any, start: Callable[..., Any]) -> list[bytes]:
        start("200 OK", [])
        return [b"well"]

    wrapped = Wrapped(app, quiet=("/healthz",))
    assert wrapped.get("/healthz") == b"well"
    assert wrapped.spans.servers == []
