"""OTLP spans and export requests made in one line, for the tests of the trace store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshwright.messages.otlp import (
    AnyValue,
    ArrayValue,
    ExportTraceServiceRequest,
    InstrumentationScope,
    KeyValue,
    KeyValueList,
    Resource,
    ResourceSpans,
    ScopeSpans,
    Span,
    Status,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

MS = 1_000_000
EPOCH = 1_700_000_000_000 * MS
"""The time from which `span` counts, in nanoseconds."""

KINDS = {"": 0, "internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}


def trace_id(number: int) -> bytes:
    return number.to_bytes(16, "big")


def span_id(number: int) -> bytes:
    return number.to_bytes(8, "big")


_FIELDS = {bool: "bool_value", int: "int_value", float: "double_value", bytes: "bytes_value", str: "string_value"}


def value(plain: Any) -> AnyValue:
    """A plain value as OTLP says it."""
    if isinstance(plain, list):
        return AnyValue(array_value=ArrayValue(values=[value(item) for item in plain]))
    if isinstance(plain, dict):
        return AnyValue(kvlist_value=KeyValueList(values=attributes(plain)))
    return AnyValue(**({} if plain is None else {_FIELDS[type(plain)]: plain}))


def attributes(plain: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=value(item)) for key, item in plain.items()]


def span(
    trace: int = 1,
    id: int = 1,  # noqa: A002
    *,
    parent: int = 0,
    name: str = "GET /",
    kind: str = "server",
    at: float = 0.0,
    took: float = 10.0,
    error: str | None = None,
    tags: Mapping[str, Any] | None = None,
    **more: Any,
) -> Span:
    """A span that starts `at` milliseconds after EPOCH and takes `took` of them."""
    start = EPOCH + round(at * MS)
    return Span(
        trace_id=trace_id(trace),
        span_id=span_id(id),
        parent_span_id=span_id(parent) if parent else b"",
        name=name,
        kind=KINDS[kind],  # type: ignore[arg-type]
        start_time_unix_nano=start,
        end_time_unix_nano=start + round(took * MS),
        status=Status() if error is None else Status(code=Status.STATUS_CODE_ERROR, message=error),
        attributes=attributes(tags or {}),
        **more,
    )


def request(
    *spans: Span, service: str | None = "user", scope: str = "tests", **resource: Any
) -> ExportTraceServiceRequest:
    """An export request of these spans from one service."""
    named = {} if service is None else {"service.name": service}
    return ExportTraceServiceRequest(
        resource_spans=[
            ResourceSpans(
                resource=Resource(attributes=attributes({**named, **resource})),
                scope_spans=[ScopeSpans(scope=InstrumentationScope(name=scope), spans=spans)],
            )
        ]
    )
