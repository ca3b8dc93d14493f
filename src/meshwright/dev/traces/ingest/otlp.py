"""OTLP as bytes: protobuf and JSON bodies, their compression, and the answers that the protocol asks for.

The specification is opentelemetry.io/docs/specs/otlp. Two things bite. OTLP/JSON is protobuf's JSON with one
exception: `traceId`, `spanId` and `parentSpanId` of spans and links are hex, not base64 ("JSON Protobuf Encoding");
fields that OTLP does not know are ignored, whatever is in them. And a request
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

from meshwright.errors import MeshwrightError
from meshwright.messages.otlp import ExportTraceServiceRequest, ExportTraceServiceResponse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from google.protobuf.message import Message

    from meshwright.dev.traces.store.trace_store import Ingested

_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_WINDOWS = {"gzip": _GZIP_WINDOW, "x-gzip": _GZIP_WINDOW, "deflate": zlib.MAX_WBITS, "zlib": zlib.MAX_WBITS}
CODINGS = "gzip, deflate, zlib or identity"
_DEFLATED = 8
_CHECK = 31
_LINK_IDS = ("traceId", "spanId", "trace_id", "span_id")
_SPAN_IDS = (*_LINK_IDS, "parentSpanId", "parent_span_id")

Json = dict[str, Any]


class BadExportError(MeshwrightError):
    """An export that cannot be read: sending it again would not help."""


class UnknownCodingError(BadExportError):
    """An export in a content encoding that this store does not know."""


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
        return ParseDict(_spans_with_base64_ids(document), ExportTraceServiceRequest(), ignore_unknown_fields=True)
    except BadExportError:
        raise
    except (ParseError, ValueError, RecursionError) as error:
        raise BadExportError(f"the body is not an ExportTraceServiceRequest: {error}") from None


def _spans_with_base64_ids(document: Json) -> Json:
    """The document with the ids of spans and of their links in base64; what OTLP does not know stays as it is."""
    for group in _items(document, "resourceSpans", "resource_spans"):
        for scoped in _items(group, "scopeSpans", "scope_spans"):
            for span in _items(scoped, "spans"):
                _with_base64_ids(span, _SPAN_IDS)
                for link in _items(span, "links"):
                    _with_base64_ids(link, _LINK_IDS)
    return document


def _items(document: Json, *names: str) -> Iterator[Json]:
    """The objects in the lists of those names."""
    for name in names:
        value = document.get(name)
        if isinstance(value, list):
            yield from (item for item in value if isinstance(item, dict))


def _with_base64_ids(document: Json, names: Iterable[str]) -> None:
    for name in names:
        text = document.get(name)
        if isinstance(text, str):
            document[name] = _base64_of_hex(name, text)


def _base64_of_hex(key: str, text: str) -> str:
    try:
        return base64.b64encode(bytes.fromhex(text)).decode()
    except ValueError:
        raise BadExportError(f"{key} must be hex digits, not {text[:40]!r}") from None


def decoded(body: bytes, codings: str, limit: int) -> bytes:
    """Undo a `Content-Encoding`, up to `limit` bytes.

    Raises `UnknownCodingError` for one that is not known, `TooLargeError` past the limit and `BadExportError` for a
    body that is not what it says.
    """
    for coding in reversed([coding.strip().lower() for coding in codings.split(",")]):
        if coding in _WINDOWS:
            body = inflate(body, limit, coding)
        elif coding not in ("", "identity"):
            raise UnknownCodingError(f"content encoding {coding!r} is not one of {CODINGS}")
    return body


def inflate(body: bytes, limit: int, coding: str = "gzip") -> bytes:
    """Undo gzip or deflate, up to `limit` bytes; raises `TooLargeError` and `BadExportError`."""
    window = _WINDOWS[coding]
    if coding == "deflate" and not _is_zlib(body):
        window = -zlib.MAX_WBITS  # without zlib's frame, which RFC 9110 asks for and some clients leave out
    parts: list[bytes] = []
    size = 0
    rest = body
    try:
        while rest:
            stream = zlib.decompressobj(window)
            part = stream.decompress(rest, limit - size + 1)
            size += len(part)
            if size > limit:
                raise TooLargeError(f"the body is larger than {limit} bytes when decompressed")
            if not stream.eof:
                raise BadExportError(f"the body is not {coding}: it ends too early")
            parts.append(part)
            rest = stream.unused_data.lstrip(b"\0")
            if rest and coding != "gzip":
                raise BadExportError(f"the body is not {coding}: something follows its end")
    except zlib.error as error:
        raise BadExportError(f"the body is not {coding}: {error}") from None
    return b"".join(parts)


def _is_zlib(body: bytes) -> bool:
    """Whether the body begins with the two bytes of RFC 1950: method and window, and a check of both."""
    return len(body) > 1 and body[0] & 0x0F == _DEFLATED and int.from_bytes(body[:2], "big") % _CHECK == 0


def answer(outcome: Ingested) -> ExportTraceServiceResponse:
    """The answer to an export that could be read."""
    response = ExportTraceServiceResponse()
    if outcome.rejected:
        response.partial_success.rejected_spans = outcome.rejected
        response.partial_success.error_message = outcome.reason
    return response
