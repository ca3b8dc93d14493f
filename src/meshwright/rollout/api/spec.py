"""What a person asks for: the `VersionedRollout` resource as frozen values, durations in seconds.

The resource's schema is helm/meshwright/crds/versionedrollouts.yaml; `parse` refuses whatever that schema and its
CEL rules refuse, naming the field, so that a laptop and a cluster accept the same documents.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from meshwright.rollout.api.vocabulary import AnalysisSource, MetricKind, OnDelete, StepKind, Verb

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
"""The gRPC status codes that count against a version unless a metric says otherwise: the server's fault."""


@dataclass(frozen=True, slots=True)
class AgainstStable:
    """The canary's value may be worse than the stable version's, in the same window, by this share of it."""

    tolerance: float = 0.05


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure and what it must be. At least one of minimum, maximum and against_stable is set."""

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
    """Which way a query's value gets worse; known for the other kinds."""


DEFAULT_METRICS = (Metric("success-rate", MetricKind.SUCCESS_RATE, minimum=0.95, higher_is_better=True),)


@dataclass(frozen=True, slots=True)
class Analysis:
    """How figures become a verdict. The defaults refuse a canary that fails every call within ten seconds."""

    background: bool = True
    """Whether it also runs while the steps are walked and the canary can be called; of `spec.analysis` only."""
    interval: float = 2.0
    """Seconds from one measurement to the next."""
    window: float = 30.0
    """Seconds that a measurement looks back."""
    count: int = 5
    """Conclusive measurements, none of them beyond the failure limit, that make an analysis step pass."""
    failure_limit: int = 1
    """Failed measurements that are tolerated; one more is a verdict."""
    inconclusive_limit: int = 30
    """Inconclusive measurements in a row that are tolerated; one more pauses the rollout."""
    minimum_calls: int = 5
    """With fewer calls in the window a measurement is inconclusive."""
    source: AnalysisSource = AnalysisSource.SCRAPE
    prometheus: str = ""
    """The address of the Prometheus server, `http://prometheus:9090`."""
    metrics: tuple[Metric, ...] = DEFAULT_METRICS


@dataclass(frozen=True, slots=True)
class SetWeight:
    """Give the canary this many per cent of the calls, once it has the instances to carry them."""

    weight: int

    @property
    def kind(self) -> StepKind:
        return StepKind.SET_WEIGHT


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait for `duration` seconds; without one, wait for a person."""

    duration: float | None = None

    @property
    def kind(self) -> StepKind:
        return StepKind.PAUSE


@dataclass(frozen=True, slots=True)
class SetCanaryScale:
    """How many instances the canary has from here on: a number, a share of `replicas`, or as many as its weight asks.

    Exactly one is set. A canary never has fewer than one instance while the rollout is under way.
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
    """Measure until there is a verdict. What the step leaves unsaid is as in `spec.analysis`."""

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
    """All at once: the new version comes up whole beside the old one, is looked at, and gets all calls together."""

    preview: SetHeaderRoute | None = None
    """Calls that see the new version before its promotion."""
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
    """Versions; `2.*` stands for all that begin with `2.`."""
    deprecated: str = ""
    """The date (RFC 3339 full-date) since when callers are asked to leave."""
    sunset: str = ""
    """The date after which it may be taken away from whoever still calls."""


@dataclass(frozen=True, slots=True)
class WorkloadRef:
    """An existing Deployment whose pod template the versions take; it is scaled to nothing once a version serves."""

    name: str
    kind: str = "Deployment"
    api_version: str = "apps/v1"


@dataclass(frozen=True, slots=True)
class Command:
    """A person's command, told apart from the one before by its token."""

    verb: Verb
    token: str


@dataclass(frozen=True, slots=True)
class Rollout:
    """One `VersionedRollout`: its identity, its spec with all defaults filled in, and the last command."""

    name: str
    service: str
    version: str
    """Empty as long as it is left to the referenced workload (`Engine.resolve`)."""
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
    """Seconds without progress (instances that do not become healthy, weights that do not arrive) until it aborts."""
    revision_history_limit: int = 5
    rollback_window: int = 0
    """A version among so many promoted before the present one skips the steps."""
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


def parse(document: Mapping[str, Any]) -> Rollout:
    """The resource as values; `BadInputError` with every problem, each naming its field, where it is not valid."""
    from meshwright.rollout.api.parsing import parse as read  # noqa: PLC0415 (the reader imports these values)

    return read(document)
