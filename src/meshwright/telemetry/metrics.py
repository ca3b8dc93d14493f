"""The metrics of calls, in a registry of this process's own.

Names are the lecture's: `grpc_requests_total`, `grpc_request_duration_seconds`, with an in-flight gauge beside them.
`side` tells who counted: the `server` that answered or the `client` that asked. `service` and `version` name the
*answering* side in both cases (a client learns the version from the response's trailing metadata; it is empty where
nobody answered), so that one query compares what a version's servers say with what its callers saw. Who the
caller was is Prometheus' own `job` and `instance`.

The label values are bounded: methods are those of the generated code, and whatever else a client asks a server for
is counted under `unknown`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    GC_COLLECTOR,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

if TYPE_CHECKING:
    from collections.abc import Callable

Side = Literal["server", "client"]

UNKNOWN_METHOD = "unknown"
CONTENT_TYPE = CONTENT_TYPE_LATEST
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds."""


class Metrics:
    """All metrics of one process. `registry` is open to a service's own."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.requests = Counter(
            "grpc_requests",
            "Calls ended, by gRPC status.",
            ("side", "service", "version", "method", "status"),
            registry=self.registry,
        )
        self.duration = Histogram(
            "grpc_request_duration_seconds",
            "Time from the start of a call to its end.",
            ("side", "service", "version", "method"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "grpc_requests_in_flight",
            "Calls begun and not ended.",
            ("side", "service", "method"),
            registry=self.registry,
        )
        self.http_requests = Counter(
            "http_requests",
            "HTTP requests ended, by status.",
            ("service", "version", "method", "route", "status"),
            registry=self.registry,
        )
        self.http_duration = Histogram(
            "http_request_duration_seconds",
            "Time from the start of an HTTP request to its end.",
            ("service", "version", "method", "route"),
            buckets=BUCKETS,
            registry=self.registry,
        )

    def describe_process(self) -> None:
        """Add CPU, memory, file descriptors, garbage collection and the Python version of this process."""
        # One more series for each of ours, which nobody queries.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.registry.register(GC_COLLECTOR)

    def page(self) -> bytes:
        """The document that Prometheus scrapes, of type `CONTENT_TYPE`."""
        return generate_latest(self.registry)


class MethodMetrics:
    """The series of one method on one side, looked up once: a call costs four additions."""

    def __init__(self, metrics: Metrics, side: Side, service: str, method: str) -> None:
        self._metrics = metrics
        self._labels = (side, service)
        self._method = method
        self._ends: dict[tuple[str, str], tuple[Callable[[], None], Callable[[float], None]]] = {}
        gauge = metrics.in_flight.labels(side, service, method)
        self.begin: Callable[[], None] = gauge.inc
        self._leave: Callable[[], None] = gauge.dec

    def end(self, status: str, version: str, seconds: float) -> None:
        """Count a call that has ended."""
        found = self._ends.get((status, version))
        if found is None:
            found = self._ends[status, version] = self._series(status, version)
        self._leave()
        found[0]()
        found[1](seconds)

    def _series(self, status: str, version: str) -> tuple[Callable[[], None], Callable[[float], None]]:
        counter = self._metrics.requests.labels(*self._labels, version, self._method, status)
        histogram = self._metrics.duration.labels(*self._labels, version, self._method)
        return counter.inc, histogram.observe
