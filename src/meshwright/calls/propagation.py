"""Trace context in and out of gRPC metadata: W3C `traceparent`, `tracestate`, `baggage`.

OpenTelemetry's propagators are the reference; this is a short cut for what nearly every call carries, a `traceparent`
and nothing else. Whatever else there is (state, baggage, another format by `OTEL_PROPAGATORS`) goes through them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from opentelemetry import baggage, propagate, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context, get_current
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Pair = tuple[str, str | bytes]

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_EMPTY = Context()
_NO_TRACE = f"00-{0:032x}-"
_SPAN_AT = 36
_NO_SPAN = f"{0:016x}-"
_LAST_DIGIT = 54
_ODD = frozenset("13579bdf")


class _PairsGetter(Getter[Any]):
    def get(self, carrier: Iterable[Pair], key: str) -> list[str] | None:
        found = [value for name, value in carrier if name == key and isinstance(value, str)]
        return found or None

    def keys(self, carrier: Iterable[Pair]) -> list[str]:
        return [name for name, _ in carrier]


_GETTER = _PairsGetter()


def uses_w3c() -> bool:
    """Whether the propagators are the default ones, for which the short cuts hold."""
    chosen = propagate.get_global_textmap()
    if not isinstance(chosen, CompositePropagator):
        return False
    kinds = {type(item) for item in chosen._propagators}  # noqa: SLF001 - it has no other way to ask
    return kinds == {TraceContextTextMapPropagator, W3CBaggagePropagator}


class Unsampled(trace.NonRecordingSpan):
    """The span of a call that is not sampled, kept as the header it came in and goes on in.

    Most calls of a busy service are of this kind, and most of them never look at the ids: they are parsed when a log
    line or a span of the service's own asks.
    """

    def __init__(self, traceparent: str) -> None:
        self.traceparent = traceparent
        self._parsed: trace.SpanContext | None = None

    def get_span_context(self) -> trace.SpanContext:
        if self._parsed is None:
            self._parsed = _parse(self.traceparent)
        return self._parsed


def _parse(traceparent: str) -> trace.SpanContext:
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None:
        return trace.INVALID_SPAN_CONTEXT
    flags = trace.TraceFlags(int(found[3], 16))
    return trace.SpanContext(int(found[1], 16), int(found[2], 16), is_remote=True, trace_flags=flags)


def extract(metadata: Sequence[Pair], traceparent: str | None, *, plain: bool) -> trace.Span | Context | None:
    """The parent that came with a call: a span, or a whole context where there is more to it; None: nothing came.

    `plain`: `traceparent` is all there is, and W3C is spoken.
    """
    if not plain:
        return propagate.extract(metadata, context=_EMPTY, getter=_GETTER)
    if traceparent is None or _TRACEPARENT.fullmatch(traceparent) is None:
        return None
    if traceparent.startswith(_NO_TRACE) or traceparent.startswith(_NO_SPAN, _SPAN_AT):
        return None
    if traceparent[_LAST_DIGIT] in _ODD:
        return trace.NonRecordingSpan(_parse(traceparent))
    return Unsampled(traceparent)


def header(span_context: trace.SpanContext) -> str:
    """The `traceparent` of a span."""
    flags = int(span_context.trace_flags)
    return f"00-{span_context.trace_id:032x}-{span_context.span_id:016x}-{flags:02x}"


def has_baggage(span_context: trace.SpanContext | None) -> bool:
    """Whether a `traceparent` is not all that an outgoing call must carry."""
    if span_context is not None and span_context.trace_state:
        return True
    # A context of one entry holds the current span and nothing else.
    return len(get_current()) > 1 and bool(baggage.get_all())


def inject(pairs: list[Pair], span: trace.Span) -> None:
    """Add to the metadata `pairs` all that the callee needs, by OpenTelemetry's propagators."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier, context=trace.set_span_in_context(span))
    pairs.extend(carrier.items())
