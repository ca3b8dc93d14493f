"""The part of the status that is for people and for `kubectl wait`: versions, counts, conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshwright.rollout.decision import Event
from meshwright.rollout.status import Condition, VersionState, VersionTrouble
from meshwright.rollout.upholding import wanted
from meshwright.rollout.vocabulary import ConditionType, EventType, Phase, Reason

if TYPE_CHECKING:
    from meshwright.rollout.turn import Turn

_MOVING = frozenset({Phase.INITIALIZING, Phase.PROGRESSING, Phase.ABORTING, Phase.UPDATING})
_STILL = frozenset({Reason.DEADLINE_EXCEEDED.value, Reason.PAUSED_BY_SPEC.value})
"""Why something that moves by itself stands still."""


def describe(turn: Turn) -> None:
    """Fill in what can be read from the rest and from what was seen."""
    versions = _versions(turn)
    routing = turn.traffic.routing
    turn.set(
        observed_generation=turn.rollout.generation,
        versions=versions,
        weight=routing.weight(turn.status.target) if routing else 0,
        revision=next((one.revision for one in versions if one.version == turn.rollout.version), 0),
        replicas=sum(state.running for state in versions),
        ready_replicas=sum(state.healthy for state in versions),
        selector=f"meshwright.dev/rollout={turn.rollout.name}",
    )
    _tell_troubles(turn)
    turn.set(conditions=_conditions(turn))


def _tell_troubles(turn: Turn) -> None:
    """What keeps instances from being healthy. Told once for each version and reason, however many passes it lasts."""
    found = tuple(
        VersionTrouble(version, one.object, one.reason, one.message)
        for version, troubles in sorted(turn.observed.troubles.items())
        for one in troubles
    )
    known = {(one.version, one.reason) for one in turn.before.troubles}
    for one in found:
        if (one.version, one.reason) not in known:
            known.add((one.version, one.reason))
            said = f": {one.message}" if one.message else ""
            turn.events.append(Event(EventType.WARNING, one.reason, f"version {one.version}: {one.object}{said}"))
    turn.set(troubles=found)


def _versions(turn: Turn) -> tuple[VersionState, ...]:
    status = turn.status
    routing = turn.traffic.routing
    found = []
    for version in sorted(set(turn.workloads) | {status.stable, status.target} - {""}):
        workload = turn.workloads.get(version)
        state = VersionState(
            version,
            _role(turn, version),
            routing.weight(version) if routing else 0,
            workload.desired if workload else 0,
            workload.running if workload else 0,
            turn.healthy(version),
            workload.revision if workload else 0,
            workload.template if workload else "",
            workload.old if workload else 0,
        )
        if state.role in ("stable", "canary") or state.desired or state.running:
            found.append(state)
    return tuple(found)


def _role(turn: Turn, version: str) -> str:
    if version == turn.status.stable:
        return "stable"
    if version == turn.status.refused:
        return "refused"
    return "canary" if version == turn.status.target else "retiring"


def _conditions(turn: Turn) -> tuple[Condition, ...]:
    status = turn.status
    serving = status.stable or status.target
    count = turn.healthy(serving)
    available = f"{count} healthy instances of {serving}"
    promoted = status.phase is Phase.HEALTHY and status.stable == turn.rollout.version
    is_moving = status.phase in _MOVING and status.reason not in _STILL
    waits = status.phase is Phase.PAUSED or (
        status.phase is Phase.UPDATING and status.reason == Reason.PAUSED_BY_SPEC.value
    )
    said = {
        ConditionType.AVAILABLE: (bool(count and status.stable), "Instances", available),
        ConditionType.PROGRESSING: (is_moving, status.reason, status.message),
        ConditionType.PROMOTED: (promoted, status.reason, status.message),
        ConditionType.PAUSED: (waits, status.reason, status.message),
        ConditionType.CURRENT: _current(turn),
        ConditionType.INSTANCES: _instances(turn),
    }
    return tuple(_condition(turn, kind, *facts) for kind, facts in said.items())


def _current(turn: Turn) -> tuple[bool, str, str]:
    behind = [version for version in wanted(turn) if not turn.is_current(version)]
    if behind:
        return False, "OlderTemplate", f"instances of {', '.join(behind)} are of an earlier template"
    return True, "Current", "no instance is of an earlier template"


def _instances(turn: Turn) -> tuple[bool, str, str]:
    for one in turn.status.troubles:
        return False, one.reason, f"version {one.version}: {one.object}" + (f": {one.message}" if one.message else "")
    lacking = [
        f"{turn.ready(version)} of {count} instances of {version} are healthy"
        for version, count in wanted(turn).items()
        if turn.ready(version) < count
    ]
    return (False, "Waiting", "; ".join(lacking)) if lacking else (True, "Healthy", "every version has its instances")


def _condition(turn: Turn, kind: ConditionType, holds: bool, reason: str, message: str) -> Condition:
    before = turn.status.condition(kind)
    since = before.since if before is not None and before.status is holds else turn.now
    return Condition(kind, holds, reason or "Unknown", message, since, turn.rollout.generation)
