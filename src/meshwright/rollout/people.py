"""The part of the status that is for people and for `kubectl wait`: versions, counts, conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshwright.rollout.status import Condition, VersionState
from meshwright.rollout.vocabulary import ConditionType, Phase

if TYPE_CHECKING:
    from meshwright.rollout.turn import Turn

_MOVING = frozenset({Phase.INITIALIZING, Phase.PROGRESSING, Phase.ABORTING})


def describe(turn: Turn) -> None:
    """Fill in what can be read from the rest and from what was seen."""
    versions = _versions(turn)
    turn.set(
        observed_generation=turn.rollout.generation,
        versions=versions,
        replicas=sum(state.running for state in versions),
        ready_replicas=sum(state.healthy for state in versions),
        selector=f"meshwright.dev/rollout={turn.rollout.name}",
    )
    turn.set(conditions=_conditions(turn))


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
    said = {
        ConditionType.AVAILABLE: (bool(count and status.stable), "Instances", available),
        ConditionType.PROGRESSING: (status.phase in _MOVING, status.reason, status.message),
        ConditionType.PROMOTED: (promoted, status.reason, status.message),
        ConditionType.PAUSED: (status.phase is Phase.PAUSED, status.reason, status.message),
    }
    return tuple(_condition(turn, kind, *facts) for kind, facts in said.items())


def _condition(turn: Turn, kind: ConditionType, holds: bool, reason: str, message: str) -> Condition:
    before = turn.status.condition(kind)
    since = before.since if before is not None and before.status is holds else turn.now
    return Condition(kind, holds, reason or "Unknown", message, since, turn.rollout.generation)
