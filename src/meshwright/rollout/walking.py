"""Walking the steps of a rollout that is under way.

Each step is a function that sets what is meant to be and answers whether it is so already. A step that is not done
says what it waits for and is looked at again in the next pass, so it must be true however often it is called. Weight
moves in two passes at least: it is written when the instances are there, and the step is done when Consul says it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from meshwright.rollout import analysis, plan, tracing, transitions
from meshwright.rollout.routing import HeaderRoute, Routing
from meshwright.rollout.spec import AnalysisStep, Pause, SetCanaryScale, SetHeaderRoute, SetWeight
from meshwright.rollout.status import AnalysisRun
from meshwright.rollout.turn import with_weight
from meshwright.rollout.vocabulary import Phase, Reason, Verdict

if TYPE_CHECKING:
    from meshwright.rollout.spec import Analysis, Step
    from meshwright.rollout.turn import Turn

POLL = 1.0
"""Seconds between two looks at something that nobody announces."""


def walk(turn: Turn) -> None:
    """As many steps as are done, and the beginning of the first that is not."""
    while turn.status.phase is Phase.PROGRESSING:
        step = turn.steps[turn.status.step]
        _begin(turn, step)
        if not _is_done(turn, step):
            return
        finish(turn)


def finish(turn: Turn) -> None:
    """Leave the present step; after the last, promote."""
    tracing.close_step(turn)
    if turn.status.step + 1 >= len(turn.steps):
        transitions.promote(turn)
    else:
        turn.set(step=turn.status.step + 1, step_started_at=None, progressed_at=None)


def _begin(turn: Turn, step: Step) -> None:
    if turn.status.step_started_at is None:
        turn.set(step_started_at=turn.now)
        name = plan.describe(step)
        tracing.open_step(turn, name)
        turn.tell(Reason.STEP_STARTED, f"step {turn.status.step + 1}/{turn.status.steps}: {name}")


def _is_done(turn: Turn, step: Step) -> bool:
    match step:
        case SetWeight():
            return _set_weight(turn, step)
        case Pause():
            return _pause(turn, step)
        case SetCanaryScale():
            return _set_canary_scale(turn, step)
        case SetHeaderRoute():
            return _set_header_route(turn, step)
        case AnalysisStep():
            return _analyse(turn, step)


def _set_weight(turn: Turn, step: SetWeight) -> bool:
    if step.weight > turn.status.desired_weight and not _may_take_apis_away(turn):
        return False
    turn.set(desired_weight=step.weight)
    if not _has_instances(turn):
        return False
    routes = turn.status.routing.header_routes if turn.status.routing else ()
    turn.set(routing=with_weight(turn.status.stable, turn.status.target, step.weight, routes))
    return _has_arrived(turn)


def _pause(turn: Turn, step: Pause) -> bool:
    if step.duration is None:
        transitions.pause(turn, Reason.PAUSE_STEP, f"step {turn.status.step + 1} waits for a person: promote or abort")
        return False
    until = (turn.status.step_started_at or turn.now) + step.duration
    if turn.now >= until:
        return True
    turn.enter(Phase.PROGRESSING, Reason.PAUSE_STEP, f"step {turn.status.step + 1} waits for {step.duration:g} s")
    turn.wakes.append(until)
    return False


def _set_canary_scale(turn: Turn, step: SetCanaryScale) -> bool:
    turn.set(canary_scale=step)
    return _has_instances(turn)


def _set_header_route(turn: Turn, step: SetHeaderRoute) -> bool:
    if step.match and not _may_take_apis_away(turn):
        return False
    if not _has_instances(turn):
        return False
    present = turn.status.routing or Routing.all_to(turn.status.stable)
    others = tuple(route for route in present.header_routes if route.name != step.name)
    mine = (HeaderRoute(step.name, turn.status.target, step.match),) if step.match else ()
    turn.set(routing=replace(present, header_routes=(*others, *mine)))
    return _has_arrived(turn)


def _analyse(turn: Turn, step: AnalysisStep) -> bool:
    if not _has_instances(turn) or not _has_arrived(turn):
        return False
    run = measured(turn, step.analysis, step.name)
    if run.verdict is Verdict.PASSED:
        turn.tell(Reason.ANALYSIS_PASSED, f"{step.name}: {run.passed} measurements passed")
        return True
    if run.verdict is Verdict.RUNNING:
        words = f"{step.name}: {run.passed} of {step.analysis.count} measurements passed"
        turn.enter(Phase.PROGRESSING, Reason.STEP_STARTED, words)
    return False


def measured(turn: Turn, asked: Analysis, name: str) -> AnalysisRun:
    """The run after this pass, with what its verdict leads to."""
    runs = {run.name: run for run in turn.status.analyses}
    before = runs.get(name) or AnalysisRun(name, turn.now)
    run = before = replace(before, plan=analysis.digest(asked))
    if turn.now >= analysis.due_at(asked, before):
        versions = (turn.status.target, turn.status.stable)
        run = analysis.measure(asked, before, turn.observed.measurements, versions, turn.now)
    runs[name] = run
    turn.set(analyses=tuple(runs.values()))
    if run.verdict is Verdict.FAILED:
        transitions.abort(turn, Reason.ANALYSIS_FAILED, f"{name}: {run.message}")
    elif run.verdict is Verdict.INCONCLUSIVE:
        transitions.pause(turn, Reason.INCONCLUSIVE, f"{name}: {run.message or 'no verdict'}; promote or abort")
    if run.verdict in (Verdict.RUNNING, Verdict.INCONCLUSIVE):
        turn.wakes.append(max(analysis.due_at(asked, run), turn.now + 0.1))
    return run


def _has_instances(turn: Turn) -> bool:
    if turn.is_canary_ready:
        return True
    there = f"{turn.ready(turn.status.target)} of {turn.needed} instances of {turn.status.target} are healthy"
    if not turn.is_current(turn.status.target):
        there += ", and those of the template before are still there"
    there += turn.why(turn.status.target)
    turn.enter(Phase.PROGRESSING, Reason.WAITING_FOR_INSTANCES, there)
    turn.wake_in(POLL)
    return False


def _has_arrived(turn: Turn) -> bool:
    if turn.has_arrived:
        return True
    turn.enter(
        Phase.PROGRESSING, Reason.WAITING_FOR_TRAFFIC, f"calls move: {turn.status.desired_weight} % to the target"
    )
    turn.wake_in(POLL / 2)
    return False


def _may_take_apis_away(turn: Turn) -> bool:
    """Whether nobody calls what the target no longer serves; who calls it stops the rollout by name."""
    today = datetime.fromtimestamp(turn.now, UTC).date().isoformat()
    lost = plan.lost_apis(turn.rollout, turn.status.stable, turn.status.target, today)
    if not lost or turn.status.allow_api_loss:
        return True
    turn.wake_in(turn.rollout.analysis.interval)
    if turn.observed.callers is None:
        turn.enter(Phase.PROGRESSING, Reason.API_IN_USE, f"it is not known yet who calls {', '.join(lost)}")
        return False
    users = sorted({(use.api, use.caller) for use in turn.observed.callers if use.api in lost and use.calls > 0})
    if not users:
        return True
    told = ", ".join(f"{caller} calls {api}" for api, caller in users)
    transitions.pause(turn, Reason.API_IN_USE, f"{turn.status.target} takes APIs away that are in use: {told}")
    return False
