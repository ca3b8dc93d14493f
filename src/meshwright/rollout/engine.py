"""One pass of a rollout: observe, decide, act. The shell writes the status, then has the engine announce.

    outcome = await engine.reconcile(rollout, status, time.time())
    write(outcome.status)                       # once; when it fails, the next pass decides again from the old status
    await engine.announce(rollout, outcome)     # events and spans follow the write
    look again after outcome.requeue_after seconds, or when the resource, a workload or Consul changes

A side that cannot be reached leaves its part of `Observed` unknown, and an action that fails is reported in
`failures` and tried again in the next pass: actions are idempotent, and status says what is meant, not what was done.
After an action that failed the rest of the pass is left out, for the order of actions matters.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from meshwright.errors import BadInputError, MeshwrightError, Problem
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
"""Seconds to the next pass where something failed in this one."""


@dataclass(frozen=True, slots=True)
class PassFailure:
    """Something that did not work in a pass: observing a side, or an action."""

    what: str
    error: Exception


@dataclass(frozen=True, slots=True)
class ReconcileResult:
    """One pass."""

    decision: Decision
    failures: tuple[PassFailure, ...] = ()

    @property
    def status(self) -> RolloutStatus:
        """To be written, if it differs from the status that the pass began with."""
        return self.decision.status

    @property
    def requeue_after(self) -> float | None:
        """Seconds until the next pass; soon, where something failed."""
        wait = self.decision.requeue_after
        return min(wait or AGAIN, AGAIN) if self.failures else wait


class Engine:
    """The ports, and what one does with them. It holds no state: one engine serves any number of rollouts."""

    def __init__(
        self, workloads: Workloads, traffic: Traffic, measurements: MetricSource, recorder: EventRecorder
    ) -> None:
        self._workloads = workloads
        self._traffic = traffic
        self._metric_source = measurements
        self._recorder = recorder

    async def resolve(self, rollout: Rollout, status: RolloutStatus) -> Rollout:
        """The rollout with the version that its workload says, where it names none itself.

        A workload that is gone changes nothing: the version that was asked for last is asked for. Raises
        `BadInputError` where no version can be found, `UnreachableError` where it could not be asked for.
        """
        if rollout.version:
            return rollout
        version = await self._workloads.version(rollout) or status.target
        if not version:
            name = rollout.workload_ref.name if rollout.workload_ref else ""
            text = f"there is no Deployment {name} in namespace {rollout.namespace}"
            raise BadInputError(f"{KIND} {rollout.name}", [Problem("spec.workloadRef.name", text)])
        return replace(rollout, version=version)

    async def reconcile(self, rollout: Rollout, status: RolloutStatus, now: float) -> ReconcileResult:
        """Observe, decide and act once. Raises nothing for sides that are away."""
        failures: list[PassFailure] = []
        observed = await self._observe(rollout, status, now, failures)
        decision = decide(rollout, status, observed, now)
        await self._act(rollout, decision, failures)
        return ReconcileResult(decision, tuple(failures))

    async def record_events(self, rollout: Rollout, events: Sequence[Event]) -> None:
        """Events of a shell's own."""
        try:
            await self._recorder.events(rollout, events)
        except MeshwrightError as error:
            _log.warning("an announcement of rollout %s is lost: %s", rollout.name, error)

    async def publish(self, rollout: Rollout, outcome: ReconcileResult) -> None:
        """Tell events and spans, after the status was written."""
        decision = outcome.decision
        try:
            if decision.events:
                await self._recorder.events(rollout, decision.events)
            if decision.spans:
                await self._recorder.spans(rollout, decision.spans)
        except MeshwrightError as error:
            _log.warning("an announcement of rollout %s is lost: %s", rollout.name, error)

    async def retire_others(self, rollout: Rollout, status: RolloutStatus) -> tuple[ReconcileResult, str]:
        """The resource is being deleted: end all versions but the stable one, before the rules go that keep calls from
        them. To be called again while it returns what is waited for."""
        failures: list[PassFailure] = []
        workloads, traffic = await asyncio.gather(
            _tried("observing workloads", self._workloads.observe(rollout), failures),
            _tried("observing traffic", self._traffic.observe(rollout), failures),
        )
        decision, waiting = finalize.retire_others(rollout, status, Observed(workloads, traffic))
        await self._act(rollout, decision, failures)
        return ReconcileResult(decision, tuple(failures)), waiting

    async def finalize(self, rollout: Rollout, status: RolloutStatus) -> ReconcileResult:
        """The resource is being deleted: restore or leave the traffic rules. With failures: to be called again."""
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
        """Why versions lack instances: by what starts them, and where these are well, by Consul."""
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
