"""Spans as the store keeps them: a few indexed fields beside the span as it came, serialised.

A span that is kept as Python objects costs kilobytes; as its own protobuf bytes it costs what it cost on the
wire. So the store keeps those bytes, next to the handful of fields that searching and listing need, and only a
trace that is shown in full is parsed again. What spans share is shared: one `Resource` per process that sent
them, one `Scope` per instrumentation library, held for as long as a span refers to them.

Two placeholders are Jaeger's (its sanitizers): `empty-span-name`, and `missing-service-name` and its kin.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from meshwright.messages.otlp import Resource as ResourceMessage
from meshwright.messages.otlp import Span, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshwright.messages.otlp import AnyValue, ExportTraceServiceRequest, InstrumentationScope

TRACE_ID_BYTES = 16
SPAN_ID_BYTES = 8
SPAN_OVERHEAD = 420
"""Bytes that a kept span takes beside its serialised body: measured, CPython 3.11."""

KINDS = {0: "", 1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}
"""OTLP's span kinds in Jaeger's words; unspecified is the empty one."""


@dataclass(eq=False, slots=True, weakref_slot=True)
class Resource:
    """The process that sent a span."""

    body: bytes
    service: str
    tags: list[dict[str, Any]] | None = None
    """Its attributes as they are shown; filled in when first asked for."""

    def message(self) -> ResourceMessage:
        """The resource as OTLP says it."""
        return ResourceMessage.FromString(self.body)


@dataclass(eq=False, slots=True, weakref_slot=True)
class Scope:
    """The instrumentation library that made a span."""

    name: str
    version: str


@dataclass(eq=False, slots=True)
class StoredSpan:
    """One span: what the store looks for, and the rest serialised. Times are nanoseconds since the epoch."""

    span_id: bytes
    parent_id: bytes
    name: str
    kind: str
    start: int
    end: int
    failed: bool
    resource: Resource
    scope: Scope
    body: bytes

    @property
    def service(self) -> str:
        """The name of the service that sent it."""
        return self.resource.service

    @property
    def duration(self) -> int:
        """Nanoseconds; 0 where the span says that it ended before it started."""
        return max(0, self.end - self.start)

    @property
    def size(self) -> int:
        """About the bytes of memory that it takes."""
        return len(self.body) + SPAN_OVERHEAD

    def message(self) -> Span:
        """The span as OTLP says it."""
        return Span.FromString(self.body)


class SpanReader:
    """Turns OTLP export requests into spans to store, sharing what they share."""

    def __init__(self) -> None:
        self._resources: WeakValueDictionary[bytes, Resource] = WeakValueDictionary()
        self._scopes: WeakValueDictionary[bytes, Scope] = WeakValueDictionary()

    def read(self, request: ExportTraceServiceRequest) -> Iterator[tuple[bytes, StoredSpan] | str]:
        """Each span of the request as (trace id, span); as what is wrong with it where it cannot be stored."""
        for group in request.resource_spans:
            resource = self._resource(group.resource)
            for scoped in group.scope_spans:
                scope = self._scope(scoped.scope)
                for span in scoped.spans:
                    yield problem_of(span) or (span.trace_id, _stored(span, resource, scope))

    def _resource(self, message: ResourceMessage) -> Resource:
        body = message.SerializeToString(deterministic=True)
        known = self._resources.get(body)
        if known is None:
            known = self._resources[body] = Resource(body, sys.intern(_service_name(message)))
        return known

    def _scope(self, message: InstrumentationScope) -> Scope:
        body = message.SerializeToString(deterministic=True)
        known = self._scopes.get(body)
        if known is None:
            known = self._scopes[body] = Scope(message.name, message.version)
        return known


def problem_of(span: Span) -> str:
    """Why the span cannot be stored, by the rules of the OTLP data model on ids; empty where it can."""
    if len(span.trace_id) != TRACE_ID_BYTES or not any(span.trace_id):
        return f"span {span.name!r}: trace_id must be {TRACE_ID_BYTES} bytes and not all zero"
    if len(span.span_id) != SPAN_ID_BYTES or not any(span.span_id):
        return f"span {span.name!r}: span_id must be {SPAN_ID_BYTES} bytes and not all zero"
    if span.parent_span_id and len(span.parent_span_id) != SPAN_ID_BYTES:
        return f"span {span.name!r}: parent_span_id must be {SPAN_ID_BYTES} bytes or absent"
    return ""


def _stored(span: Span, resource: Resource, scope: Scope) -> StoredSpan:
    return StoredSpan(
        span_id=span.span_id,
        parent_id=span.parent_span_id if any(span.parent_span_id) else b"",
        name=sys.intern(span.name or "empty-span-name"),
        kind=KINDS.get(span.kind, ""),
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        failed=span.status.code == Status.STATUS_CODE_ERROR or _says_error(span),
        resource=resource,
        scope=scope,
        body=span.SerializeToString(),
    )


def _says_error(span: Span) -> bool:
    """Whether the span carries OpenTracing's `error=true`, which Jaeger shows as an error too."""
    for attribute in span.attributes:
        if attribute.key == "error":
            return attribute.value.bool_value or attribute.value.string_value == "true"
    return False


def _service_name(message: ResourceMessage) -> str:
    for attribute in message.attributes:
        if attribute.key == "service.name":
            return _checked_service_name(attribute.value)
    return "missing-service-name"


def _checked_service_name(value: AnyValue) -> str:
    if value.WhichOneof("value") != "string_value":
        return "service-name-wrong-type"
    return value.string_value or "empty-service-name"
