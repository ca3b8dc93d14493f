"""The vocabulary of a rollout. Each value appears in `.status`, in events and in `kubectl get`.

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
"""Carries `<command>@<token>`; a command runs once for each new token."""
VERSION_VARIABLE = "MESHWRIGHT_VERSION"
"""The environment variable that holds the version of a process or pod."""


class Phase(StrEnum):
    """The phase of a rollout."""

    PENDING = "Pending"
    """No pass has run yet."""
    INITIALIZING = "Initializing"
    """The first version starts; it gets all calls once healthy, without steps: there is no stable version."""
    PROGRESSING = "Progressing"
    """The steps are being executed."""
    PAUSED = "Paused"
    """Waits for `promote`, `abort`, or a change of the resource."""
    ABORTING = "Aborting"
    """All calls are being routed back to the stable version."""
    ABORTED = "Aborted"
    """The stable version serves all calls; the target was refused. Waits for `retry` or another version."""
    UPDATING = "Updating"
    """The requested version is the stable one; its instances are being replaced by those of a new template."""
    HEALTHY = "Healthy"
    """The requested version is the stable one, has the requested template, and serves all calls."""
    INVALID = "Invalid"
    """The resource is not valid; the last valid state keeps running."""


class StepKind(StrEnum):
    """What a step does; the values are the keys in `spec.strategy.canary.steps`."""

    SET_WEIGHT = "setWeight"
    PAUSE = "pause"
    SET_CANARY_SCALE = "setCanaryScale"
    SET_HEADER_ROUTE = "setHeaderRoute"
    ANALYSIS = "analysis"


class CommandName(StrEnum):
    """The commands, beyond changes of the resource's fields."""

    PROMOTE = "promote"
    """Continue: end the current pause or step, and execute the remaining steps."""
    PROMOTE_FULL = "promote-full"
    """Skip all remaining steps and analyses; weight still moves to healthy instances only."""
    ABORT = "abort"
    """Route all calls back to the stable version."""
    RETRY = "retry"
    """Execute the steps again with the refused version."""


class Verdict(StrEnum):
    """The verdict of an analysis, or of one measurement."""

    RUNNING = "Running"
    PASSED = "Passed"
    FAILED = "Failed"
    INCONCLUSIVE = "Inconclusive"
    """Not measurable: too few calls, or the source did not answer."""


class AnalysisSource(StrEnum):
    """The source of metric values."""

    SCRAPE = "scrape"
    """The /metrics pages of the instances that Consul lists: nothing else needs to be installed."""
    PROMETHEUS = "prometheus"


class MetricKind(StrEnum):
    """What is measured; the values are the keys of an entry in `metrics`."""

    SUCCESS_RATE = "successRate"
    """The share of calls, 0 to 1, without a failure of the server."""
    LATENCY = "latency"
    """A quantile of the calls' duration, in seconds."""
    QUERY = "query"
    """The value of a PromQL query."""


class OnDelete(StrEnum):
    """What happens to the traffic rules when the resource is deleted."""

    RESTORE = "Restore"
    """The rollout's part of the config entries is removed; calls go to all instances again."""
    LEAVE = "Leave"
    """The config entries stay unchanged."""


class EventType(StrEnum):
    """The two types of Kubernetes Events."""

    NORMAL = "Normal"
    WARNING = "Warning"


class ConditionType(StrEnum):
    """The condition types, for `kubectl wait --for=condition=...`."""

    AVAILABLE = "Available"
    """The stable version has a healthy instance."""
    PROGRESSING = "Progressing"
    """The rollout advances by itself; False while paused and when finished."""
    PROMOTED = "Promoted"
    """The version in the spec is the stable one and serves all calls."""
    PAUSED = "Paused"
    """Waits for `promote`, `abort`, or a change of the resource."""
    CURRENT = "Current"
    """No instance of a version in use has an earlier template."""
    INSTANCES = "InstancesReady"
    """Every version in use has its desired healthy instances; else the message names the object and the cause."""


class Reason(StrEnum):
    """The reason of the phase; the `reason` of conditions and events."""

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
    RETIRED = "VersionRetired"
    DRIFT = "DriftCorrected"
    COMMAND_IGNORED = "CommandIgnored"
    INVALID_SPEC = "InvalidSpec"
    SERVICE_CONFLICT = "ServiceConflict"
