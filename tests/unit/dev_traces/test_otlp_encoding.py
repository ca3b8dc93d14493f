"""OTLP bodies: protobuf, JSON with its rule on ids, gzip within a bound."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import pytest

from meshwright.dev.traces.ingest.otlp import (
    BadExportError,
    TooLargeError,
    UnknownCodingError,
    answer,
    decoded,
    inflate,
    read_json,
    read_protobuf,
)
from meshwright.dev.traces.store.trace_store import Ingested
from support.spans import request, span, trace_id


def document(**fields: Any) -> bytes:
    """The smallest OTLP/JSON export, with the given fields in its span."""
    one = {
        "traceId": "5B8EFFF798038103D269B633813FC60C",
        "spanId": "EEE19B7EC3C1B174",
        "name": "I",
        "kind": 2,
        **fields,
    }
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [one]}]}]}).encode()


def test_json_ids_are_hex_of_either_case() -> None:
    (only,) = read_json(document(parentSpanId="eee19b7ec3c1b173")).resource_spans[0].scope_spans[0].spans
    assert only.trace_id.hex() == "5b8efff798038103d269b633813fc60c"
    assert only.span_id.hex() == "eee19b7ec3c1b174"
    assert only.parent_span_id.hex() == "eee19b7ec3c1b173"


def test_json_links_have_hex_ids_and_bytes_values_are_base64() -> None:
    link = {"traceId": "01" * 16, "spanId": "02" * 8}
    attribute = {"key": "blob", "value": {"bytesValue": "AP8="}}
    (only,) = read_json(document(links=[link], attributes=[attribute])).resource_spans[0].scope_spans[0].spans
    assert only.links[0].trace_id == b"\1" * 16
    assert only.attributes[0].value.bytes_value == b"\x00\xff"


def test_json_times_may_be_text_or_numbers_and_unknown_fields_are_ignored() -> None:
    body = document(
        startTimeUnixNano="1544712660000000000", endTimeUnixNano=1544712661000000000, fromTheFuture={"a": 1}
    )
    (only,) = read_json(body).resource_spans[0].scope_spans[0].spans
    assert only.end_time_unix_nano - only.start_time_unix_nano == 1_000_000_000


@pytest.mark.parametrize("kind", [3, "SPAN_KIND_CLIENT"])
def test_json_enums_are_numbers_or_names(kind: int | str) -> None:
    (only,) = read_json(document(kind=kind)).resource_spans[0].scope_spans[0].spans
    assert only.kind == 3


def test_json_ids_in_fields_that_otlp_does_not_know_are_nobodys_business() -> None:
    odd = {"traceId": "not hex", "spanId": "-"}
    event = {
        "name": "e",
        "spanId": "not hex",
        "attributes": [{"key": "k", "value": {"stringValue": "v"}, "traceId": "x"}],
    }
    body = json.loads(document(fromTheFuture=odd, events=[event], status={"code": 2, "spanId": "not hex"}))
    body |= odd
    body["resourceSpans"][0] |= odd | {"resource": {"traceId": "not hex"}}
    body["resourceSpans"][0]["scopeSpans"][0] |= odd
    (only,) = read_json(json.dumps(body).encode()).resource_spans[0].scope_spans[0].spans
    assert (only.name, only.events[0].name, only.status.code) == ("I", "e", 2)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is not JSON"),
        (b"\xff\xfe{", "the body is not JSON"),
        (b"[]", "the body is not a JSON object"),
        (b"[" * 100_000, "the body is not JSON"),
        (document(traceId="xyz"), "traceId must be hex digits, not 'xyz'"),
        (document(kind=[]), "not an ExportTraceServiceRequest"),
        (document(startTimeUnixNano=-1), "not an ExportTraceServiceRequest"),
        (document(name="\ud800"), "not an ExportTraceServiceRequest"),
        (document(links=[{"spanId": "xyz"}]), "spanId must be hex digits, not 'xyz'"),
        (b'{"resourceSpans": 7}', "not an ExportTraceServiceRequest"),
    ],
)
def test_bad_json_is_refused_with_the_reason(body: bytes, message: str) -> None:
    with pytest.raises(BadExportError, match=message):
        read_json(body)


def test_protobuf_is_read_and_garbage_is_refused() -> None:
    sent = request(span(7))
    assert read_protobuf(sent.SerializeToString()) == sent
    assert read_protobuf(sent.SerializeToString()).resource_spans[0].scope_spans[0].spans[0].trace_id == trace_id(7)
    with pytest.raises(BadExportError, match="not an ExportTraceServiceRequest"):
        read_protobuf(b"\xff\xff\xff")


def test_gzip_is_undone_also_in_several_members() -> None:
    assert inflate(gzip.compress(b"one ") + gzip.compress(b"two"), 100) == b"one two"
    assert inflate(gzip.compress(b"x" * 100), 100) == b"x" * 100


RAW = zlib.compressobj(wbits=-15)
DEFLATED = {"zlib": zlib.compress(b"x" * 90), "raw": RAW.compress(b"x" * 90) + RAW.flush()}


@pytest.mark.parametrize("body", DEFLATED.values(), ids=DEFLATED)
def test_deflate_is_undone_with_and_without_its_frame(body: bytes) -> None:
    assert decoded(body, "Deflate", 100) == b"x" * 90
    with pytest.raises(TooLargeError, match="larger than 80 bytes when decompressed"):
        decoded(body, "deflate", 80)
    with pytest.raises(BadExportError, match="the body is not deflate: it ends too early"):
        decoded(body[:-5], "deflate", 100)
    with pytest.raises(BadExportError, match="the body is not deflate: something follows its end"):
        decoded(body + b"tail", "deflate", 100)


def test_several_codings_are_undone_from_the_last_to_the_first() -> None:
    assert decoded(gzip.compress(zlib.compress(b"twice")), "deflate, gzip", 100) == b"twice"
    assert decoded(b"as it is", "identity", 100) == decoded(b"as it is", "", 100) == b"as it is"
    with pytest.raises(UnknownCodingError, match="content encoding 'br' is not one of gzip, deflate, zlib or identity"):
        decoded(b"", "gzip, br", 100)


def test_a_gzip_bomb_is_refused_before_it_is_large() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    assert len(bomb) < 100_000
    with pytest.raises(TooLargeError, match="larger than 1000 bytes when decompressed"):
        inflate(bomb, 1000)


def test_a_bomb_of_many_members_is_refused_too() -> None:
    with pytest.raises(TooLargeError):
        inflate(gzip.compress(bytes(400)) * 3, 1000)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"plain text", id="plain"),
        pytest.param(gzip.compress(b"hello")[:-6], id="cut off"),
        pytest.param(gzip.compress(b"a") + b"tail", id="with a tail"),
    ],
)
def test_what_is_no_gzip_is_refused(body: bytes) -> None:
    with pytest.raises(BadExportError, match="the body is not gzip"):
        inflate(body, 1000)


def test_the_answer_says_what_was_dropped_and_is_empty_otherwise() -> None:
    assert answer(Ingested(3, 0, "")).SerializeToString() == b""
    partial = answer(Ingested(1, 2, "why (and 1 more)")).partial_success
    assert (partial.rejected_spans, partial.error_message) == (2, "why (and 1 more)")
