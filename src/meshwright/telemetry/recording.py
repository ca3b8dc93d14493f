"""Spans kept in memory, for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan


class SpanRecorder(SpanExporter):
    """Keeps each span as it ends. Give it to a `Telemetry`."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans.extend(spans)
        return SpanExportResult.SUCCESS

    def of(self, kind: SpanKind, name: str = "") -> list[ReadableSpan]:
        """The spans of that kind, in the order of their ends; with `name`, those whose name ends in it."""
        return [span for span in self.spans if span.kind is kind and span.name.endswith(name)]

    @property
    def clients(self) -> list[ReadableSpan]:
        return self.of(SpanKind.CLIENT)

    @property
    def servers(self) -> list[ReadableSpan]:
        return self.of(SpanKind.SERVER)
