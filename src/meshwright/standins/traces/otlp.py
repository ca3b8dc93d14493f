"""OTLP as bytes: protobuf and JSON bodies, their compression, and the answers that the protocol asks for.

The specification is opentelemetry.io/docs/specs/otlp. Two things bite. OTLP/JSON is protobuf's JSON with one
exception: `traceId`, `spanId` and `parentSpanId` are hex, not base64 ("JSON Protobuf Encoding"). And a request
whose spans were dropped in part is a success that says so (`partial_success`), while a bad one must be answered
with `google.rpc.Status` in the encoding of the request, so that the exporter does not send it again.

A compressed body is bounded by what it would become, not by what it is: it is inflated piece by piece, and
refused when it passes the bound.
"""

from __future__ import annotations

import base64
import json
import zlib
from enum import Enum
from typing import TYPE_CHECKING, Any

from google.protobuf.json_format import MessageToJson, ParseDict, ParseError
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from meshwright.errors import MeshwrightError

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from meshwright.standins.traces.store import Ingested

_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_ID_FIELDS = frozenset({"traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id"})


class BadExportError(MeshwrightError):
    """An export that cannot be read: sending it again would not help."""


class TooLargeError(MeshwrightError):
    """An export that is larger than this store takes."""


class Encoding(Enum):
    """The two encodings of OTLP/HTTP, by their content type."""

    PROTOBUF = "application/x-protobuf"
    JSON = "application/json"

    def read(self, body: bytes) -> ExportTraceServiceRequest:
        """Parse an export request; raises `BadExportError`."""
        return read_json(body) if self is Encoding.JSON else read_protobuf(body)

    def write(self, message: Message) -> bytes:
        """Serialise an answer."""
        return MessageToJson(message, indent=None).encode() if self is Encoding.JSON else message.SerializeToString()


def read_protobuf(body: bytes) -> ExportTraceServiceRequest:
    """Parse a protobuf export request."""
    try:
        return ExportTraceServiceRequest.FromString(body)
    except DecodeError as error:
        raise BadExportError(f"the body is not an ExportTraceServiceRequest: {error}") from None


def read_json(body: bytes) -> ExportTraceServiceRequest:
    """Parse an OTLP/JSON export request. Fields that are not known are ignored, as the specification asks."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadExportError(f"the body is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise BadExportError("the body is not a JSON object")
    try:
        return ParseDict(_with_base64_ids(document), ExportTraceServiceRequest(), ignore_unknown_fields=True)
    except (ParseError, RecursionError) as error:
        raise BadExportError(f"the body is not an ExportTraceServiceRequest: {error}") from None


def _with_base64_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _base64_of_hex(key, item) if key in _ID_FIELDS and isinstance(item, str) else _with_base64_ids(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_with_base64_ids(item) for item in value]
    return value


def _base64_of_hex(key: str, text: str) -> str:
    try:
        return base64.b64encode(bytes.fromhex(text)).decode()
    except ValueError:
        raise BadExportError(f"{key} must be hex digits, not {text[:40]!r}") from None


def inflate(body: bytes, limit: int) -> bytes:
    """Undo gzip, up to `limit` bytes; raises `TooLargeError` past it and `BadExportError` for what is no gzip."""
    parts: list[bytes] = []
    size = 0
    rest = body
    try:
        while rest:
            stream = zlib.decompressobj(_GZIP_WINDOW)
            part = stream.decompress(rest, limit - size + 1)
            size += len(part)
            if size > limit:
                raise TooLargeError(f"the body is larger than {limit} bytes when decompressed")
            if not stream.eof:
                raise BadExportError("the body is not gzip: it ends too early")
            parts.append(part)
            rest = stream.unused_data.lstrip(b"\0")
    except zlib.error as error:
        raise BadExportError(f"the body is not gzip: {error}") from None
    return b"".join(parts)


def answer(outcome: Ingested) -> ExportTraceServiceResponse:
    """The answer to an export that could be read."""
    response = ExportTraceServiceResponse()
    if outcome.rejected:
        response.partial_success.rejected_spans = outcome.rejected
        response.partial_success.error_message = outcome.reason
    return response
