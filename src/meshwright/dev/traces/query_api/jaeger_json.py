"""OTLP spans as Jaeger's query API says them in JSON (jaegertracing/jaeger, internal/uimodel).

The mapping follows the translator that Jaeger itself uses (OpenTelemetry Collector, pkg/translator/jaeger):
scope, kind, status and trace state become the tags `otel.scope.name`, `otel.scope.version`, `span.kind`,
`otel.status_code`, `error`, `otel.status_description` and `w3c.tracestate`, around the span's own attributes;
the parent is a CHILD_OF reference, links are FOLLOWS_FROM; events are logs whose `event` field is their name.
Integers past 2^53 - 1 become strings, for JavaScript's sake. Times are microseconds.

Clocks that disagree are shown, not hidden. Like a Jaeger whose skew adjustment is off (its default) we move no
span and add a warning with the delta that an adjustment would have applied.
"""

from __future__ import annotations

import base64
import json
import math
from typing import TYPE_CHECKING, Any

from meshwright.dev.traces.store.skew import skew_warnings
from meshwright.dev.traces.store.spans import KINDS
from meshwright.messages.otlp import Span, Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshwright.dev.traces.store.spans import Resource, Scope, StoredSpan
    from meshwright.dev.traces.store.trace_store import Trace
    from meshwright.messages.otlp import AnyValue, KeyValue

Json = dict[str, Any]

MAX_SAFE_INTEGER = 2**53 - 1
NANOS_PER_MICRO = 1000
_STATUS = {Status.STATUS_CODE_OK: "OK", Status.STATUS_CODE_ERROR: "ERROR"}
_SHORT = b"\0" * 8


def trace_to_json(trace: Trace) -> Json:
    """The trace as an element of `data` in Jaeger's answers."""
    processes: dict[str, Json] = {}
    ids: dict[Resource, str] = {}
    warnings = skew_warnings(trace)
    spans = []
    for stored in sorted(trace.spans.values(), key=lambda span: span.start):
        process = ids.get(stored.resource)
        if process is None:
            process = ids[stored.resource] = f"p{len(ids) + 1}"
            processes[process] = process_to_json(stored.resource)
        spans.append(span_to_json(stored, process, warnings.get(stored.span_id, [])))
    return {"traceID": trace_id_text(trace.id), "spans": spans, "processes": processes, "warnings": None}


def span_to_json(stored: StoredSpan, process: str, warnings: list[str]) -> Json:
    """One span, in the process of that key."""
    span = stored.message()
    said = list(warnings)
    if stored.end < stored.start:
        said.append(f"the span ends {stored.start - stored.end} ns before it starts; shown with no duration")
    return {
        "traceID": trace_id_text(span.trace_id),
        "spanID": stored.span_id.hex(),
        **({"flags": span.flags & 0xFF} if span.flags & 0xFF else {}),
        "operationName": stored.name,
        "references": references(span, stored.parent_id),
        "startTime": stored.start // NANOS_PER_MICRO,
        "duration": stored.duration // NANOS_PER_MICRO,
        "tags": span_tags(span, stored.scope),
        "logs": [event_to_json(event) for event in span.events],
        "processID": process,
        "warnings": said or None,
    }


def trace_id_text(trace_id: bytes) -> str:
    """The id in hex; 16 digits where the upper half is zero, as Jaeger writes ids of 64 bits."""
    return trace_id[8:].hex() if trace_id[:8] == _SHORT else trace_id.hex()


def process_to_json(resource: Resource) -> Json:
    """The resource as a Jaeger process."""
    if resource.tags is None:
        resource.tags = tags(item for item in resource.message().attributes if item.key != "service.name")
    return {"serviceName": resource.service, "tags": resource.tags}


def references(span: Span, parent_id: bytes) -> list[Json]:
    """The parent and the links; a link to the parent is the parent."""
    found = []
    if parent_id:
        found.append(_reference("CHILD_OF", span.trace_id, parent_id))
    for link in span.links:
        if not any(link.trace_id):
            continue
        kind = "FOLLOWS_FROM"
        for item in link.attributes:
            if item.key == "opentracing.ref_type" and item.value.string_value == "child_of":
                kind = "CHILD_OF"
        if parent_id and link.trace_id == span.trace_id and link.span_id == parent_id:
            found[0]["refType"] = kind
        else:
            found.append(_reference(kind, link.trace_id, link.span_id))
    return found


def _reference(kind: str, trace_id: bytes, span_id: bytes) -> Json:
    return {"refType": kind, "traceID": trace_id_text(trace_id), "spanID": span_id.hex()}


def span_tags(span: Span, scope: Scope) -> list[Json]:
    """The span's attributes, and before and after them what Jaeger has no field for."""
    found = []
    if scope.name:
        found.append(_tag("otel.scope.name", "string", scope.name))
    if scope.version:
        found.append(_tag("otel.scope.version", "string", scope.version))
    found += tags(span.attributes)
    if KINDS.get(span.kind):
        found.append(_tag("span.kind", "string", KINDS[span.kind]))
    if span.status.code in _STATUS:
        found.append(_tag("otel.status_code", "string", _STATUS[span.status.code]))
    if span.status.code == Status.STATUS_CODE_ERROR:
        found.append(_tag("error", "bool", value=True))
    if span.status.message:
        found.append(_tag("otel.status_description", "string", span.status.message))
    if span.trace_state:
        found.append(_tag("w3c.tracestate", "string", span.trace_state))
    return found


def event_to_json(event: Span.Event) -> Json:
    """The event as a Jaeger log; its name is the field `event`."""
    fields = tags(event.attributes)
    if event.name and not any(field["key"] == "event" for field in fields):
        fields.insert(0, _tag("event", "string", event.name))
    return {"timestamp": event.time_unix_nano // NANOS_PER_MICRO, "fields": fields}


def tags(attributes: Iterable[KeyValue]) -> list[Json]:
    """Attributes as typed tags."""
    return [tag(item.key, item.value) for item in attributes]


def tag(key: str, value: AnyValue) -> Json:
    """One attribute as a typed tag. Lists and maps are JSON text, as Jaeger has no type for them."""
    match value.WhichOneof("value"):
        case "bool_value":
            return _tag(key, "bool", value.bool_value)
        case "int_value":
            safe = -MAX_SAFE_INTEGER <= value.int_value <= MAX_SAFE_INTEGER
            return _tag(key, "int64", value.int_value if safe else str(value.int_value))
        case "double_value":
            finite = math.isfinite(value.double_value)
            return _tag(key, "float64", value.double_value if finite else str(value.double_value))
        case "bytes_value":
            return _tag(key, "binary", base64.b64encode(value.bytes_value).decode())
        case "array_value" | "kvlist_value":
            return _tag(key, "string", json.dumps(_plain(value), separators=(",", ":"), ensure_ascii=False))
        case _:
            return _tag(key, "string", value.string_value)


def _tag(key: str, kind: str, value: Any) -> Json:
    return {"key": key, "type": kind, "value": value}


def _plain(value: AnyValue) -> Any:
    match value.WhichOneof("value"):
        case "array_value":
            return [_plain(item) for item in value.array_value.values]
        case "kvlist_value":
            return {item.key: _plain(item.value) for item in value.kvlist_value.values}
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case "double_value":
            return value.double_value if math.isfinite(value.double_value) else str(value.double_value)
        case None:
            return None
        case field:
            return getattr(value, field)


def text_of(tagged: Json) -> str:
    """A tag's value as Jaeger compares it in a search: as text."""
    value = tagged["value"]
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_SAFE_INTEGER:
        return str(int(value))
    return str(value)
