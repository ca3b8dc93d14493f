"""Spans come in through the real doors: the SDK's gRPC exporter, and HTTP posts made by hand."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from typing import TYPE_CHECKING, Any

import aiohttp
import grpc
import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from meshwright.config import ServiceConfig, load_config
from meshwright.dev.traces import Bound, TracesConfig, TraceStore, serving
from meshwright.dev.traces.ingest.receivers import SERVICE
from meshwright.errors import ValidationError
from meshwright.messages.otlp import ExportTraceServiceResponse
from meshwright.telemetry import Telemetry
from support.spans import request, span, trace_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
LIMIT = 200_000
CONFIG = TracesConfig(query_port=0, otlp_grpc_port=0, otlp_http_port=0, max_spans=50, max_request_bytes=LIMIT)


@pytest.fixture
def store() -> TraceStore:
    return TraceStore(max_spans=CONFIG.max_spans, max_bytes=CONFIG.max_bytes)


@pytest.fixture
async def bound(store: TraceStore) -> AsyncIterator[Bound]:
    async with serving(CONFIG, store) as addresses:
        yield addresses


@pytest.fixture
async def http(bound: Bound) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"http://{bound.otlp_http}", auto_decompress=False) as session:
        yield session


def export_with_sdk(bound: Bound, compression: grpc.Compression) -> None:
    provider = TracerProvider(resource=Resource.create({"service.name": "sdk"}), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=f"http://{bound.otlp_grpc}", insecure=True, compression=compression)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("tests", "1.0")
    with tracer.start_as_current_span("outer"), tracer.start_as_current_span("inner") as inner:
        inner.add_event("happened", {"n": 1})
    provider.shutdown()


async def call(bound: Bound, body: bytes, method: str = f"/{SERVICE}/Export") -> bytes:
    async with grpc.aio.insecure_channel(str(bound.otlp_grpc)) as channel:
        answer: bytes = await channel.unary_unary(method)(body)
        return answer


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
async def test_the_sdks_exporter_is_understood(store: TraceStore, bound: Bound, compression: grpc.Compression) -> None:
    await asyncio.to_thread(export_with_sdk, bound, compression)
    (trace,) = store.newest_first()
    assert trace.root().name == "outer"
    assert {one.name for one in trace.spans.values()} == {"outer", "inner"}
    assert store.services() == ["sdk"]


async def test_a_service_that_is_told_http_protobuf_sends_its_spans_so(
    store: TraceStore, bound: Bound, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="its exporter is not installed here")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "false")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://{bound.otlp_http}")
    telemetry = Telemetry(load_config(ServiceConfig, {}, service="hello", version="1.0.0"))
    telemetry.tracer.start_span("told over HTTP").end()
    await telemetry.close()
    assert store.services() == ["hello"]


async def test_grpc_tells_of_spans_that_were_dropped(bound: Bound) -> None:
    bad = span(2, 2)
    bad.trace_id = b"short"
    answer = ExportTraceServiceResponse.FromString(await call(bound, request(span(), bad).SerializeToString()))
    assert answer.partial_success.rejected_spans == 1
    assert "trace_id must be 16 bytes" in answer.partial_success.error_message


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (b"\xff\xff\xff", grpc.StatusCode.INVALID_ARGUMENT, "the body is not an ExportTraceServiceRequest"),
        (bytes(LIMIT + 1), grpc.StatusCode.RESOURCE_EXHAUSTED, "larger than max (200001 vs. 200000)"),
    ],
)
async def test_bad_grpc_bodies_are_refused_for_good(
    bound: Bound, store: TraceStore, body: bytes, code: grpc.StatusCode, message: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(bound, body)
    assert caught.value.code() is code
    assert message in (caught.value.details() or "")
    await call(bound, request(span()).SerializeToString())
    assert store.spans == 1


async def test_a_grpc_gzip_bomb_is_refused(bound: Bound, store: TraceStore) -> None:
    bomb = request(span(tags={"payload": "x" * (LIMIT * 20)})).SerializeToString()
    async with grpc.aio.insecure_channel(str(bound.otlp_grpc), compression=grpc.Compression.Gzip) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(f"/{SERVICE}/Export")(bomb)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert store.spans == 0


@pytest.mark.parametrize("signal", ["metrics.v1.MetricsService", "logs.v1.LogsService"])
async def test_other_signals_are_unimplemented_over_grpc(bound: Bound, signal: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(bound, b"", f"/opentelemetry.proto.collector.{signal}/Export")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_protobuf_over_http(http: aiohttp.ClientSession, store: TraceStore) -> None:
    body = request(span(7)).SerializeToString()
    async with http.post("/v1/traces", data=body, headers={"Content-Type": PROTOBUF}) as response:
        assert (response.status, response.content_type) == (200, PROTOBUF)
        assert await response.read() == b""
    assert store.get(trace_id(7)) is not None


async def test_json_over_http_with_a_charset(http: aiohttp.ClientSession, store: TraceStore) -> None:
    one = {"traceId": "0" * 31 + "7", "spanId": "0" * 15 + "1", "name": "Größe", "startTimeUnixNano": "1", "kind": 2}
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [one]}]}]})
    headers = {"Content-Type": "application/json; charset=utf-8"}
    async with http.post("/v1/traces", data=body, headers=headers) as response:
        assert (response.status, response.content_type) == (200, JSON)
        assert await response.json() == {}
    assert store.get(trace_id(7)).root().name == "Größe"


async def test_a_partial_success_over_http_says_so(http: aiohttp.ClientSession) -> None:
    bad = {"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "00", "spanId": "01", "name": "odd"}]}]}]}
    async with http.post("/v1/traces", json=bad) as response:
        assert response.status == 200
        said = (await response.json())["partialSuccess"]
    assert said["rejectedSpans"] == "1"
    assert "'odd': trace_id must be 16 bytes" in said["errorMessage"]


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_compressed_bodies_over_http(http: aiohttp.ClientSession, store: TraceStore, coding: str) -> None:
    compress = {"gzip": gzip.compress, "deflate": zlib.compress}[coding]
    body = compress(request(span(7)).SerializeToString())
    headers = {"Content-Type": PROTOBUF, "Content-Encoding": coding}
    async with http.post("/v1/traces", data=body, headers=headers) as response:
        assert response.status == 200
    assert store.spans == 1


@pytest.mark.parametrize(
    ("body", "headers", "status", "message"),
    [
        (b"\xff\xff", {"Content-Type": PROTOBUF}, 400, "not an ExportTraceServiceRequest"),
        (b"{", {"Content-Type": JSON}, 400, "the body is not JSON"),
        (b"x", {"Content-Type": "text/plain"}, 415, "content type 'text/plain' is not application/x-protobuf or"),
        (b"x", {"Content-Type": PROTOBUF, "Content-Encoding": "br"}, 415, "content encoding 'br' is not one of gzip"),
        (b"x", {"Content-Type": PROTOBUF, "Content-Encoding": "gzip"}, 400, "the body is not gzip"),
        (bytes(LIMIT + 1), {"Content-Type": PROTOBUF}, 413, f"larger than {LIMIT} bytes"),
        (
            gzip.compress(bytes(100 * LIMIT)),
            {"Content-Type": PROTOBUF, "Content-Encoding": "gzip"},
            413,
            f"larger than {LIMIT} bytes when decompressed",
        ),
    ],
    ids=["garbage", "half JSON", "wrong type", "wrong encoding", "no gzip", "oversized", "gzip bomb"],
)
async def test_bad_http_requests_are_refused_with_a_status_message(
    http: aiohttp.ClientSession, body: bytes, headers: dict[str, str], status: int, message: str
) -> None:
    async with http.post("/v1/traces", data=body, headers=headers) as response:
        assert response.status == status
        answered = await response.read()
    as_json = headers["Content-Type"] != PROTOBUF
    said: Any = json.loads(answered)["message"] if as_json else Status.FromString(answered).message
    assert message in said
    async with http.post("/v1/traces", data=b"", headers={"Content-Type": PROTOBUF}) as response:
        assert response.status == 200


async def test_a_body_without_a_length_is_bounded_too(http: aiohttp.ClientSession) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield bytes(LIMIT // 5)

    async with http.post("/v1/traces", data=pieces(), headers={"Content-Type": PROTOBUF}) as response:
        assert response.status == 413


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/metrics", 404),
        ("POST", "/v1/logs", 404),
        ("GET", "/v1/traces", 405),
        ("GET", "/", 404),
    ],
)
async def test_other_signals_and_methods_are_refused(
    http: aiohttp.ClientSession, method: str, path: str, status: int
) -> None:
    async with http.request(method, path) as response:
        assert response.status == status
        if status == 404:
            assert "takes traces only, at /v1/traces" in (await response.json())["message"]


@pytest.mark.parametrize("door", ["query_port", "otlp_grpc_port", "otlp_http_port"])
async def test_a_port_that_is_taken_is_refused_by_name(bound: Bound, door: str) -> None:
    taken = getattr(bound, door.removesuffix("_port")).port
    ports = {"query_port": 0, "otlp_grpc_port": 0, "otlp_http_port": 0, door: taken}
    with pytest.raises(ValidationError, match=rf"address 127\.0\.0\.1:{taken}"):
        async with serving(TracesConfig(**ports)):
            pytest.fail("two trace stores share a port")


async def test_exports_from_many_sides_at_once_all_arrive(bound: Bound, store: TraceStore) -> None:
    bodies = [request(span(number, number)).SerializeToString() for number in range(1, 31)]
    await asyncio.gather(*(call(bound, body) for body in bodies))
    assert store.spans == 30
