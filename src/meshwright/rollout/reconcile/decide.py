"""The state machine: `decide(rollout, status, observed, now) -> Decision`, a function of its arguments.

A pass has five parts: follow a changed spec (`_retarget`), run a command (`_run_command`), advance the phase
(`_advance`), compare desired with observed state, which gives the actions (`actions`), and fill in the descriptive
status (`conditions`). The status records what is desired, never what was *done*; the next pass observes the actual
state. So a crash at any point, a failed action, an outside change and a restart are one case, the usual one.

While Consul or the workloads cannot be observed, nothing changes: an unknown value is not zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshwright.rollout.analysis import evaluation
from meshwright.rollout.api.routing import WHOLE, Routing
from meshwright.rollout.api.spec import AnalysisStep, Pause
from meshwright.rollout.api.status import Interrupted
from meshwright.rollout.api.vocabulary import CommandName, Phase, Reason
from meshwright.rollout.reconcile import plan, template_update, transitions
from meshwright.rollout.reconcile.actions import keep_clock, plan_actions
from meshwright.rollout.reconcile.conditions import describe
from meshwright.rollout.reconcile.context import ReconcileContext
from meshwright.rollout.reconcile.steps import POLL, finish_step, measure_run, run_steps

if TYPE_CHECKING:
    from meshwright.rollout.api.observed import MetricQuery, Observed
    from meshwright.rollout.api.spec import Rollout
    from meshwright.rollout.api.status import RolloutStatus
    from meshwright.rollout.reconcile.decision import Decision

UNOBSERVED_DELAY = 2.0
"""Seconds to the next pass when the state could not be observed."""
RESYNC = 30.0
"""Seconds between two passes over an idle rollout: the upper limit for the correction of drift."""


def decide(rollout: Rollout, status: RolloutStatus, observed: Observed, now: float) -> Decision:
    """Decides on the next status and the actions, from the status and the state observed at `now` (unix seconds)."""
    context = ReconcileContext(rollout, status, observed, round(now, 3), before=status)
    if observed.traffic is None or observed.workloads is None:
        keep_clock(context)
        context.wake_in(UNOBSERVED_DELAY)
        return context.decision()
    _leave_invalid(context)
    _retarget(context)
    template_update.follow_template(context)
    _run_command(context)
    _advance(context)
    plan_actions(context)
    describe(context)
    context.wake_in(RESYNC)
    return context.decision()


def metric_queries(rollout: Rollout, status: RolloutStatus, now: float) -> tuple[MetricQuery, ...]:
    """The metrics to measure before `decide` is called at `now`."""
    if status.phase not in (Phase.PROGRESSING, Phase.PAUSED) or rollout.version != status.target:
        return ()
    runs = {run.name: run for run in status.analyses}
    asked = {evaluation.BACKGROUND: rollout.analysis} if _runs_in_background(rollout, status) else {}
    planned = plan.steps(rollout, skip=status.skip_steps)
    step = planned[status.step] if status.step < len(planned) else None
    if isinstance(step, AnalysisStep):
        asked[step.name] = step.analysis
    due = {name: one for name, one in asked.items() if name not in runs or now >= evaluation.due_at(one, runs[name])}
    return tuple(
        query
        for name, one in due.items()
        for query in evaluation.metric_queries(one, name, status.target, status.stable)
    )


def versions_to_explain(rollout: Rollout, status: RolloutStatus, seen: Observed) -> tuple[str, ...]:
    """The versions with missing instances, whose causes `decide` needs."""
    if seen.workloads is None or seen.traffic is None:
        return ()
    gone = rollout.version == status.refused or status.phase is Phase.ABORTING
    found = []
    for version in dict.fromkeys(one for one in (status.stable, "" if gone else rollout.version) if one):
        workload = seen.workloads.get(version)
        if (
            workload is None
            or not workload.desired  # a prerequisite of its instances may be missing
            or min(workload.running, seen.traffic.healthy.get(version, 0)) < workload.desired
            or workload.old
        ):
            found.append(version)
    return tuple(found)


def apis_to_check(rollout: Rollout, status: RolloutStatus, today: str) -> tuple[str, ...]:
    """The APIs whose callers `decide` needs; `today` is a date such as `2026-12-31`."""
    if not status.stable or status.allow_api_loss or status.phase in (Phase.ABORTING, Phase.ABORTED):
        return ()
    return plan.lost_apis(rollout, status.stable, rollout.version, today)


def _runs_in_background(rollout: Rollout, status: RolloutStatus) -> bool:
    return rollout.analysis.background and not status.skip_steps


def _leave_invalid(context: ReconcileContext) -> None:
    """Continues from the interrupted phase once an invalid resource is valid again."""
    status = context.status
    if status.phase is Phase.INVALID:
        stood = status.interrupted or Interrupted(Phase.HEALTHY if status.stable == status.target else Phase.PENDING)
        context.set(phase=stood.phase, reason=stood.reason, message=stood.message, interrupted=None)


def _retarget(context: ReconcileContext) -> None:
    """Follows a change of `spec.version`, or of the steps."""
    status, version = context.status, context.rollout.version
    if status.phase is Phase.PENDING and not status.stable:
        _adopt_stable(context)
        status = context.status
    if not status.stable:
        if status.target != version:
            transitions.begin(context)
    elif version == status.stable:
        if context.is_active:
            transitions.abort(context, Reason.ROLLED_BACK, f"{version} is asked for again")
        elif status.phase in (Phase.ABORTED, Phase.PENDING):
            transitions.settle(context)
    elif version != status.target or status.phase is Phase.PENDING or _is_back(context):
        transitions.begin(context)
    elif context.is_active and not context.rollout.paused and plan.digest(context.steps) != status.plan:
        transitions.replan(context, "the strategy changed")


def _is_back(context: ReconcileContext) -> bool:
    """The version was rolled back to the stable one, and is requested again before that finished."""
    return context.status.phase is Phase.ABORTING and context.status.reason == Reason.ROLLED_BACK.value


def _adopt_stable(context: ReconcileContext) -> None:
    """Without a status, the version with all calls in Consul is the stable one: left by an earlier rollout."""
    routing = context.traffic.routing
    if routing is None:
        return
    for version, weight in routing.weights.items():
        if weight == WHOLE and version in context.workloads and context.healthy(version):
            context.set(stable=version, target=version, routing=Routing.all_to(version))


def _run_command(context: ReconcileContext) -> None:
    """Runs a new command, once."""
    command = context.rollout.command
    if command is None or command.token == context.status.command:
        return
    context.set(command=command.token)
    under_way = context.is_active
    match command.name:
        case CommandName.ABORT if under_way:
            transitions.abort(context, Reason.ABORTED_BY_COMMAND, "aborted by command")
        case CommandName.RETRY if context.status.refused and context.status.refused == context.rollout.version:
            context.record(Reason.RETRIED, f"{context.rollout.version} is tried again")
            transitions.begin(context)
        case CommandName.PROMOTE if under_way:
            _promote(context)
        case CommandName.PROMOTE_FULL if under_way:
            _promote_full(context)
        case _:
            context.warn(Reason.COMMAND_IGNORED, f"{command.name} is not possible in phase {context.status.phase}")


def _promote(context: ReconcileContext) -> None:
    reason = context.status.reason
    _resume(context, "resumed by promote")
    if reason == Reason.API_IN_USE.value:
        context.set(allow_api_loss=True)
    elif reason == Reason.INCONCLUSIVE.value:
        context.set(analyses=tuple(run for run in context.status.analyses if run.name != evaluation.BACKGROUND))
    if plan.digest(context.steps) != context.status.plan:
        return  # the strategy changed during the pause: its steps restart first
    if not isinstance(context.steps[context.status.step], Pause | AnalysisStep):
        return
    if context.status.step + 1 == len(context.steps) and not context.is_routing_applied:
        transitions.skip(context)  # the canary has lost its calls since: it needs them back before its promotion
    else:
        finish_step(context)


def _promote_full(context: ReconcileContext) -> None:
    if context.status.reason == Reason.API_IN_USE.value:
        context.set(allow_api_loss=True)
    transitions.skip(context)
    _resume(context, "resumed by promote --full")


def _resume(context: ReconcileContext, message: str) -> None:
    context.set(paused_at=None)
    context.enter(Phase.PROGRESSING, Reason.RESUMED, message)
    context.record(Reason.RESUMED, message)


def _advance(context: ReconcileContext) -> None:
    match context.status.phase:
        case Phase.INITIALIZING:
            _initialise(context)
        case Phase.PROGRESSING | Phase.PAUSED:
            _progress(context)
        case Phase.ABORTING:
            _return_traffic(context)
        case Phase.HEALTHY | Phase.UPDATING:
            template_update.advance(context)
        case _:
            pass


def _initialise(context: ReconcileContext) -> None:
    """The first instance that is healthy is called at once, unless the Deployment of `workloadRef` serves meanwhile."""
    target = context.status.target
    enough = context.rollout.replicas if context.rollout.workload_ref is not None else 1
    if context.ready(target) < enough:
        _report_start(context)
        _count_deadline(context, stuck=True)
        context.wake_in(POLL)
        return
    context.set(routing=Routing.all_to(target), progressed_at=None)
    if context.is_routing_applied:
        transitions.promote(context)
    else:
        context.enter(Phase.INITIALIZING, Reason.WAITING_FOR_TRAFFIC, f"calls move to {target}")


def _report_start(context: ReconcileContext) -> None:
    target = context.status.target
    words = f"version {target} comes up{context.cause_suffix(target)}"
    if ready := context.ready(target):
        words = f"{ready} of {context.rollout.replicas} instances of {target} are healthy{context.cause_suffix(target)}"
    if context.status.reason == Reason.DEADLINE_EXCEEDED.value:
        late = f"no progress for {context.rollout.progress_deadline:g} s: {words}"
        context.enter(Phase.INITIALIZING, Reason.DEADLINE_EXCEEDED, late)
    else:
        context.enter(Phase.INITIALIZING, Reason.INITIALIZING, words)


def _return_traffic(context: ReconcileContext) -> None:
    if context.is_routing_applied:
        transitions.aborted(context)
        return
    context.wake_in(POLL / 2)


def _progress(context: ReconcileContext) -> None:
    """The background analysis and the deadline first: they may end the rollout. Then the steps, unless it is paused."""
    _measure_anew(context)
    if _runs_in_background(context.rollout, context.status) and context.is_canary_routed:
        measure_run(context, context.rollout.analysis, evaluation.BACKGROUND)
    if not context.is_active:
        return
    is_stuck = not context.is_routing_applied or (
        context.status.step_started_at is not None and not context.is_canary_ready
    )
    _count_deadline(context, stuck=is_stuck and context.status.phase is Phase.PROGRESSING)
    if not context.is_active or _waits_for_verdict(context):
        return
    if context.rollout.paused:
        transitions.pause(context, Reason.PAUSED_BY_SPEC, "spec.paused is true")
        return
    if context.status.phase is Phase.PAUSED:
        context.set(phase=Phase.PROGRESSING)
    run_steps(context)


def _measure_anew(context: ReconcileContext) -> None:
    """Restarts a changed analysis; a verdict of its earlier form is dropped."""
    asked = {step.name: step.analysis for step in context.steps if isinstance(step, AnalysisStep)}
    asked |= {evaluation.BACKGROUND: context.rollout.analysis}
    kept = tuple(
        run
        for run in context.status.analyses
        if not run.plan or run.name not in asked or run.plan == evaluation.digest(asked[run.name])
    )
    if kept == context.status.analyses:
        return
    context.set(analyses=kept)
    if _waits_for_verdict(context):
        _resume(context, "the analysis changed: it restarts")


def _waits_for_verdict(context: ReconcileContext) -> bool:
    return context.status.phase is Phase.PAUSED and context.status.reason == Reason.INCONCLUSIVE.value


def _count_deadline(context: ReconcileContext, *, stuck: bool) -> None:
    """Aborts after the progress deadline; the first version, which has no way back, keeps waiting with a warning."""
    since = context.status.progressed_at
    if not stuck or since is None:
        context.set(progressed_at=context.now if stuck else None)
        since = context.now
    if not stuck:
        return
    deadline = context.rollout.progress_deadline
    if context.now - since < deadline:
        context.wakes.append(since + deadline)
        return
    message = f"no progress for {deadline:g} s: {context.status.message}"
    if context.status.phase is not Phase.INITIALIZING:
        transitions.abort(context, Reason.DEADLINE_EXCEEDED, message)
    elif context.status.reason != Reason.DEADLINE_EXCEEDED.value:
        context.enter(Phase.INITIALIZING, Reason.DEADLINE_EXCEEDED, message)
        context.warn(Reason.DEADLINE_EXCEEDED, message)
