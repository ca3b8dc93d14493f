"""What Prometheus can know of rollouts, whichever shell drives them.

`meshwright_rollout_phase` is 1 for the phase that a rollout is in and 0 for all others, so that `== 1` finds it and
`max by (rollout)` alerts on it. Durations are of whole rollouts, to their promotion or to their abort.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

from meshwright.rollout.vocabulary import Phase, Verdict

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from meshwright.rollout.spec import Rollout
    from meshwright.rollout.status import Status

_NAMES = ("namespace", "rollout")
BUCKETS = (5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0)


class Figures:
    """The series of all rollouts of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._phase = Gauge(
            "meshwright_rollout_phase", "1 for the phase that a rollout is in.", (*_NAMES, "phase"), registry=registry
        )
        self._weight = Gauge(
            "meshwright_rollout_weight",
            "The share of calls, in per cent, that a version is meant to have.",
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
            "Passes in which something did not work: a side that was away, an action that failed.",
            _NAMES,
            registry=registry,
        )
        self._versions: dict[tuple[str, str], frozenset[str]] = {}

    def note(self, rollout: Rollout, before: Status, after: Status) -> None:
        """A pass has led from one status to the next."""
        names = (rollout.namespace, rollout.name)
        for phase in Phase:
            self._phase.labels(*names, phase.value).set(phase is after.phase)
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

    def failed(self, rollout: Rollout) -> None:
        """Something did not work in a pass."""
        self._failures.labels(rollout.namespace, rollout.name).inc()

    def forget(self, namespace: str, name: str) -> None:
        """The rollout is gone: its gauges go, its counters stay. One that was never noted is none the less gone."""
        versions = self._versions.pop((namespace, name), None)
        if versions is None:
            return
        for phase in Phase:
            self._phase.remove(namespace, name, phase.value)
        for version in versions:
            self._weight.remove(namespace, name, version)
