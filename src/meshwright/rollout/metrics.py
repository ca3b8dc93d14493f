"""Prometheus metrics of rollouts, for the operator and `meshwright up`.

`meshwright_rollout_phase` is 1 for the phase that a rollout is in and 0 for all others, so that `== 1` finds it and
`max by (rollout)` alerts on it. Durations are of whole rollouts, to promotion or abort. The time in the current
step or phase follows from `meshwright_rollout_since_timestamp_seconds`, which survives a restart of the process; an
alert's own `for` would restart.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

from meshwright.rollout.api.vocabulary import Phase, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client import CollectorRegistry

    from meshwright.rollout.api.spec import Rollout
    from meshwright.rollout.api.status import RolloutStatus

_NAMES = ("namespace", "rollout")
_Key = tuple[str, str]
BUCKETS = (5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0)


class RolloutMetrics:
    """The series of all rollouts of one process."""

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], float] = time.time) -> None:
        self._phase = Gauge(
            "meshwright_rollout_phase", "1 for the phase that a rollout is in.", (*_NAMES, "phase"), registry=registry
        )
        self._weight = Gauge(
            "meshwright_rollout_weight",
            "The desired share of calls of a version, in per cent.",
            (*_NAMES, "version"),
            registry=registry,
        )
        self._duration = Histogram(
            "meshwright_rollout_duration_seconds",
            "Time from the start of a rollout to its end.",
            (*_NAMES, "outcome"),
            buckets=BUCKETS,
            registry=registry,
        )
        self._verdicts = Counter(
            "meshwright_rollout_analysis_verdicts",
            "Analyses that came to a verdict.",
            (*_NAMES, "analysis", "verdict"),
            registry=registry,
        )
        self._failures = Counter(
            "meshwright_rollout_failures",
            "Passes with a failure: an unreachable side, or a failed action.",
            _NAMES,
            registry=registry,
        )
        self._present = _Present(registry, clock)
        self._versions: dict[_Key, frozenset[str]] = {}

    def record(self, rollout: Rollout, before: RolloutStatus, after: RolloutStatus) -> None:
        """Updates the metrics after a pass."""
        names = (rollout.namespace, rollout.name)
        self._enter(names, after)
        self._present.describe(names, rollout.service, after)
        weights = dict(after.routing.weights) if after.routing else {}
        for version in self._versions.get(names, frozenset()) - weights.keys():
            self._weight.remove(*names, version)
        for version, weight in weights.items():
            self._weight.labels(*names, version).set(weight)
        self._versions[names] = frozenset(weights)
        if after.outcome and not before.outcome and after.duration is not None:
            self._duration.labels(*names, after.outcome).observe(after.duration)
        known = {(run.name, run.started_at): run.verdict for run in before.analyses}
        for run in after.analyses:
            if run.verdict is not Verdict.RUNNING and known.get((run.name, run.started_at)) is not run.verdict:
                self._verdicts.labels(*names, run.name, run.verdict.value).inc()

    def record_invalid(self, namespace: str, name: str, status: RolloutStatus) -> None:
        """Updates the metrics of an invalid resource from its status."""
        self._versions.setdefault((namespace, name), frozenset())
        self._enter((namespace, name), status)
        self._present.describe((namespace, name), None, status)

    def _enter(self, names: _Key, status: RolloutStatus) -> None:
        for phase in Phase:
            self._phase.labels(*names, phase.value).set(phase is status.phase)

    def record_failure(self, rollout: Rollout) -> None:
        """Counts a pass with failures."""
        self._failures.labels(rollout.namespace, rollout.name).inc()

    def forget(self, namespace: str, name: str) -> None:
        """Removes the gauges of a deleted rollout; its counters stay. Does nothing for an unknown one."""
        versions = self._versions.pop((namespace, name), None)
        if versions is None:
            return
        for phase in Phase:
            self._phase.remove(namespace, name, phase.value)
        for version in versions:
            self._weight.remove(namespace, name, version)
        self._present.forget((namespace, name))


class _Present:
    """The series of each rollout's current state and its time."""

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._info = Gauge(
            "meshwright_rollout_info",
            "1, with a rollout's service, stable version, requested version, and reason of its phase.",
            (*_NAMES, "service", "stable", "target", "reason"),
            registry=registry,
        )
        self._since = Gauge(
            "meshwright_rollout_since_timestamp_seconds",
            "When the present step began, or the rollout was paused, or it ended.",
            _NAMES,
            registry=registry,
        )
        self._passed = Gauge(
            "meshwright_rollout_last_pass_timestamp_seconds",
            "The end of the last pass whose status was stored.",
            _NAMES,
            registry=registry,
        )
        self._described: dict[_Key, tuple[str, ...]] = {}
        self._entered: dict[_Key, tuple[Phase, float]] = {}

    def describe(self, names: _Key, service: str | None, status: RolloutStatus) -> None:
        """Shows the state after a pass; without `service`, keeps the previous one."""
        before = self._described.get(names)
        if service is None:
            service = before[0] if before else ""
        described = (service, status.stable, status.target, status.reason)
        if before is not None and before != described:
            self._info.remove(*names, *before)
        self._described[names] = described
        self._info.labels(*names, *described).set(1)
        now = self._clock()
        if self._entered.get(names, (None,))[0] is not status.phase:
            self._entered[names] = (status.phase, now)
        self._since.labels(*names).set(since(status) or self._entered[names][1])
        self._passed.labels(*names).set(now)

    def forget(self, names: _Key) -> None:
        self._info.remove(*names, *self._described.pop(names))
        del self._entered[names]
        for gauge in (self._since, self._passed):
            gauge.remove(*names)


def since(status: RolloutStatus) -> float | None:
    """When the rollout entered its current phase or step, from its status; None where the status has no time."""
    match status.phase:
        case Phase.PAUSED:
            return status.paused_at
        case Phase.PROGRESSING | Phase.INITIALIZING:
            return status.step_started_at or status.started_at
        case Phase.ABORTED | Phase.HEALTHY:
            return status.finished_at
        case _:
            return None
