"""The bounded store: the newest traces, within a number of spans and of bytes.

Traces leave whole, and the one whose first span came earliest leaves first: half a trace misleads, and a trace
that is still being written must not be able to stay for ever. Spans come in any order, late, and more than once
(an exporter that saw no answer sends its batch again): within a trace a span id counts once, the latest copy.
A span that comes after its trace has left starts that trace anew, and shows as what it is: a span whose parent
is missing. A single trace can fill the store but not flush it: past the limits its further spans are refused,
which the sender hears of as a partial success (OTLP).

Nothing here awaits, so one event loop may read and write without locks.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from meshwright.dev.traces.store.spans import SpanReader, StoredSpan

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshwright.messages.otlp import ExportTraceServiceRequest

TRACE_OVERHEAD = 600
"""Bytes that a trace takes beside its spans."""


@dataclass(eq=False, slots=True)
class Trace:
    """The spans that share a trace id, in the order in which they came."""

    id: bytes
    spans: dict[bytes, StoredSpan] = field(default_factory=dict)
    start: int = 0
    size: int = TRACE_OVERHEAD

    @property
    def end(self) -> int:
        """When the last of its spans ended."""
        return max(max(span.end, span.start) for span in self.spans.values())

    def root(self) -> StoredSpan:
        """The span to name the trace by: the earliest without a parent in it."""
        spans = self.spans
        return min(
            (span for span in spans.values() if span.parent_id not in spans),
            key=lambda span: (bool(span.parent_id), span.start),
            default=min(spans.values(), key=lambda span: span.start),
        )


class Outcome(Enum):
    """What became of a span."""

    STORED = "stored"
    REPEATED = "repeated"
    """Its id was there already: the latest copy is kept."""
    REFUSED = "refused"
    """Its trace alone has reached the limits."""


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of one export request."""

    accepted: int
    rejected: int
    reason: str
    """Why spans were rejected: the first reason, and how many more there were."""


@dataclass(slots=True)
class Counts:
    """What has happened since the store was made."""

    received: int = 0
    repeated: int = 0
    invalid: int = 0
    refused: int = 0
    evicted_spans: int = 0
    evicted_traces: int = 0


class TraceStore:
    """The traces, the services and operations in them, and who calls when something changes."""

    def __init__(self, *, max_spans: int, max_bytes: int) -> None:
        self.max_spans = max_spans
        self.max_bytes = max_bytes
        self.counts = Counts()
        self.spans = 0
        self.bytes = 0
        self.version = 0
        """Grows with every change."""
        self._traces: dict[bytes, Trace] = {}
        self._operations: dict[str, Counter[tuple[str, str]]] = {}
        self._reader = SpanReader()
        self._listeners: set[Callable[[], None]] = set()

    def ingest(self, request: ExportTraceServiceRequest) -> Ingested:
        """Store the spans of an OTLP export request; what cannot be stored is counted and explained."""
        accepted = 0
        problems: list[str] = []
        for item in self._reader.read(request):
            self.counts.received += 1
            if isinstance(item, str):
                self.counts.invalid += 1
                problems.append(item)
            elif self.add(*item) is Outcome.REFUSED:
                self.counts.refused += 1
                problems.append(f"trace {item[0].hex()} has reached the store's limits by itself")
            else:
                accepted += 1
        if accepted:
            self._changed()
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        return Ingested(accepted, len(problems), problems[0] + more if problems else "")

    def add(self, trace_id: bytes, span: StoredSpan) -> Outcome:
        """Store one span, and let the oldest traces go where the limits ask for it."""
        trace = self._traces.get(trace_id)
        earlier = trace.spans.get(span.span_id) if trace else None
        if self._fills(trace, span, earlier):
            return Outcome.REFUSED
        if trace is None:
            trace = self._traces[trace_id] = Trace(trace_id, start=span.start)
            self.bytes += trace.size
        elif earlier is not None:
            self.counts.repeated += 1
            self._forget(trace, earlier)
            if earlier.start == trace.start:
                trace.start = min((other.start for other in trace.spans.values()), default=span.start)
        self._remember(trace, span)
        while self.spans > self.max_spans or self.bytes > self.max_bytes:
            self._evict(next(iter(self._traces.values())))
        return Outcome.REPEATED if earlier is not None else Outcome.STORED

    def get(self, trace_id: bytes) -> Trace | None:
        """The trace with that id of 16 bytes."""
        return self._traces.get(trace_id)

    def newest_first(self) -> list[Trace]:
        """All traces, by the time of their first span."""
        return sorted(self._traces.values(), key=lambda trace: trace.start, reverse=True)

    def services(self) -> list[str]:
        """The names of the services that have a span in the store."""
        return sorted(self._operations)

    def operations(self, service: str, kind: str = "") -> list[tuple[str, str]]:
        """The (name, kind) pairs of that service's spans; of one kind where `kind` names it."""
        known: Counter[tuple[str, str]] = self._operations.get(service, Counter())
        return sorted(pair for pair in known if kind in ("", pair[1]))

    def __len__(self) -> int:
        return len(self._traces)

    def subscribe(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` after every change, until the function that this returns is called."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    def _changed(self) -> None:
        self.version += 1
        for listener in tuple(self._listeners):
            listener()

    def _fills(self, trace: Trace | None, span: StoredSpan, earlier: StoredSpan | None) -> bool:
        """Whether the trace alone would pass the limits with that span in it."""
        size = (trace.size if trace else TRACE_OVERHEAD) + span.size - (earlier.size if earlier else 0)
        count = (len(trace.spans) if trace else 0) + (0 if earlier else 1)
        return count > self.max_spans or size > self.max_bytes

    def _remember(self, trace: Trace, span: StoredSpan) -> None:
        trace.spans[span.span_id] = span
        trace.start = min(trace.start, span.start)
        trace.size += span.size
        self.spans += 1
        self.bytes += span.size
        self._operations.setdefault(span.service, Counter())[span.name, span.kind] += 1

    def _forget(self, trace: Trace, span: StoredSpan) -> None:
        del trace.spans[span.span_id]
        trace.size -= span.size
        self.spans -= 1
        self.bytes -= span.size
        known = self._operations[span.service]
        known[span.name, span.kind] -= 1
        if not known[span.name, span.kind]:
            del known[span.name, span.kind]
        if not known:
            del self._operations[span.service]

    def _evict(self, oldest: Trace) -> None:
        del self._traces[oldest.id]
        self.counts.evicted_traces += 1
        self.counts.evicted_spans += len(oldest.spans)
        for span in tuple(oldest.spans.values()):
            self._forget(oldest, span)
        self.bytes -= TRACE_OVERHEAD
