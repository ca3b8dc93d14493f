"""The spec: the `VersionedRollout` resource as frozen values, durations in seconds.

The resource's schema is helm/meshwright/crds/versionedrollouts.yaml; `parse` rejects what that schema and its
CEL rules reject, and names the field, so that a laptop and a cluster accept the same documents.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from meshwright.rollout.api.vocabulary import AnalysisSource, CommandName, MetricKind, OnDelete, StepKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshwright.rollout.api.routing import HeaderMatch

FAILURE_CODES = frozenset(
    {
        "UNKNOWN",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "DEADLINE_EXCEEDED",
        "UNIMPLEMENTED",
        "RESOURCE_EXHAUSTED",
    }
)
"""The gRPC status codes that count as failures of the server, unless a metric has its own."""


@dataclass(frozen=True, slots=True)
class AgainstStable:
    """The canary's value may be worse than the stable version's, in the same window, by this share of it."""

    tolerance: float = 0.05


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric and its thresholds. At least one of minimum, maximum and against_stable is set."""

    name: str
    kind: MetricKind
    minimum: float | None = None
    maximum: float | None = None
    against_stable: AgainstStable | None = None
    quantile: float = 0.99
    """Of latency: 0 < quantile < 1."""
    query: str = ""
    """PromQL; `{{service}}`, `{{version}}` and `{{window}}` (as `30s`) are filled in."""
    failure_codes: frozenset[str] = FAILURE_CODES
    higher_is_better: bool = False
    """The direction of a query's value; fixed for the other kinds."""


DEFAULT_METRICS = (Metric("success-rate", MetricKind.SUCCESS_RATE, minimum=0.95, higher_is_better=True),)


@dataclass(frozen=True, slots=True)
class Analysis:
    """How metric values become a verdict. The defaults abort a canary that fails every call within ten seconds."""

    background: bool = True
    """Whether it also runs during the steps while the canary receives calls; of `spec.analysis` only."""
    interval: float = 2.0
    """Seconds from one measurement to the next."""
    window: float = 30.0
    """Seconds that a measurement looks back."""
    count: int = 5
    """Conclusive measurements, within the failure limit, after which an analysis step passes."""
    failure_limit: int = 1
    """Tolerated failed measurements; one more fails the analysis."""
    inconclusive_limit: int = 30
    """Tolerated consecutive inconclusive measurements; one more pauses the rollout."""
    minimum_calls: int = 5
    """With fewer calls in the window a measurement is inconclusive."""
    source: AnalysisSource = AnalysisSource.SCRAPE
    prometheus: str = ""
    """The address of the Prometheus server, `http://prometheus:9090`."""
    metrics: tuple[Metric, ...] = DEFAULT_METRICS


@dataclass(frozen=True, slots=True)
class SetWeight:
    """Route this percentage of the calls to the canary, once it has the instances for it."""

    weight: int

    @property
    def kind(self) -> StepKind:
        return StepKind.SET_WEIGHT


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait for `duration` seconds; without one, until `promote`."""

    duration: float | None = None

    @property
    def kind(self) -> StepKind:
        return StepKind.PAUSE


@dataclass(frozen=True, slots=True)
class SetCanaryScale:
    """The canary's instances from this step on: a number, a share of `replicas`, or in proportion to its weight.

    Exactly one is set. A canary has at least one instance while the rollout is in progress.
    """

    replicas: int | None = None
    weight: int | None = None
    match_traffic_weight: bool = False

    @property
    def kind(self) -> StepKind:
        return StepKind.SET_CANARY_SCALE


@dataclass(frozen=True, slots=True)
class SetHeaderRoute:
    """Calls that satisfy all of `match` go to the canary, whatever its weight. An empty `match` removes the route."""

    name: str
    match: tuple[HeaderMatch, ...] = ()

    @property
    def kind(self) -> StepKind:
        return StepKind.SET_HEADER_ROUTE


@dataclass(frozen=True, slots=True)
class AnalysisStep:
    """Measure until there is a verdict. Fields that are not set come from `spec.analysis`."""

    analysis: Analysis
    name: str = "analysis"

    @property
    def kind(self) -> StepKind:
        return StepKind.ANALYSIS


Step = SetWeight | Pause | SetCanaryScale | SetHeaderRoute | AnalysisStep


@dataclass(frozen=True, slots=True)
class Canary:
    """Step by step. After the last step the canary gets all calls and is promoted."""

    steps: tuple[Step, ...] = ()
    scale_down_delay: float = 30.0
    """Seconds between promotion and the scale-down of the version before."""


@dataclass(frozen=True, slots=True)
class BlueGreen:
    """The new version starts with all instances beside the old one, is analysed, and gets all calls at once."""

    preview: SetHeaderRoute | None = None
    """Calls that go to the new version before its promotion."""
    pre_promotion: Analysis | None = None
    post_promotion: Analysis | None = None
    auto_promotion: bool = True
    """False: wait for `promote` before the calls move."""
    scale_down_delay: float = 30.0


@dataclass(frozen=True, slots=True)
class Api:
    """A row of the support matrix: an API and the versions that serve it."""

    name: str
    """A proto package (`demo.user.v1`) or a REST version (`/v1`)."""
    served_by: tuple[str, ...]
    """Versions; `2.*` matches all with the prefix `2.`."""
    deprecated: str = ""
    """The date (RFC 3339 full-date) of the deprecation."""
    sunset: str = ""
    """The date after which it may be removed although it is still called."""


@dataclass(frozen=True, slots=True)
class WorkloadRef:
    """An existing Deployment whose pod template the versions use; it is scaled to 0 once a version serves."""

    name: str
    kind: str = "Deployment"
    api_version: str = "apps/v1"


@dataclass(frozen=True, slots=True)
class Command:
    """A command; its token distinguishes it from the previous one."""

    name: CommandName
    token: str


@dataclass(frozen=True, slots=True)
class Rollout:
    """One `VersionedRollout`: its identity, its spec with all defaults filled in, and the last command."""

    name: str
    service: str
    version: str
    """Empty until resolved from the referenced workload (`Engine.resolve`)."""
    namespace: str = "default"
    uid: str = ""
    generation: int = 1
    replicas: int = 1
    template: Mapping[str, Any] | None = field(default=None, hash=False)
    """A pod template as in a Deployment; exactly one of `template` and `workload_ref` is set."""
    workload_ref: WorkloadRef | None = None
    paused: bool = False
    strategy: Canary | BlueGreen = field(default_factory=Canary)
    analysis: Analysis = field(default_factory=Analysis)
    progress_deadline: float = 600.0
    """Seconds without progress (instances not healthy, weights not applied) until the rollout aborts."""
    revision_history_limit: int = 5
    rollback_window: int = 0
    """The number of last promoted versions that skip the steps."""
    apis: tuple[Api, ...] = ()
    on_delete: OnDelete = OnDelete.RESTORE
    command: Command | None = None

    def workload_name(self, version: str) -> str:
        """The name of a version's Deployment or group of processes: `user-2-0-0`."""
        return f"{self.name}-{version_label(version)}"


def version_label(version: str) -> str:
    """A version as a DNS label can hold it: `2.0.0+build` is `2-0-0-build`."""
    return "".join(char if char.isalnum() else "-" for char in version.lower()).strip("-")


def subset_name(version: str) -> str:
    """The subset of a version in Consul's service-resolver: `v2-0-0`."""
    return f"v{version_label(version).removeprefix('v')}"
