"""One pass of a rollout: observe, decide, act. The caller writes the status, then publishes events and spans.

    outcome = await engine.reconcile(rollout, status, time.time())
    write(outcome.status)                       # once; when it fails, the next pass decides again from the old status
    await engine.publish(rollout, outcome)      # events and spans follow the write
    repeat after outcome.requeue_after seconds, or when the resource, a workload or Consul changes

An unreachable source leaves its part of `Observed` unknown. A failed action is listed in `failures` and retried in the
next pass: actions are idempotent, and the status holds the desired state, not what was done. The actions after a failed
one are skipped, because their order matters.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from meshwright.errors import MeshwrightError, ValidationError, Violation
from meshwright.rollout.api.observed import Explanation, Observed
from meshwright.rollout.api.vocabulary import KIND
from meshwright.rollout.reconcile import finalize
from meshwright.rollout.reconcile.decide import apis_to_check, decide, metric_queries, versions_to_explain
from meshwright.rollout.reconcile.decision import DeleteVersion, EnsureVersion, ReleaseTraffic, ScaleVersion, SetTraffic

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping, Sequence

    from meshwright.rollout.api.observed import ApiUse, Measurement, Trouble
    from meshwright.rollout.api.spec import Rollout
    from meshwright.rollout.api.status import RolloutStatus
    from meshwright.rollout.ports import EventRecorder, MetricSource, Traffic, Workloads
    from meshwright.rollout.reconcile.decision import Action, Decision, Event

T = TypeVar("T")

_log = logging.getLogger(__name__)
AGAIN = 1.0
"""Seconds to the next pass after a failure."""


@dataclass(frozen=True, slots=True)
class PassFailure:
    """A failure in a pass: of an observation or an action."""

    what: str
    error: Exception


@dataclass(frozen=True, slots=True)
class ReconcileResult:
    """The result of one pass."""

    decision: Decision
    failures: tuple[PassFailure, ...] = ()

    @property
    def status(self) -> RolloutStatus:
        """To be written if it differs from the status before the pass."""
        return self.decision.status

    @property
    def requeue_after(self) -> float | None:
        """Seconds until the next pass; at most `AGAIN` after a failure."""
        wait = self.decision.requeue_after
        return min(wait or AGAIN, AGAIN) if self.failures else wait


class Engine:
    """Runs passes through the four ports. Stateless: one engine serves any number of rollouts."""

    def __init__(
        self, workloads: Workloads, traffic: Traffic, metric_source: MetricSource, recorder: EventRecorder
    ) -> None:
        self._workloads = workloads
        self._traffic = traffic
        self._metric_source = metric_source
        self._recorder = recorder

    async def resolve(self, rollout: Rollout, status: RolloutStatus) -> Rollout:
        """Returns the rollout with the version of its workload, where the spec has none.

        Where the workload is gone, the last requested version is kept. Raises `ValidationError` where no version is
        found, `UnreachableError` where the API does not answer.
        """
        if rollout.version:
            return rollout
        version = await self._workloads.version(rollout) or status.target
        if not version:
            name = rollout.workload_ref.name if rollout.workload_ref else ""
            text = f"there is no Deployment {name} in namespace {rollout.namespace}"
            raise ValidationError(f"{KIND} {rollout.name}", [Violation("spec.workloadRef.name", text)])
        return replace(rollout, version=version)

    async def reconcile(self, rollout: Rollout, status: RolloutStatus, now: float) -> ReconcileResult:
        """Observes, decides and acts once. Unreachable ports do not raise; they are listed in `failures`."""
        failures: list[PassFailure] = []
        observed = await self._observe(rollout, status, now, failures)
        decision = decide(rollout, status, observed, now)
        await self._act(rollout, decision, failures)
        return ReconcileResult(decision, tuple(failures))

    async def record_events(self, rollout: Rollout, events: Sequence[Event]) -> None:
        """Records events that are not part of a pass."""
        try:
            await self._recorder.events(rollout, events)
        except MeshwrightError as error:
            _log.warning("events or spans of rollout %s are lost: %s", rollout.name, error)

    async def publish(self, rollout: Rollout, outcome: ReconcileResult) -> None:
        """Publishes events and spans, after the status was written."""
        decision = outcome.decision
        try:
            if decision.events:
                await self._recorder.events(rollout, decision.events)
            if decision.spans:
                await self._recorder.spans(rollout, decision.spans)
        except MeshwrightError as error:
            _log.warning("events or spans of rollout %s are lost: %s", rollout.name, error)

    async def retire_others(self, rollout: Rollout, status: RolloutStatus) -> tuple[ReconcileResult, str]:
        """On deletion: ends all versions but the stable one, before the rules that keep calls from them are removed.

        To be repeated while the second result, the reason for waiting, is not empty.
        """
        failures: list[PassFailure] = []
        workloads, traffic = await asyncio.gather(
            _tried("observing workloads", self._workloads.observe(rollout), failures),
            _tried("observing traffic", self._traffic.observe(rollout), failures),
        )
        decision, waiting = finalize.retire_others(rollout, status, Observed(workloads, traffic))
        await self._act(rollout, decision, failures)
        return ReconcileResult(decision, tuple(failures)), waiting

    async def finalize(self, rollout: Rollout, status: RolloutStatus) -> ReconcileResult:
        """On deletion: restores or keeps the traffic rules. To be repeated while there are failures."""
        failures: list[PassFailure] = []
        decision = finalize.release(rollout, status)
        await self._act(rollout, decision, failures)
        return ReconcileResult(decision, tuple(failures))

    async def _observe(
        self, rollout: Rollout, status: RolloutStatus, now: float, failures: list[PassFailure]
    ) -> Observed:
        workloads, template, traffic, (measurements, callers) = await asyncio.gather(
            _tried("observing workloads", self._workloads.observe(rollout), failures),
            _tried("reading the template", self._workloads.template(rollout), failures),
            _tried("observing traffic", self._traffic.observe(rollout), failures),
            self._measure(rollout, status, now, failures),
        )
        seen = Observed(workloads, traffic, measurements, callers, template or "")
        return replace(seen, troubles=await self._troubles(rollout, status, seen, failures))

    async def _troubles(
        self, rollout: Rollout, status: RolloutStatus, seen: Observed, failures: list[PassFailure]
    ) -> Mapping[str, tuple[Trouble, ...]]:
        """The causes of missing instances: from the workloads, and where these are healthy, from Consul."""
        asked = versions_to_explain(rollout, status, seen)
        if not asked or seen.traffic is None:
            return {}
        told = await _tried("finding out why", self._workloads.explain(rollout, asked), failures) or Explanation()
        found = {version: troubles for version, troubles in told.troubles.items() if troubles}
        for version, addresses in told.ready.items():
            if version not in found and len(addresses) > seen.traffic.healthy.get(version, 0):
                asking = self._traffic.explain(rollout, version, addresses)
                if said := await _tried("asking Consul why", asking, failures):
                    found[version] = said
        return found

    async def _measure(
        self, rollout: Rollout, status: RolloutStatus, now: float, failures: list[PassFailure]
    ) -> tuple[tuple[Measurement, ...], tuple[ApiUse, ...] | None]:
        asked = metric_queries(rollout, status, now)
        apis = apis_to_check(rollout, status, datetime.fromtimestamp(now, UTC).date().isoformat())
        measurements: tuple[Measurement, ...] | None = ()
        callers: tuple[ApiUse, ...] | None = None
        if asked:
            measurements = await _tried("measuring", self._metric_source.measure(rollout, asked), failures)
        if apis:
            seconds = rollout.analysis.window
            callers = await _tried("finding callers", self._metric_source.callers(rollout, apis, seconds), failures)
        if measurements is None:
            measurements = tuple(query.answer(None, error="could not be measured") for query in asked)
        return measurements, callers

    async def _act(self, rollout: Rollout, decision: Decision, failures: list[PassFailure]) -> None:
        for action in decision.actions:
            try:
                await self._do(rollout, action)
            except MeshwrightError as error:
                failures.append(PassFailure(f"{type(action).__name__}", error))
                return

    async def _do(self, rollout: Rollout, action: Action) -> None:
        match action:
            case EnsureVersion():
                await self._workloads.ensure(rollout, action.version, action.replicas)
            case ScaleVersion():
                await self._workloads.scale(rollout, action.version, action.replicas)
            case DeleteVersion():
                await self._workloads.delete(rollout, action.version)
            case SetTraffic():
                await self._traffic.route(rollout, action.routing)
            case ReleaseTraffic():
                await self._traffic.release(rollout)


async def _tried(what: str, doing: Awaitable[T], failures: list[PassFailure]) -> T | None:
    try:
        return await doing
    except MeshwrightError as error:
        failures.append(PassFailure(what, error))
        return None
