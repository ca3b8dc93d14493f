"""The store's figures for Prometheus, read when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

    from meshwright.dev.traces.store.trace_store import TraceStore


class StoreCollector(Collector):
    """Says what a store holds and what has passed through it."""

    def __init__(self, store: TraceStore) -> None:
        self._store = store

    def collect(self) -> Iterator[Metric]:
        """The figures as they are now."""
        counts = self._store.counts
        yield CounterMetricFamily("meshwright_traces_spans_received", "Spans that exporters sent.", counts.received)
        dropped = CounterMetricFamily(
            "meshwright_traces_spans_dropped", "Spans that were not stored, or not again.", labels=["reason"]
        )
        dropped.add_metric(["invalid"], counts.invalid)
        dropped.add_metric(["repeated"], counts.repeated)
        dropped.add_metric(["trace_too_large"], counts.refused)
        yield dropped
        yield CounterMetricFamily(
            "meshwright_traces_spans_evicted", "Spans of traces that left for newer ones.", counts.evicted_spans
        )
        yield CounterMetricFamily(
            "meshwright_traces_evicted", "Traces that left for newer ones.", counts.evicted_traces
        )
        yield GaugeMetricFamily("meshwright_traces_stored", "Traces in the store.", len(self._store))
        yield GaugeMetricFamily("meshwright_traces_spans_stored", "Spans in the store.", self._store.spans)
        yield GaugeMetricFamily("meshwright_traces_stored_bytes", "Memory that they take, about.", self._store.bytes)


class Exposition:
    """The text that Prometheus scrapes."""

    def __init__(self, store: TraceStore) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(StoreCollector(store))

    def text(self) -> bytes:
        """The figures in Prometheus' text format."""
        return generate_latest(self._registry)
