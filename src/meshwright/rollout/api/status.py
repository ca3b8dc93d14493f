"""What a rollout remembers between two passes: the resource's `.status`.

Everything that a restarted shell needs is here and in the world itself; no memory of a process counts. Times are unix
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
    """The last measurement of one metric, for people: what was seen and what it was held against."""

    metric: str
    verdict: Verdict
    value: float | None = None
    stable: float | None = None
    calls: float | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class AnalysisRun:
    """An analysis under way or ended. `name` is `background`, or the step's name."""

    name: str
    started_at: float
    measured_at: float | None = None
    verdict: Verdict = Verdict.RUNNING
    passed: int = 0
    failed: int = 0
    inconclusive: int = 0
    """In a row."""
    figures: tuple[MetricResult, ...] = ()
    message: str = ""
    plan: str = ""
    """A digest of what was asked for; when it changes, counting begins again."""


@dataclass(frozen=True, slots=True)
class Promotion:
    """A version that was promoted, and when."""

    version: str
    at: float


@dataclass(frozen=True, slots=True)
class Retiring:
    """A version that gets no calls any more and is scaled down at `at`."""

    version: str
    at: float
    left_at: float | None = None
    """Since when; `at` follows the delay that the spec says now."""


@dataclass(frozen=True, slots=True)
class VersionState:
    """One version as it stands, for people."""

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
    """A digest of the present one."""
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
    """What others changed of a version's workload and was put back."""

    version: str
    count: int
    """In a row, without ten minutes of quiet between them."""
    at: float
    """The last time."""
    replicas: int = 0
    """The instances that were meant then."""


@dataclass(frozen=True, slots=True)
class Condition:
    """As in Kubernetes."""

    type: ConditionType
    status: bool
    reason: str
    message: str
    since: float
    generation: int = 0


@dataclass(frozen=True, slots=True)
class TraceState:
    """The rollout's trace: its ids and the open span of the present step."""

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
    """Where a rollout stood."""

    phase: Phase
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class RolloutStatus:
    """All of it."""

    observed_generation: int = 0
    phase: Phase = Phase.PENDING
    reason: str = ""
    message: str = ""
    interrupted: Interrupted | None = None
    """Where it stood when what was asked for became invalid: it goes on from there."""
    stable: str = ""
    """The version that all is compared with and sent back to; empty before the first was healthy."""
    target: str = ""
    """The version that was asked for when the steps began."""
    refused: str = ""
    """The version that was aborted last and is not tried again without `retry`."""
    template: str = ""
    """A digest of the template that the target was asked for with; when it changes under way, the steps begin again."""
    revision: int = 0
    """The revision of the template that the version asked for has now."""
    plan: str = ""
    """A digest of the steps; when they change under way, they begin again."""
    skip_steps: bool = False
    """The remaining steps are skipped: `promote-full`, or a version seen recently."""
    allow_api_loss: bool = False
    """A person said `promote` although callers still use an API that goes away."""
    step: int = 0
    """The index of the present step."""
    steps: int = 0
    weight: int = 0
    """The share of calls that Consul's routes give the target, in per cent, as they were seen last."""
    desired_weight: int = 0
    """The share of calls that the target is meant to have, in per cent: its instances come up for it first."""
    canary_replicas: int = 0
    """How many instances the target is meant to have now."""
    canary_scale: SetCanaryScale | None = None
    """The last `setCanaryScale`, in force until the next."""
    routing: Routing | None = None
    """What Consul is meant to say."""
    started_at: float | None = None
    step_started_at: float | None = None
    progressed_at: float | None = None
    """When the progress deadline began to count."""
    finished_at: float | None = None
    duration: float | None = None
    """Seconds that the last rollout took, to its promotion or to its abort."""
    outcome: str = ""
    """How the last rollout ended: `Promoted`, `Aborted`, `Superseded`, `RolledBack`; empty while it is under way."""
    paused_at: float | None = None
    analyses: tuple[AnalysisRun, ...] = ()
    history: tuple[Promotion, ...] = ()
    """Newest last."""
    retiring: tuple[Retiring, ...] = ()
    versions: tuple[VersionState, ...] = ()
    troubles: tuple[VersionTrouble, ...] = ()
    corrections: tuple[Correction, ...] = ()
    command: str = ""
    """The token of the last command that was obeyed or ignored."""
    replicas: int = 0
    ready_replicas: int = 0
    selector: str = ""
    conditions: tuple[Condition, ...] = ()
    trace: TraceState | None = None

    def condition(self, kind: ConditionType) -> Condition | None:
        return next((condition for condition in self.conditions if condition.type is kind), None)
