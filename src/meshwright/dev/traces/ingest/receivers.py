"""The two doors through which spans come in: OTLP over gRPC and OTLP over HTTP.

Only traces are stored. An exporter of metrics or logs gets UNIMPLEMENTED or 404 at once, and may stop trying.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import grpc
from aiohttp import web
from google.rpc import code_pb2
from google.rpc.status_pb2 import Status

from meshwright.dev.traces.ingest.otlp import (
    BadExportError,
    Encoding,
    TooLargeError,
    UnknownCodingError,
    answer,
    decoded,
    read_protobuf,
)
from meshwright.errors import ValidationError, Violation
from meshwright.model import Address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from meshwright.dev.traces.store.trace_store import TraceStore
    from meshwright.messages.otlp import ExportTraceServiceResponse

SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
_GRACE = 1.0


@contextlib.asynccontextmanager
async def serving_grpc(store: TraceStore, address: Address, max_request_bytes: int) -> AsyncIterator[Address]:
    """Take OTLP over gRPC for as long as the context lasts; yields the address bound."""

    async def export(body: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> ExportTraceServiceResponse:
        try:
            return answer(store.ingest(read_protobuf(body)))
        except BadExportError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            raise

    # The body is parsed here, not by grpcio, which would call a malformed one INTERNAL: OTLP wants INVALID_ARGUMENT.
    handler: grpc.RpcMethodHandler[bytes, ExportTraceServiceResponse] = grpc.unary_unary_rpc_method_handler(
        export, response_serializer=lambda response: response.SerializeToString()
    )
    # Two processes would otherwise share the port silently, each with half of the traces.
    options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", max_request_bytes)]
    server = grpc.aio.server(options=options)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Export": handler}),))
    try:
        port = server.add_insecure_port(str(address))
    except RuntimeError as error:
        raise ValidationError(f"address {address}", [Violation("", f"cannot listen: {error}")]) from error
    await server.start()
    try:
        yield Address(address.host, port)
    finally:
        await server.stop(_GRACE)


def http_app(store: TraceStore, max_request_bytes: int) -> web.Application:
    """OTLP over HTTP, as an application that must be served with `auto_decompress=False`."""

    async def traces(request: web.Request) -> web.Response:
        encoding = _encoding(request)
        if encoding is None:
            text = f"content type {request.content_type!r} is not {' or '.join(item.value for item in Encoding)}"
            return _refusal(415, code_pb2.INVALID_ARGUMENT, text)
        try:
            body = await _body(request, max_request_bytes)
            return _respond(200, encoding, answer(store.ingest(encoding.read(body))))
        except TooLargeError as error:
            return _refusal(413, code_pb2.RESOURCE_EXHAUSTED, str(error), encoding)
        except UnknownCodingError as error:
            return _refusal(415, code_pb2.INVALID_ARGUMENT, str(error), encoding)
        except BadExportError as error:
            return _refusal(400, code_pb2.INVALID_ARGUMENT, str(error), encoding)

    async def other(request: web.Request) -> web.Response:
        text = f"no {request.path} here: this store takes traces only, at /v1/traces"
        return _refusal(404, code_pb2.UNIMPLEMENTED, text, _encoding(request))

    app = web.Application()
    app.router.add_post("/v1/traces", traces)
    app.router.add_route("*", "/{path:(?!v1/traces$).*}", other)
    return app


def _encoding(request: web.Request) -> Encoding | None:
    known = {encoding.value: encoding for encoding in Encoding}
    return known.get(request.content_type)


async def _body(request: web.Request, limit: int) -> bytes:
    """The body, undone of its content encoding, within the limit before and after."""
    codings = request.headers.get("Content-Encoding", "")
    decoded(b"", codings, limit)  # one that is not known is refused before the body is read
    if (request.content_length or 0) > limit:
        raise TooLargeError(f"the body is larger than {limit} bytes")
    body = bytearray()
    async for chunk in request.content.iter_chunked(1 << 16):
        body += chunk
        if len(body) > limit:
            raise TooLargeError(f"the body is larger than {limit} bytes")
    return decoded(bytes(body), codings, limit)


def _refusal(status: int, code: int, text: str, encoding: Encoding | None = None) -> web.Response:
    return _respond(status, encoding or Encoding.JSON, Status(code=code, message=text))


def _respond(status: int, encoding: Encoding, message: ExportTraceServiceResponse | Status) -> web.Response:
    return web.Response(status=status, body=encoding.write(message), content_type=encoding.value)
