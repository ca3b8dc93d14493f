"""What is meant against what is: the actions of a pass, whatever led to it.

The same comparison carries out a step, corrects drift, repeats what a crash cut off, and takes calls from a canary
that died. Capacity comes before calls, and goes after them: a version is scaled down only when Consul's entries no
longer name it and its grace is over.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from meshwright.rollout import drifting
from meshwright.rollout.decision import DeleteVersion, EnsureVersion, ScaleVersion, SetTraffic
from meshwright.rollout.status import Retiring
from meshwright.rollout.turn import attainable
from meshwright.rollout.vocabulary import Phase, Reason

if TYPE_CHECKING:
    from meshwright.rollout.turn import Turn

_SETTLED = frozenset({Phase.HEALTHY, Phase.ABORTED, Phase.PAUSED})


def uphold(turn: Turn) -> None:
    """Append the actions, in the order in which they must happen."""
    if turn.status.phase is Phase.ABORTING:
        _traffic(turn)
        _capacity(turn)
    else:
        _capacity(turn)
        _traffic(turn)
    _retire(turn)
    _forget(turn)
    if turn.actions:
        turn.wake_in(0.5)


def wanted(turn: Turn) -> dict[str, int]:
    """The instances that each version in use is meant to have."""
    status = turn.status
    found = {status.stable: turn.rollout.replicas} if status.stable else {}
    if status.phase is Phase.INITIALIZING:
        found[status.target] = turn.rollout.replicas
    elif turn.is_active and not _is_held_back(turn):
        found[status.target] = turn.needed
    return found


def _is_held_back(turn: Turn) -> bool:
    """A rollout that was paused before it began brings nothing up."""
    held = turn.status.phase is Phase.PAUSED and turn.status.reason == Reason.PAUSED_BY_SPEC.value
    return held and turn.status.target not in turn.workloads


def _capacity(turn: Turn) -> None:
    for version, replicas in wanted(turn).items():
        workload = turn.workloads.get(version)
        if workload is None:
            turn.actions.append(EnsureVersion(version, replicas))
            continue
        drift = drifting.changed_by_others(turn, workload, replicas)
        if drift:
            is_due = drifting.is_due(turn, version, drift, replicas)
        else:
            is_due = workload.desired != replicas and not drifting.waits(turn, version, replicas)
        if is_due or workload.old or (turn.is_outdated(version) and not turn.rollout.paused):
            turn.actions.append(EnsureVersion(version, replicas))
    drifting.forget(turn)
    status = turn.status
    turn.set(canary_replicas=wanted(turn).get(status.target, 0) if status.target != status.stable else 0)


def _traffic(turn: Turn) -> None:
    meant, status = turn.status.routing, turn.status
    if meant is None:
        return
    goal = attainable(meant, turn.traffic.healthy, status.stable or status.target)
    if goal is None or goal == turn.traffic.routing:
        return
    turn.actions.append(SetTraffic(goal))
    if goal != meant:
        turn.warn(Reason.CANARY_UNHEALTHY, f"{status.target} has no healthy instance: calls go to {status.stable}")
    elif turn.before.routing != meant:
        told = [f"{weight} % {version}" for version, weight in sorted(meant.weights.items())]
        told += [f"header route {route.name} to {route.version}" for route in meant.header_routes]
        turn.tell(Reason.WEIGHT_SET, f"{turn.rollout.service}: {', '.join(told)}")
    elif status.phase in _SETTLED and turn.before.phase is status.phase:
        turn.warn(Reason.DRIFT, f"the routing of {turn.rollout.service} was changed by others and is put back")


def _in_use(turn: Turn) -> set[str]:
    status = turn.status
    busy = turn.is_active or status.phase in (Phase.INITIALIZING, Phase.ABORTING)
    return {status.stable} | ({status.target} if busy else set())


def _retire(turn: Turn) -> None:
    """Count the grace of versions that are not in use, and scale them down when it is over and no call goes there."""
    listed = {one.version: one for one in turn.status.retiring}
    leaving: list[Retiring] = []
    for version, workload in turn.workloads.items():
        if version in _in_use(turn):
            continue
        if workload.desired == 0:
            if version in listed:
                turn.tell(Reason.RETIRED, f"{version} is scaled down")
            continue
        one = _leaving(turn, version, listed.get(version))
        leaving.append(one)
        routing = turn.traffic.routing
        if turn.now >= one.at and routing is not None and version not in routing.versions:
            turn.actions.append(ScaleVersion(version, 0))
        else:
            turn.wakes.append(max(one.at, turn.now + 1.0))
    turn.set(retiring=tuple(sorted(leaving, key=lambda one: (one.at, one.version))))


def _leaving(turn: Turn, version: str, listed: Retiring | None) -> Retiring:
    """When the version is scaled down, by the delay that the spec says now."""
    if listed is not None and listed.left_at is None:  # as an earlier release wrote it
        return listed
    left = turn.now if listed is None or listed.left_at is None else listed.left_at
    return Retiring(version, round(left + turn.rollout.strategy.scale_down_delay, 3), left)


def _forget(turn: Turn) -> None:
    """Delete what is scaled to nothing and older than the history that is kept; a refused version counts as newest."""
    order = [one.version for one in turn.status.history if one.version != turn.status.stable]
    idle = [
        version
        for version, workload in turn.workloads.items()
        if workload.desired == 0 and workload.running == 0 and version not in _in_use(turn)
    ]
    rank = {version: index for index, version in enumerate(order)} | {turn.status.refused: len(order)}
    idle.sort(key=lambda version: (rank.get(version, -1), version))
    surplus = len(idle) - turn.rollout.revision_history_limit
    turn.actions += [DeleteVersion(version) for version in idle[: max(0, surplus)]]


def keep_clock(turn: Turn) -> None:
    """Without sight of the world no deadline counts: it starts over when the world is back."""
    turn.status = replace(turn.status, progressed_at=None)
