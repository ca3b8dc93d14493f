"""Spans timed elsewhere: handed to the exporter whole, with ids of their own.

A tracer begins a span and ends it in one process. A rollout's spans begin in one process and may end in another, long
after a restart; what is remembered in between is data. The ids are chosen beforehand, so that telling a span twice is
telling the same span.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from meshwright.telemetry.identity import library_version
from meshwright.telemetry.tracing import SCOPE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from meshwright.telemetry import Telemetry

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Moment:
    """An event within a span; `at` is unix seconds."""

    name: str
    at: float
    attributes: Mapping[str, str | int | float | bool] = field(default_factory=dict)


def tell(
    telemetry: Telemetry,
    *,
    trace_id: str,
    span_id: str,
    parent_id: str,
    name: str,
    started_at: float,
    ended_at: float,
    ok: bool = True,
    message: str = "",
    attributes: Mapping[str, str | int | float | bool] | None = None,
    events: Sequence[Moment] = (),
    links: Sequence[tuple[str, str]] = (),
) -> None:
    """Export a span that has ended. Ids are hexadecimal, `parent_id` empty for a root; links are (trace, span)."""
    status = Status(StatusCode.OK) if ok else Status(StatusCode.ERROR, message)
    span = ReadableSpan(
        name=name,
        context=_context(trace_id, span_id),
        parent=_context(trace_id, parent_id) if parent_id else None,
        resource=telemetry.provider.resource,
        attributes=dict(attributes or {}),
        events=[Event(moment.name, dict(moment.attributes), round(moment.at * _NANOSECONDS)) for moment in events],
        links=[Link(_context(*link)) for link in links],
        kind=SpanKind.INTERNAL,
        status=status,
        start_time=round(started_at * _NANOSECONDS),
        end_time=round(ended_at * _NANOSECONDS),
        instrumentation_scope=InstrumentationScope(SCOPE, library_version()),
    )
    # The SDK has no other door for a span that it did not time itself.
    telemetry.provider._active_span_processor.on_end(span)  # noqa: SLF001


def _context(trace_id: str, span_id: str) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=_SAMPLED)
