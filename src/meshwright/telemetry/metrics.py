"""The metrics of calls, in a registry of this process's own.

Names are the lecture's: `grpc_requests_total`, `grpc_request_duration_seconds`, with an in-flight gauge beside them.
`side` tells who counted: the `server` that answered or the `client` that asked. `service` and `version` name the
*answering* side in both cases (a client learns the version from the response's trailing metadata; it is empty where
no server answered), so that one query compares what a version's servers say with what its callers saw. Who the
caller was is Prometheus' own `job` and `instance`.

The label values are bounded: methods are those of the generated code, and whatever else a client asks a server for
is counted under `unknown`.

Counting is a few additions on plain integers, made into Prometheus' families at each scrape. The library's own
counters take a lock for each addition, and a call needs five of them: that was a tenth of what the runtime adds to a
call (docs/decisions/0031). All calls of a channel or server are counted on their event loop's thread; synchronous
channels, which have none, count apart and under a lock, and the page adds both up.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

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
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client import Metric

T = TypeVar("T")
Side = Literal["server", "client"]

UNKNOWN_METHOD = "unknown"
CONTENT_TYPE = CONTENT_TYPE_LATEST
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds."""


class Metrics:
    """All metrics of one process. `registry` is open to a service's own."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._calls = _CallCollector()
        self.registry.register(self._calls)
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
        self._registered = Gauge(
            "meshwright_instance_registered",
            "1 while Consul has this instance, as far as it knows; 0 where it was lost, or Consul does not answer.",
            ("service", "version"),
            registry=self.registry,
        )
        self._families: dict[Callable[[CollectorRegistry], Any], Any] = {}

    def registered(self, service: str, version: str, known: Callable[[], bool]) -> None:
        """Show whether an instance of this process is registered; `known` is asked when the page is."""
        self._registered.labels(service, version).set_function(lambda: float(known()))

    def family(self, kind: Callable[[CollectorRegistry], T]) -> T:
        """A service's own set of metrics, made with the registry when it is first asked for."""
        found = self._families.get(kind)
        if found is None:
            found = self._families[kind] = kind(self.registry)
        return found

    def method(self, side: Side, service: str, method: str) -> MethodMetrics:
        """The series of one method on one side; the same object for the same names."""
        key = (side, service, method)
        found = self._calls.methods.get(key)
        if found is None:
            found = self._calls.methods[key] = MethodMetrics()
        return found

    def threaded_method(self, side: Side, service: str, method: str) -> ThreadedMethodMetrics:
        """The same for calls that are counted in several threads."""
        key = (side, service, method)
        found = self._calls.threaded.setdefault(key, ThreadedMethodMetrics())
        assert isinstance(found, ThreadedMethodMetrics)
        return found

    def include(self, other: Metrics) -> None:
        """Show the calls that `other` counts on this page too, added to those counted here."""
        self._calls.others.append(other._calls)

    def exclude(self, other: Metrics) -> None:
        """Undo `include`."""
        self._calls.others.remove(other._calls)

    def absorb(self, other: Metrics) -> None:
        """Keep what `other`, which was included and counts no more, has counted."""
        self.exclude(other)
        for key, counted in other._calls.all().items():
            self._calls.past.setdefault(key, MethodMetrics()).add(counted)

    def describe_process(self) -> None:
        """Add CPU, memory, file descriptors, garbage collection and the Python version of this process."""
        # One more series for each of ours, which no query uses.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.registry.register(GC_COLLECTOR)

    def page(self) -> bytes:
        """The document that Prometheus scrapes, of type `CONTENT_TYPE`."""
        return generate_latest(self.registry)


class _Ends:
    """Calls of one method that a version ended with one status: how many, how long, in which buckets."""

    __slots__ = ("buckets", "count", "seconds")

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self.buckets = [0] * (len(BUCKETS) + 1)


class MethodMetrics:
    """What has been counted of one method on one side."""

    __slots__ = ("begun", "ended", "ends")

    def __init__(self) -> None:
        self.begun = 0
        self.ended = 0
        self.ends: dict[tuple[str, str], _Ends] = {}

    def begin(self) -> None:
        """Count the beginning of a call."""
        self.begun += 1

    def end(self, status: str, version: str, seconds: float) -> None:
        """Count a call that has ended."""
        self.ended += 1
        key = (version, status)
        ends = self.ends.get(key)
        if ends is None:
            ends = self.ends[key] = _Ends()
        ends.count += 1
        ends.seconds += seconds
        ends.buckets[bisect_left(BUCKETS, seconds)] += 1

    def add(self, other: MethodMetrics) -> None:
        """Add what another one has counted."""
        self.begun += other.begun
        self.ended += other.ended
        for key, theirs in list(other.ends.items()):
            ends = self.ends.setdefault(key, _Ends())
            ends.count += theirs.count
            ends.seconds += theirs.seconds
            ends.buckets = [one + more for one, more in zip(ends.buckets, theirs.buckets, strict=True)]

    def durations(self) -> dict[str, tuple[list[int], float]]:
        """Buckets and seconds by version, over all statuses."""
        found: dict[str, tuple[list[int], float]] = {}
        for (version, _), ends in list(self.ends.items()):
            buckets, seconds = found.get(version, ([0] * len(ends.buckets), 0.0))
            summed = [one + other for one, other in zip(buckets, ends.buckets, strict=True)]
            found[version] = (summed, seconds + ends.seconds)
        return found


class ThreadedMethodMetrics(MethodMetrics):
    """The same, counted in several threads."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()

    def begin(self) -> None:
        with self._lock:
            super().begin()

    def end(self, status: str, version: str, seconds: float) -> None:
        with self._lock:
            super().end(status, version, seconds)


_Methods: TypeAlias = "dict[tuple[Side, str, str], MethodMetrics]"


class _CallCollector(Collector):
    """Gives Prometheus what the methods have counted."""

    def __init__(self) -> None:
        self.methods: _Methods = {}
        self.threaded: _Methods = {}
        self.past: _Methods = {}
        self.others: list[_CallCollector] = []

    def all(self) -> _Methods:
        """What was counted here and by the others."""
        found: _Methods = {}
        for methods in (self.methods, self.threaded, self.past, *(other.all() for other in list(self.others))):
            for key, counted in list(methods.items()):
                found.setdefault(key, MethodMetrics()).add(counted)
        return found

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "grpc_requests", "Calls ended, by gRPC status.", labels=("side", "service", "version", "method", "status")
        )
        duration = HistogramMetricFamily(
            "grpc_request_duration_seconds",
            "Time from the start of a call to its end.",
            labels=("side", "service", "version", "method"),
        )
        in_flight = GaugeMetricFamily(
            "grpc_requests_in_flight", "Calls begun and not ended.", labels=("side", "service", "method")
        )
        for (side, service, method), counted in self.all().items():
            for (version, status), ends in list(counted.ends.items()):
                requests.add_metric((side, service, version, method, status), ends.count)
            for version, (buckets, seconds) in counted.durations().items():
                duration.add_metric((side, service, version, method), _cumulative(buckets), seconds)
            in_flight.add_metric((side, service, method), counted.begun - counted.ended)
        yield from (requests, duration, in_flight)


def _cumulative(counts: list[int]) -> list[tuple[str, float]]:
    """Prometheus' buckets: how many took up to that many seconds."""
    total = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip((*map(str, BUCKETS), "+Inf"), counts, strict=True):
        total += count
        buckets.append((bound, float(total)))
    return buckets
