"""Trace context in and out of gRPC metadata: W3C `traceparent`, `tracestate`, `baggage`.

OpenTelemetry's propagators are the reference; this is a short cut for what nearly every call carries, a `traceparent`
and nothing else. Whatever else there is (state, baggage, another format by `OTEL_PROPAGATORS`) goes through them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from opentelemetry import baggage, propagate, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Pair = tuple[str, str | bytes]

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_EMPTY = Context()


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


def extract(metadata: Sequence[Pair], traceparent: str | None, *, plain: bool) -> Context:
    """The context that came with a call. `plain`: `traceparent` is all there is, and W3C is spoken."""
    if not plain:
        return propagate.extract(metadata, context=_EMPTY, getter=_GETTER)
    found = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
    if found is None:
        return _EMPTY
    span_context = trace.SpanContext(
        int(found[1], 16), int(found[2], 16), is_remote=True, trace_flags=trace.TraceFlags(int(found[3], 16))
    )
    if not span_context.is_valid:
        return _EMPTY
    return trace.set_span_in_context(trace.NonRecordingSpan(span_context), _EMPTY)


def inject(pairs: list[Pair], span: trace.Span, *, w3c: bool) -> None:
    """Add to the metadata `pairs` what the callee needs to go on with the trace of `span`."""
    span_context = span.get_span_context()
    if w3c and not span_context.trace_state and not baggage.get_all():
        if span_context.is_valid:
            flags = int(span_context.trace_flags)
            pairs.append(("traceparent", f"00-{span_context.trace_id:032x}-{span_context.span_id:016x}-{flags:02x}"))
        return
    carrier: dict[str, str] = {}
    propagate.inject(carrier, context=trace.set_span_in_context(span))
    pairs.extend(carrier.items())
