"""The words of a rollout. Each value is what a person sees in `.status`, in events and in `kubectl get`.

A rollout moves a service from its *stable* version to a *target* version. While it is under way the target is the
*canary*. It is *promoted* when it has become the stable version, *refused* when it was aborted.
"""

from __future__ import annotations

from enum import StrEnum

GROUP = "meshwright.dev"
API_VERSION = "meshwright.dev/v1alpha1"
KIND = "VersionedRollout"
PLURAL = "versionedrollouts"
COMMAND_ANNOTATION = "meshwright.dev/command"
"""Carries `<verb>@<token>`; a command is obeyed once for each token that was not seen before."""
VERSION_VARIABLE = "MESHWRIGHT_VERSION"
"""The variable that tells a process or pod which version it is."""


class Phase(StrEnum):
    """Where a rollout stands, in one word."""

    PENDING = "Pending"
    """Nothing was decided yet."""
    INITIALIZING = "Initializing"
    """The first version comes up; it gets all calls as soon as it is healthy, for there is nothing to compare with."""
    PROGRESSING = "Progressing"
    """The steps are being walked."""
    PAUSED = "Paused"
    """It waits for a person: `promote`, `abort`, or a change of the resource."""
    ABORTING = "Aborting"
    """All calls are on their way back to the stable version."""
    ABORTED = "Aborted"
    """The stable version serves all calls; the target was refused. It waits for `retry` or another version."""
    UPDATING = "Updating"
    """The stable version is the one that is asked for, and its instances are replaced by those of a new template."""
    HEALTHY = "Healthy"
    """The version that was asked for is the stable one, by the template that was asked for, and serves all calls."""
    INVALID = "Invalid"
    """What is asked for makes no sense; what ran before goes on running."""


class StepKind(StrEnum):
    """What a step does; the values are the keys in `spec.strategy.canary.steps`."""

    SET_WEIGHT = "setWeight"
    PAUSE = "pause"
    SET_CANARY_SCALE = "setCanaryScale"
    SET_HEADER_ROUTE = "setHeaderRoute"
    ANALYSIS = "analysis"


class Verb(StrEnum):
    """What a person can command beyond changing the resource's fields."""

    PROMOTE = "promote"
    """Go on: end the present pause, or the present step, and walk the remaining steps."""
    PROMOTE_FULL = "promote-full"
    """Skip all remaining steps and analyses; weight still moves to healthy instances only."""
    ABORT = "abort"
    """Send all calls back to the stable version."""
    RETRY = "retry"
    """Walk the steps again with a version that was refused."""


class Verdict(StrEnum):
    """What an analysis, or one measurement of it, has come to."""

    RUNNING = "Running"
    PASSED = "Passed"
    FAILED = "Failed"
    INCONCLUSIVE = "Inconclusive"
    """It could not be measured: too few calls, or the source did not answer."""


class AnalysisSource(StrEnum):
    """Where figures come from."""

    SCRAPE = "scrape"
    """The /metrics pages of the instances that Consul lists: nothing else needs to be installed."""
    PROMETHEUS = "prometheus"


class MetricKind(StrEnum):
    """What is measured; the values are the keys of an entry in `metrics`."""

    SUCCESS_RATE = "successRate"
    """The share of calls, 0 to 1, that did not fail by the server's fault."""
    LATENCY = "latency"
    """A quantile of the calls' duration, in seconds."""
    QUERY = "query"
    """The number that a PromQL query gives."""


class OnDelete(StrEnum):
    """What becomes of the traffic rules when the resource is deleted."""

    RESTORE = "Restore"
    """The rollout's part of the config entries is taken out; calls go to all instances again."""
    LEAVE = "Leave"
    """Everything stays as it is."""


class EventType(StrEnum):
    """Kubernetes' two kinds of events."""

    NORMAL = "Normal"
    WARNING = "Warning"


class ConditionType(StrEnum):
    """The conditions that `kubectl wait --for=condition=...` knows."""

    AVAILABLE = "Available"
    """The stable version has a healthy instance."""
    PROGRESSING = "Progressing"
    """The rollout moves by itself; False while it waits for a person and when it is over."""
    PROMOTED = "Promoted"
    """The version in the spec is the stable one and serves all calls."""
    PAUSED = "Paused"
    """It waits for a person."""
    CURRENT = "Current"
    """No instance of a version in use is of an earlier template."""
    INSTANCES = "InstancesReady"
    """Every version in use has the healthy instances that it should; else the message names the object and why."""


class Reason(StrEnum):
    """Why it is in its phase; the `reason` of conditions and events."""

    INITIALIZING = "Initializing"
    STARTED = "RolloutStarted"
    SUPERSEDED = "Superseded"
    STEP_STARTED = "StepStarted"
    STEPS_CHANGED = "StepsChanged"
    UPDATE_STARTED = "UpdateStarted"
    UPDATED = "Updated"
    TEMPLATE_CHANGED = "TemplateChanged"
    WAITING_FOR_INSTANCES = "WaitingForInstances"
    WAITING_FOR_TRAFFIC = "WaitingForTraffic"
    WAITING_FOR_STABLE = "WaitingForStable"
    CANARY_UNHEALTHY = "CanaryUnhealthy"
    PAUSE_STEP = "PauseStep"
    PAUSED_BY_SPEC = "PausedBySpec"
    INCONCLUSIVE = "AnalysisInconclusive"
    API_IN_USE = "ApiInUse"
    ANALYSIS_PASSED = "AnalysisPassed"
    ANALYSIS_FAILED = "AnalysisFailed"
    DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
    ABORTED_BY_COMMAND = "AbortedByCommand"
    ROLLED_BACK = "RolledBack"
    RETRIED = "Retried"
    RESUMED = "Resumed"
    PROMOTED = "Promoted"
    WEIGHT_SET = "WeightSet"
    SCALED = "Scaled"
    RETIRED = "VersionRetired"
    DRIFT = "DriftCorrected"
    CONSUL_AWAY = "ConsulAway"
    COMMAND_IGNORED = "CommandIgnored"
    INVALID_SPEC = "InvalidSpec"
    SERVICE_CONFLICT = "ServiceConflict"
    ACTION_FAILED = "ActionFailed"
