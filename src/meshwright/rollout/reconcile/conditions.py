"""The descriptive part of the status, also for `kubectl wait`: versions, counts, conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshwright.rollout.api.status import Condition, VersionState, VersionTrouble
from meshwright.rollout.api.vocabulary import ConditionType, EventType, Phase, Reason
from meshwright.rollout.reconcile.actions import desired_replicas
from meshwright.rollout.reconcile.decision import Event

if TYPE_CHECKING:
    from meshwright.rollout.reconcile.context import ReconcileContext

_MOVING = frozenset({Phase.INITIALIZING, Phase.PROGRESSING, Phase.ABORTING, Phase.UPDATING})
_STILL = frozenset({Reason.DEADLINE_EXCEEDED.value, Reason.PAUSED_BY_SPEC.value})
"""Reasons for which a moving phase makes no progress."""


def describe(context: ReconcileContext) -> None:
    """Fills in the fields derived from the rest of the status and the observed state."""
    versions = _versions(context)
    routing = context.traffic.routing
    context.set(
        observed_generation=context.rollout.generation,
        versions=versions,
        weight=routing.weight(context.status.target) if routing else 0,
        revision=next((one.revision for one in versions if one.version == context.rollout.version), 0),
        replicas=sum(state.running for state in versions),
        ready_replicas=sum(state.healthy for state in versions),
        selector=f"meshwright.dev/rollout={context.rollout.name}",
    )
    _record_troubles(context)
    context.set(conditions=_conditions(context))


def _record_troubles(context: ReconcileContext) -> None:
    """The causes of unhealthy instances; one event for each version and reason, however many passes it lasts."""
    found = tuple(
        VersionTrouble(version, one.object, one.reason, one.message)
        for version, troubles in sorted(context.observed.troubles.items())
        for one in troubles
    )
    known = {(one.version, one.reason) for one in context.before.troubles}
    for one in found:
        if (one.version, one.reason) not in known:
            known.add((one.version, one.reason))
            said = f": {one.message}" if one.message else ""
            context.events.append(Event(EventType.WARNING, one.reason, f"version {one.version}: {one.object}{said}"))
    context.set(troubles=found)


def _versions(context: ReconcileContext) -> tuple[VersionState, ...]:
    status = context.status
    routing = context.traffic.routing
    found = []
    for version in sorted(set(context.workloads) | {status.stable, status.target} - {""}):
        workload = context.workloads.get(version)
        state = VersionState(
            version,
            _role(context, version),
            routing.weight(version) if routing else 0,
            workload.desired if workload else 0,
            workload.running if workload else 0,
            context.healthy(version),
            workload.revision if workload else 0,
            workload.template if workload else "",
            workload.old if workload else 0,
        )
        if state.role in ("stable", "canary") or state.desired or state.running:
            found.append(state)
    return tuple(found)


def _role(context: ReconcileContext, version: str) -> str:
    if version == context.status.stable:
        return "stable"
    if version == context.status.refused:
        return "refused"
    return "canary" if version == context.status.target else "retiring"


def _conditions(context: ReconcileContext) -> tuple[Condition, ...]:
    status = context.status
    serving = status.stable or status.target
    count = context.healthy(serving)
    available = f"{count} healthy instances of {serving}"
    promoted = status.phase is Phase.HEALTHY and status.stable == context.rollout.version
    is_moving = status.phase in _MOVING and status.reason not in _STILL
    waits = status.phase is Phase.PAUSED or (
        status.phase is Phase.UPDATING and status.reason == Reason.PAUSED_BY_SPEC.value
    )
    said = {
        ConditionType.AVAILABLE: (bool(count and status.stable), "Instances", available),
        ConditionType.PROGRESSING: (is_moving, status.reason, status.message),
        ConditionType.PROMOTED: (promoted, status.reason, status.message),
        ConditionType.PAUSED: (waits, status.reason, status.message),
        ConditionType.CURRENT: _current(context),
        ConditionType.INSTANCES: _instances(context),
    }
    return tuple(_condition(context, kind, *facts) for kind, facts in said.items())


def _current(context: ReconcileContext) -> tuple[bool, str, str]:
    behind = [version for version in desired_replicas(context) if not context.is_current(version)]
    if behind:
        return False, "OlderTemplate", f"instances of {', '.join(behind)} are of an earlier template"
    return True, "Current", "no instance is of an earlier template"


def _instances(context: ReconcileContext) -> tuple[bool, str, str]:
    for one in context.status.troubles:
        return False, one.reason, f"version {one.version}: {one.object}" + (f": {one.message}" if one.message else "")
    lacking = [
        f"{context.ready(version)} of {count} instances of {version} are healthy"
        for version, count in desired_replicas(context).items()
        if context.ready(version) < count
    ]
    return (False, "Waiting", "; ".join(lacking)) if lacking else (True, "Healthy", "every version has its instances")


def _condition(context: ReconcileContext, kind: ConditionType, holds: bool, reason: str, message: str) -> Condition:
    before = context.status.condition(kind)
    since = before.since if before is not None and before.status is holds else context.now
    return Condition(kind, holds, reason or "Unknown", message, since, context.rollout.generation)
