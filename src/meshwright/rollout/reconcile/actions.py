"""Compares desired with observed state: the actions of a pass.

The same comparison executes a step, corrects drift, repeats actions lost in a crash, and takes calls from a failed
canary. Instances are added before calls and removed after them: a version is scaled down only when Consul's entries no
longer name it and its delay is over.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from meshwright.rollout.api.status import Retiring
from meshwright.rollout.api.vocabulary import Phase, Reason
from meshwright.rollout.reconcile import drift
from meshwright.rollout.reconcile.context import attainable_routing
from meshwright.rollout.reconcile.decision import DeleteVersion, EnsureVersion, ScaleVersion, SetTraffic

if TYPE_CHECKING:
    from meshwright.rollout.reconcile.context import ReconcileContext

_SETTLED = frozenset({Phase.HEALTHY, Phase.ABORTED, Phase.PAUSED})


def plan_actions(context: ReconcileContext) -> None:
    """Appends the actions in their required order."""
    if context.status.phase is Phase.ABORTING:
        _traffic(context)
        _capacity(context)
    else:
        _capacity(context)
        _traffic(context)
    _scale_down_unused(context)
    _delete_surplus(context)
    if context.actions:
        context.wake_in(0.5)


def desired_replicas(context: ReconcileContext) -> dict[str, int]:
    """The desired instances of each version in use."""
    status = context.status
    found = {status.stable: context.rollout.replicas} if status.stable else {}
    if status.phase is Phase.INITIALIZING:
        found[status.target] = context.rollout.replicas
    elif context.is_active and not _is_held_back(context):
        found[status.target] = context.needed
    return found


def _is_held_back(context: ReconcileContext) -> bool:
    """A rollout paused before its start creates no workload."""
    held = context.status.phase is Phase.PAUSED and context.status.reason == Reason.PAUSED_BY_SPEC.value
    return held and context.status.target not in context.workloads


def _capacity(context: ReconcileContext) -> None:
    for version, replicas in desired_replicas(context).items():
        workload = context.workloads.get(version)
        if workload is None:
            context.actions.append(EnsureVersion(version, replicas))
            continue
        changes = drift.changed_by_others(context, workload, replicas)
        if changes:
            is_due = drift.is_due(context, version, changes, replicas)
        else:
            is_due = workload.desired != replicas and not drift.waits(context, version, replicas)
        if is_due or workload.old or (context.is_outdated(version) and not context.rollout.paused):
            context.actions.append(EnsureVersion(version, replicas))
    drift.forget(context)
    status = context.status
    context.set(
        canary_replicas=desired_replicas(context).get(status.target, 0) if status.target != status.stable else 0
    )


def _traffic(context: ReconcileContext) -> None:
    meant, status = context.status.routing, context.status
    if meant is None:
        return
    goal = attainable_routing(meant, context.traffic.healthy, status.stable or status.target)
    if goal is None or goal == context.traffic.routing:
        return
    context.actions.append(SetTraffic(goal))
    if goal != meant:
        context.warn(Reason.CANARY_UNHEALTHY, f"{status.target} has no healthy instance: calls go to {status.stable}")
    elif context.before.routing != meant:
        told = [f"{weight} % {version}" for version, weight in sorted(meant.weights.items())]
        told += [f"header route {route.name} to {route.version}" for route in meant.header_routes]
        context.record(Reason.WEIGHT_SET, f"{context.rollout.service}: {', '.join(told)}")
    elif status.phase in _SETTLED and context.before.phase is status.phase:
        context.warn(
            Reason.DRIFT, f"the routing of {context.rollout.service} was changed by other clients and is corrected"
        )


def _in_use(context: ReconcileContext) -> set[str]:
    status = context.status
    busy = context.is_active or status.phase in (Phase.INITIALIZING, Phase.ABORTING)
    return {status.stable} | ({status.target} if busy else set())


def _scale_down_unused(context: ReconcileContext) -> None:
    """Scales versions out of use down, after their delay and once they get no calls."""
    listed = {one.version: one for one in context.status.retiring}
    leaving: list[Retiring] = []
    for version, workload in context.workloads.items():
        if version in _in_use(context):
            continue
        if workload.desired == 0:
            if version in listed:
                context.record(Reason.RETIRED, f"{version} is scaled down")
            continue
        one = _retiring(context, version, listed.get(version))
        leaving.append(one)
        routing = context.traffic.routing
        if context.now >= one.at and routing is not None and version not in routing.versions:
            context.actions.append(ScaleVersion(version, 0))
        else:
            context.wakes.append(max(one.at, context.now + 1.0))
    context.set(retiring=tuple(sorted(leaving, key=lambda one: (one.at, one.version))))


def _retiring(context: ReconcileContext, version: str, listed: Retiring | None) -> Retiring:
    """The version's scale-down time, by the spec's current delay."""
    if listed is not None and listed.left_at is None:  # written by an earlier release
        return listed
    left = context.now if listed is None or listed.left_at is None else listed.left_at
    return Retiring(version, round(left + context.rollout.strategy.scale_down_delay, 3), left)


def _delete_surplus(context: ReconcileContext) -> None:
    """Deletes versions scaled to 0 beyond the revision history limit; a refused version counts as the newest."""
    order = [one.version for one in context.status.history if one.version != context.status.stable]
    idle = [
        version
        for version, workload in context.workloads.items()
        if workload.desired == 0 and workload.running == 0 and version not in _in_use(context)
    ]
    rank = {version: index for index, version in enumerate(order)} | {context.status.refused: len(order)}
    idle.sort(key=lambda version: (rank.get(version, -1), version))
    surplus = len(idle) - context.rollout.revision_history_limit
    context.actions += [DeleteVersion(version) for version in idle[: max(0, surplus)]]


def keep_clock(context: ReconcileContext) -> None:
    """Resets the progress deadline while the state cannot be observed."""
    context.status = replace(context.status, progressed_at=None)
