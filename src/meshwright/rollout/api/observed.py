"""What a shell saw of the world in one pass. None always means "unknown", never "nothing"."""

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
    """How many run and are ready by their own account; Consul's word on health counts for weight."""
    template: str = ""
    """A digest of the template that its instances are meant to have; empty where there is none, or it is not known."""
    revision: int = 0
    """Counts the templates that the version has had."""
    old: int = 0
    """Instances of an earlier template that are still there."""
    settled: bool = True
    """Whether the last change has been taken note of by what starts the instances: `old` can be believed."""
    keeps_count: bool = True
    """Whether `desired` stays as it was told, so that another number is drift."""
    drift: tuple[str, ...] = ()
    """Fields that others have changed, but for the number of instances."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why an instance is not there or not healthy: which object, and in whose words."""

    object: str
    """As people type it: `Pod user-2-0-0-abcde`, `Deployment user-2-0-0`, `user-1`."""
    reason: str
    """One word, as Kubernetes has them: `ErrImagePull`, `CrashLoopBackOff`, `FailedCreate`, `NotRegistered`."""
    message: str = ""

    def __str__(self) -> str:
        return f"{self.object}: {self.reason}" + (f": {self.message}" if self.message else "")


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is known of versions that have fewer healthy instances than they should."""

    troubles: Mapping[str, tuple[Trouble, ...]] = field(default_factory=dict)
    """By version, the most telling first."""
    ready: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By version, addresses (`host` or `host:port`) of instances that have been ready by their own account for so long
    that Consul should know them."""


@dataclass(frozen=True, slots=True)
class TrafficState:
    """What Consul says, at one moment."""

    healthy: Mapping[str, int] = field(default_factory=dict)
    """Passing instances by version."""
    routing: Routing | None = None
    """The rollout's routing as it stands in the config entries; None where there is none, or it was tampered with."""


@dataclass(frozen=True, slots=True)
class MetricQuery:
    """One figure that an analysis wants: `metric` of `version` over the last `seconds`."""

    metric: Metric
    version: str
    seconds: float
    run: str = "background"
    """The analysis that wants it."""
    minimum_calls: float = 0
    """With fewer calls in the window, a side (servers, callers) is not believed."""

    def answer(
        self, value: float | None, *, calls: float | None = None, error: str = "", counted_by: str = ""
    ) -> Measurement:
        return Measurement(self.metric.name, self.version, value, calls, error, self.run, counted_by)


@dataclass(frozen=True, slots=True)
class Measurement:
    """The answer to a demand. `value` is None where there was none (no calls, no answer from the source)."""

    metric: str
    version: str
    value: float | None
    calls: float | None = None
    """The calls that it is made of; None where the source does not know (a custom query)."""
    error: str = ""
    """Why there is no value, when the source is at fault rather than the lack of calls."""
    run: str = "background"
    counted_by: str = ""
    """Whose figure it is, "its servers" or "its callers"; empty for a query."""


@dataclass(frozen=True, slots=True, order=True)
class ApiUse:
    """Calls to an API (`demo.user.v1`) by a caller (a service's name) within the asked interval."""

    api: str
    caller: str
    calls: float = 0.0


@dataclass(frozen=True, slots=True)
class Observed:
    """One pass's view of the world."""

    workloads: Mapping[str, Workload] | None = None
    """By version; None where they could not be listed."""
    traffic: TrafficState | None = None
    """None where Consul could not be asked: nothing is changed then."""
    measurements: tuple[Measurement, ...] = ()
    """Answers to the `MetricQuery`s of this pass."""
    callers: tuple[ApiUse, ...] | None = None
    """Who used the APIs that the target takes away; None where it could not be found out."""
    template: str = ""
    """A digest of the template that the rollout asks for now; empty where there is none, or it could not be read."""
    troubles: Mapping[str, tuple[Trouble, ...]] = field(default_factory=dict)
    """By version: why it lacks healthy instances."""
