"""The observed state of one pass. None always means "unknown", never "none there"."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshwright.rollout.api.routing import Routing
    from meshwright.rollout.api.spec import Metric


@dataclass(frozen=True, slots=True)
class Workload:
    """The processes or the Deployment of one version."""

    version: str
    desired: int
    running: int = 0
    """Running and ready by their own status; for weights, Consul's health counts."""
    template: str = ""
    """A digest of the desired template; empty without a template, or where it is unknown."""
    revision: int = 0
    """Counts the version's templates."""
    old: int = 0
    """Remaining instances of an earlier template."""
    settled: bool = True
    """Whether the controller of the instances has observed the last change, so that `old` is reliable."""
    keeps_count: bool = True
    """Whether `desired` keeps the value that was set, so that a different value is drift."""
    drift: tuple[str, ...] = ()
    """Fields changed by other clients, except for the number of instances."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why an instance is missing or unhealthy: object, reason, message."""

    object: str
    """Kind and name: `Pod user-2-0-0-abcde`, `Deployment user-2-0-0`, `user-1`."""
    reason: str
    """A CamelCase reason as in Kubernetes: `ErrImagePull`, `CrashLoopBackOff`, `FailedCreate`, `NotRegistered`."""
    message: str = ""

    def __str__(self) -> str:
        return f"{self.object}: {self.reason}" + (f": {self.message}" if self.message else "")


@dataclass(frozen=True, slots=True)
class Explanation:
    """The causes found for versions with fewer healthy instances than desired."""

    troubles: Mapping[str, tuple[Trouble, ...]] = field(default_factory=dict)
    """By version, the most specific first."""
    ready: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By version, addresses (`host` or `host:port`) of instances that have been ready by their own status for so long
    that they should be registered in Consul."""


@dataclass(frozen=True, slots=True)
class TrafficState:
    """Consul's state at one moment."""

    healthy: Mapping[str, int] = field(default_factory=dict)
    """Passing instances by version."""
    routing: Routing | None = None
    """The rollout's routing in the config entries; None where there is none, or other clients changed it."""


@dataclass(frozen=True, slots=True)
class MetricQuery:
    """A query of an analysis: `metric` of `version` over the last `seconds`."""

    metric: Metric
    version: str
    seconds: float
    run: str = "background"
    """The name of the analysis run."""
    minimum_calls: float = 0
    """With fewer calls in the window, a side (servers, callers) is ignored."""

    def answer(
        self, value: float | None, *, calls: float | None = None, error: str = "", counted_by: str = ""
    ) -> Measurement:
        return Measurement(self.metric.name, self.version, value, calls, error, self.run, counted_by)


@dataclass(frozen=True, slots=True)
class Measurement:
    """The result of a `MetricQuery`. `value` is None without calls, or where the source did not answer."""

    metric: str
    version: str
    value: float | None
    calls: float | None = None
    """The number of calls; None where the source has none (a custom query)."""
    error: str = ""
    """Why there is no value, where the source failed."""
    run: str = "background"
    counted_by: str = ""
    """The side that counted, "its servers" or "its callers"; empty for a query."""


@dataclass(frozen=True, slots=True, order=True)
class ApiUse:
    """Calls to an API (`demo.user.v1`) by a caller (a service's name) within the asked interval."""

    api: str
    caller: str
    calls: float = 0.0


@dataclass(frozen=True, slots=True)
class Observed:
    """The observed state of one pass."""

    workloads: Mapping[str, Workload] | None = None
    """By version; None where they could not be listed."""
    traffic: TrafficState | None = None
    """None where Consul did not answer: nothing is changed then."""
    measurements: tuple[Measurement, ...] = ()
    """The results of this pass's `MetricQuery`s."""
    callers: tuple[ApiUse, ...] | None = None
    """The callers of the APIs that the target removes; None where unknown."""
    template: str = ""
    """A digest of the requested template; empty without a template, or where it could not be read."""
    troubles: Mapping[str, tuple[Trouble, ...]] = field(default_factory=dict)
    """By version: why it lacks healthy instances."""
