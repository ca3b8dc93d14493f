"""Executes the steps of a rollout in progress.

Each step is a function that sets the desired state and returns whether it is reached. An unfinished step reports what
it waits for and runs again in the next pass, so it must be idempotent. A weight takes at least two passes: it is
written once the instances are there, and the step is done once Consul has it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from meshwright.rollout.analysis import evaluation
from meshwright.rollout.api.routing import HeaderRoute, Routing
from meshwright.rollout.api.spec import AnalysisStep, Pause, SetCanaryScale, SetHeaderRoute, SetWeight
from meshwright.rollout.api.status import AnalysisRun
from meshwright.rollout.api.vocabulary import Phase, Reason, Verdict
from meshwright.rollout.reconcile import plan, tracing, transitions
from meshwright.rollout.reconcile.context import with_weight

if TYPE_CHECKING:
    from meshwright.rollout.api.spec import Analysis, Step
    from meshwright.rollout.reconcile.context import ReconcileContext

POLL = 1.0
"""Seconds between two passes while waiting for a state without a notification."""


def run_steps(context: ReconcileContext) -> None:
    """Runs the steps up to the first unfinished one."""
    while context.status.phase is Phase.PROGRESSING:
        step = context.steps[context.status.step]
        _begin(context, step)
        if not _is_done(context, step) or (_is_last_step(context) and _last_measurement_failed(context)):
            return
        finish_step(context)


def _is_last_step(context: ReconcileContext) -> bool:
    return context.status.step + 1 >= len(context.steps)


def _last_measurement_failed(context: ReconcileContext) -> bool:
    """Whether the background analysis measured a failure last: the steps may end before its failure limit is reached.

    The next measurement decides; it is due at the analysis's interval.
    """
    run = next((one for one in context.status.analyses if one.name == evaluation.BACKGROUND), None)
    if run is None or not run.failed or not context.rollout.analysis.background or context.status.skip_steps:
        return False
    reasons = "; ".join(one.message for one in run.figures if one.verdict is Verdict.FAILED)
    words = f"the last measurement failed ({reasons}): {context.status.target} is promoted when a measurement passes"
    context.enter(Phase.PROGRESSING, Reason.ANALYSIS_FAILED, words)
    context.wakes.append(max(evaluation.due_at(context.rollout.analysis, run), context.now + 0.1))
    return True


def finish_step(context: ReconcileContext) -> None:
    """Ends the current step; promotes after the last."""
    tracing.close_step(context)
    if _is_last_step(context):
        transitions.promote(context)
    else:
        context.set(step=context.status.step + 1, step_started_at=None, progressed_at=None)


def _begin(context: ReconcileContext, step: Step) -> None:
    if context.status.step_started_at is None:
        context.set(step_started_at=context.now)
        name = plan.describe(step)
        tracing.open_step(context, name)
        context.record(Reason.STEP_STARTED, f"step {context.status.step + 1}/{context.status.steps}: {name}")


def _is_done(context: ReconcileContext, step: Step) -> bool:
    match step:
        case SetWeight():
            return _set_weight(context, step)
        case Pause():
            return _pause(context, step)
        case SetCanaryScale():
            return _set_canary_scale(context, step)
        case SetHeaderRoute():
            return _set_header_route(context, step)
        case AnalysisStep():
            return _analyse(context, step)


def _set_weight(context: ReconcileContext, step: SetWeight) -> bool:
    if step.weight > context.status.desired_weight and not _may_take_apis_away(context):
        return False
    context.set(desired_weight=step.weight)
    if not _has_instances(context):
        return False
    routes = context.status.routing.header_routes if context.status.routing else ()
    context.set(routing=with_weight(context.status.stable, context.status.target, step.weight, routes))
    return _is_routing_applied(context)


def _pause(context: ReconcileContext, step: Pause) -> bool:
    if step.duration is None:
        transitions.pause(context, Reason.PAUSE_STEP, f"step {context.status.step + 1} waits for promote or abort")
        return False
    until = (context.status.step_started_at or context.now) + step.duration
    if context.now >= until:
        return True
    context.enter(Phase.PROGRESSING, Reason.PAUSE_STEP, f"step {context.status.step + 1} waits for {step.duration:g} s")
    context.wakes.append(until)
    return False


def _set_canary_scale(context: ReconcileContext, step: SetCanaryScale) -> bool:
    context.set(canary_scale=step)
    return _has_instances(context)


def _set_header_route(context: ReconcileContext, step: SetHeaderRoute) -> bool:
    if step.match and not _may_take_apis_away(context):
        return False
    if not _has_instances(context):
        return False
    present = context.status.routing or Routing.all_to(context.status.stable)
    others = tuple(route for route in present.header_routes if route.name != step.name)
    mine = (HeaderRoute(step.name, context.status.target, step.match),) if step.match else ()
    context.set(routing=replace(present, header_routes=(*others, *mine)))
    return _is_routing_applied(context)


def _analyse(context: ReconcileContext, step: AnalysisStep) -> bool:
    if not _has_instances(context) or not _is_routing_applied(context):
        return False
    run = measure_run(context, step.analysis, step.name)
    if run.verdict is Verdict.PASSED:
        context.record(Reason.ANALYSIS_PASSED, f"{step.name}: {run.passed} measurements passed")
        return True
    if run.verdict is Verdict.RUNNING:
        words = f"{step.name}: {run.passed} of {step.analysis.count} measurements passed"
        context.enter(Phase.PROGRESSING, Reason.STEP_STARTED, words)
    return False


def measure_run(context: ReconcileContext, asked: Analysis, name: str) -> AnalysisRun:
    """The analysis run after this pass; acts on its verdict."""
    runs = {run.name: run for run in context.status.analyses}
    before = runs.get(name) or AnalysisRun(name, context.now)
    run = before = replace(before, plan=evaluation.digest(asked))
    if context.now >= evaluation.due_at(asked, before):
        versions = (context.status.target, context.status.stable)
        run = evaluation.measure(asked, before, context.observed.measurements, versions, context.now)
    runs[name] = run
    context.set(analyses=tuple(runs.values()))
    if run.verdict is Verdict.FAILED:
        transitions.abort(context, Reason.ANALYSIS_FAILED, f"{name}: {run.message}")
    elif run.verdict is Verdict.INCONCLUSIVE:
        transitions.pause(context, Reason.INCONCLUSIVE, f"{name}: {run.message or 'no verdict'}; promote or abort")
    if run.verdict in (Verdict.RUNNING, Verdict.INCONCLUSIVE):
        context.wakes.append(max(evaluation.due_at(asked, run), context.now + 0.1))
    return run


def _has_instances(context: ReconcileContext) -> bool:
    if context.is_canary_ready:
        return True
    there = (
        f"{context.ready(context.status.target)} of {context.needed} instances of {context.status.target} are healthy"
    )
    if not context.is_current(context.status.target):
        there += ", and those of the template before are still there"
    there += context.cause_suffix(context.status.target)
    context.enter(Phase.PROGRESSING, Reason.WAITING_FOR_INSTANCES, there)
    context.wake_in(POLL)
    return False


def _is_routing_applied(context: ReconcileContext) -> bool:
    if context.is_routing_applied:
        return True
    context.enter(
        Phase.PROGRESSING, Reason.WAITING_FOR_TRAFFIC, f"calls move: {context.status.desired_weight} % to the target"
    )
    context.wake_in(POLL / 2)
    return False


def _may_take_apis_away(context: ReconcileContext) -> bool:
    """Whether the APIs that the target removes have no callers; callers pause the rollout, by name."""
    today = datetime.fromtimestamp(context.now, UTC).date().isoformat()
    lost = plan.lost_apis(context.rollout, context.status.stable, context.status.target, today)
    if not lost or context.status.allow_api_loss:
        return True
    context.wake_in(context.rollout.analysis.interval)
    if context.observed.callers is None:
        context.enter(Phase.PROGRESSING, Reason.API_IN_USE, f"the callers of {', '.join(lost)} are not known yet")
        return False
    users = sorted({(use.api, use.caller) for use in context.observed.callers if use.api in lost and use.calls > 0})
    if not users:
        return True
    told = ", ".join(f"{caller} calls {api}" for api, caller in users)
    transitions.pause(context, Reason.API_IN_USE, f"{context.status.target} removes APIs that are in use: {told}")
    return False
