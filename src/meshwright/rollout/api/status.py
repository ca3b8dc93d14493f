"""The state of a rollout between two passes: the resource's `.status`.

A restarted process needs only this and the observed state; nothing is kept in memory. Times are unix
seconds here, rounded to milliseconds, and RFC 3339 text in the JSON (`meshwright.rollout.api.status_document`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshwright.rollout.api.vocabulary import ConditionType, Phase, Verdict

if TYPE_CHECKING:
    from meshwright.rollout.api.routing import Routing
    from meshwright.rollout.api.spec import SetCanaryScale


@dataclass(frozen=True, slots=True)
class MetricResult:
    """The last measurement of one metric: its value and what it was compared with."""

    metric: str
    verdict: Verdict
    value: float | None = None
    stable: float | None = None
    calls: float | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class AnalysisRun:
    """A running or finished analysis. `name` is `background`, or the step's name."""

    name: str
    started_at: float
    measured_at: float | None = None
    verdict: Verdict = Verdict.RUNNING
    passed: int = 0
    failed: int = 0
    inconclusive: int = 0
    """Consecutive."""
    figures: tuple[MetricResult, ...] = ()
    message: str = ""
    plan: str = ""
    """A digest of the analysis; when it changes, counting restarts."""


@dataclass(frozen=True, slots=True)
class Promotion:
    """A promoted version and the time of its promotion."""

    version: str
    at: float


@dataclass(frozen=True, slots=True)
class Retiring:
    """A version without calls, to be scaled down at `at`."""

    version: str
    at: float
    left_at: float | None = None
    """Since when; `at` is this plus the spec's current delay."""


@dataclass(frozen=True, slots=True)
class VersionState:
    """The state of one version, descriptive only."""

    version: str
    role: str
    """`stable`, `canary`, `retiring` or `refused`."""
    weight: int = 0
    desired: int = 0
    running: int = 0
    healthy: int = 0
    revision: int = 0
    """Counts the templates that the version has had."""
    template: str = ""
    """A digest of the current one."""
    old: int = 0
    """Instances of an earlier template."""


@dataclass(frozen=True, slots=True)
class VersionTrouble:
    """Why a version lacks healthy instances."""

    version: str
    object: str
    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Correction:
    """A corrected drift of a version's workload."""

    version: str
    count: int
    """Consecutive corrections, without ten minutes between two."""
    at: float
    """The time of the last correction."""
    replicas: int = 0
    """The desired instances at that time."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition as in Kubernetes."""

    type: ConditionType
    status: bool
    reason: str
    message: str
    since: float
    generation: int = 0


@dataclass(frozen=True, slots=True)
class TraceState:
    """The rollout's trace: its ids and the open span of the current step."""

    trace_id: str
    """32 hex digits."""
    root: str
    """16 hex digits: the span of the whole rollout."""
    started_at: float
    step: str = ""
    """The open step's span id; empty between steps."""
    step_name: str = ""
    step_started_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The phase before the resource became invalid."""

    phase: Phase
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class RolloutStatus:
    """The whole status."""

    observed_generation: int = 0
    phase: Phase = Phase.PENDING
    reason: str = ""
    message: str = ""
    interrupted: Interrupted | None = None
    """The phase to continue from once an invalid resource is valid again."""
    stable: str = ""
    """The version that analyses compare with and aborts return to; empty before the first one was healthy."""
    target: str = ""
    """The requested version when the steps began."""
    refused: str = ""
    """The last aborted version; it is not tried again without `retry`."""
    template: str = ""
    """A digest of the target's template; when it changes during the steps, they restart."""
    revision: int = 0
    """The revision of the requested version's template."""
    plan: str = ""
    """A digest of the steps; when they change, they restart."""
    skip_steps: bool = False
    """The remaining steps are skipped: `promote-full`, or a version seen recently."""
    allow_api_loss: bool = False
    """`promote` was given although a removed API is still called."""
    step: int = 0
    """The index of the current step."""
    steps: int = 0
    weight: int = 0
    """The target's observed share of the calls in Consul's routes, in per cent."""
    desired_weight: int = 0
    """The target's desired share of the calls, in per cent: its instances start first."""
    canary_replicas: int = 0
    """The target's desired instances."""
    canary_scale: SetCanaryScale | None = None
    """The last `setCanaryScale`, in force until the next."""
    routing: Routing | None = None
    """The desired routing in Consul."""
    started_at: float | None = None
    step_started_at: float | None = None
    progressed_at: float | None = None
    """When the progress deadline started."""
    finished_at: float | None = None
    duration: float | None = None
    """Seconds from the start of the last rollout to its promotion or abort."""
    outcome: str = ""
    """How the last rollout ended: `Promoted`, `Aborted`, `Superseded`, `RolledBack`; empty while in progress."""
    paused_at: float | None = None
    analyses: tuple[AnalysisRun, ...] = ()
    history: tuple[Promotion, ...] = ()
    """Newest last."""
    retiring: tuple[Retiring, ...] = ()
    versions: tuple[VersionState, ...] = ()
    troubles: tuple[VersionTrouble, ...] = ()
    corrections: tuple[Correction, ...] = ()
    command: str = ""
    """The token of the last command, run or ignored."""
    replicas: int = 0
    ready_replicas: int = 0
    selector: str = ""
    conditions: tuple[Condition, ...] = ()
    trace: TraceState | None = None

    def condition(self, kind: ConditionType) -> Condition | None:
        return next((condition for condition in self.conditions if condition.type is kind), None)
