"""The messages of OTLP that the trace store takes and keeps: traces alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshwright import messages

_POOL = messages.load("otlp")


def _class(name: str) -> Any:
    return messages.message(_POOL, f"opentelemetry.proto.{name}")


if TYPE_CHECKING:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
        ExportTraceServiceRequest,
        ExportTraceServiceResponse,
    )
    from opentelemetry.proto.common.v1.common_pb2 import (
        AnyValue,
        ArrayValue,
        InstrumentationScope,
        KeyValue,
        KeyValueList,
    )
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource
    from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status
else:
    ExportTraceServiceRequest = _class("collector.trace.v1.ExportTraceServiceRequest")
    ExportTraceServiceResponse = _class("collector.trace.v1.ExportTraceServiceResponse")
    AnyValue = _class("common.v1.AnyValue")
    ArrayValue = _class("common.v1.ArrayValue")
    InstrumentationScope = _class("common.v1.InstrumentationScope")
    KeyValue = _class("common.v1.KeyValue")
    KeyValueList = _class("common.v1.KeyValueList")
    Resource = _class("resource.v1.Resource")
    ResourceSpans = _class("trace.v1.ResourceSpans")
    ScopeSpans = _class("trace.v1.ScopeSpans")
    Span = _class("trace.v1.Span")
    Status = _class("trace.v1.Status")

__all__ = [
    "AnyValue",
    "ArrayValue",
    "ExportTraceServiceRequest",
    "ExportTraceServiceResponse",
    "InstrumentationScope",
    "KeyValue",
    "KeyValueList",
    "Resource",
    "ResourceSpans",
    "ScopeSpans",
    "Span",
    "Status",
]
