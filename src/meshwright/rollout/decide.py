"""The state machine: `decide(rollout, status, observed, now) -> Decision`, a function of its arguments.

A pass has five parts. What is asked for may have changed (`_retarget`, `_obey`); the phase may move on (`_advance`);
what is meant is held against what was seen, which gives the actions (`upholding`); and the status is described for
people. Nothing is remembered of what was *done*: status says what is meant, the next pass sees what is. So a crash at
any point, an action that failed, a change by somebody else and a restart are one case, and it is the usual one.

Without sight of Consul or of the workloads nothing is changed: an absent figure is not a figure of zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshwright.rollout import analysis, plan, transitions, updating
from meshwright.rollout.people import describe
from meshwright.rollout.routing import WHOLE, Routing
from meshwright.rollout.spec import AnalysisStep, Pause
from meshwright.rollout.status import Interrupted
from meshwright.rollout.turn import Turn
from meshwright.rollout.upholding import keep_clock, uphold
from meshwright.rollout.vocabulary import Phase, Reason, Verb
from meshwright.rollout.walking import POLL, finish, measured, walk

if TYPE_CHECKING:
    from meshwright.rollout.decision import Decision
    from meshwright.rollout.observed import Demand, Observed
    from meshwright.rollout.spec import Rollout
    from meshwright.rollout.status import Status

BLIND = 2.0
"""Seconds to the next look when the last one saw nothing."""
WATCH = 30.0
"""Seconds between two looks at a rollout that has nothing to do: drift is put back at the latest then."""


def decide(rollout: Rollout, status: Status, observed: Observed, now: float) -> Decision:
    """What to do about `rollout`, given what is remembered and what was seen at `now` (unix seconds)."""
    turn = Turn(rollout, status, observed, round(now, 3), before=status)
    if observed.traffic is None or observed.workloads is None:
        keep_clock(turn)
        turn.wake_in(BLIND)
        return turn.decided()
    _become_valid(turn)
    _retarget(turn)
    updating.follow_template(turn)
    _obey(turn)
    _advance(turn)
    uphold(turn)
    describe(turn)
    turn.wake_in(WATCH)
    return turn.decided()


def demands(rollout: Rollout, status: Status, now: float) -> tuple[Demand, ...]:
    """The figures to measure before `decide` is called at `now`."""
    if status.phase not in (Phase.PROGRESSING, Phase.PAUSED) or rollout.version != status.target:
        return ()
    runs = {run.name: run for run in status.analyses}
    asked = {analysis.BACKGROUND: rollout.analysis} if _runs_in_background(rollout, status) else {}
    planned = plan.steps(rollout, skip=status.skip_steps)
    step = planned[status.step] if status.step < len(planned) else None
    if isinstance(step, AnalysisStep):
        asked[step.name] = step.analysis
    due = {name: one for name, one in asked.items() if name not in runs or now >= analysis.due_at(one, runs[name])}
    return tuple(
        demand for name, one in due.items() for demand in analysis.demands(one, name, status.target, status.stable)
    )


def lacking(rollout: Rollout, status: Status, seen: Observed) -> tuple[str, ...]:
    """The versions of which must be known, before `decide` is called, why they have not their instances."""
    if seen.workloads is None or seen.traffic is None:
        return ()
    gone = rollout.version == status.refused or status.phase is Phase.ABORTING
    found = []
    for version in dict.fromkeys(one for one in (status.stable, "" if gone else rollout.version) if one):
        workload = seen.workloads.get(version)
        if (
            workload is None
            or not workload.desired  # what it takes to have instances may be missing
            or min(workload.running, seen.traffic.healthy.get(version, 0)) < workload.desired
            or workload.old
        ):
            found.append(version)
    return tuple(found)


def wanted_apis(rollout: Rollout, status: Status, today: str) -> tuple[str, ...]:
    """The APIs whose callers must be known before `decide` is called; `today` is a date such as `2026-12-31`."""
    if not status.stable or status.allow_api_loss or status.phase in (Phase.ABORTING, Phase.ABORTED):
        return ()
    return plan.lost_apis(rollout, status.stable, rollout.version, today)


def _runs_in_background(rollout: Rollout, status: Status) -> bool:
    return rollout.analysis.background and not status.skip_steps


def _become_valid(turn: Turn) -> None:
    """What was asked for made no sense and does now: go on from where it stood."""
    status = turn.status
    if status.phase is Phase.INVALID:
        stood = status.interrupted or Interrupted(Phase.HEALTHY if status.stable == status.target else Phase.PENDING)
        turn.set(phase=stood.phase, reason=stood.reason, message=stood.message, interrupted=None)


def _retarget(turn: Turn) -> None:
    """Follow a change of `spec.version`, or of the steps."""
    status, version = turn.status, turn.rollout.version
    if status.phase is Phase.PENDING and not status.stable:
        _adopt(turn)
        status = turn.status
    if not status.stable:
        if status.target != version:
            transitions.begin(turn)
    elif version == status.stable:
        if turn.is_active:
            transitions.abort(turn, Reason.ROLLED_BACK, f"{version} is asked for again")
        elif status.phase in (Phase.ABORTED, Phase.PENDING):
            transitions.settle(turn)
    elif version != status.target or status.phase is Phase.PENDING or _is_back(turn):
        transitions.begin(turn)
    elif turn.is_active and not turn.rollout.paused and plan.digest(turn.steps) != status.plan:
        transitions.replan(turn, "the strategy changed")


def _is_back(turn: Turn) -> bool:
    """The version was given up for the stable one, and is asked for again before that was done."""
    return turn.status.phase is Phase.ABORTING and turn.status.reason == Reason.ROLLED_BACK.value


def _adopt(turn: Turn) -> None:
    """Without a status, the version that Consul sends all calls to is the stable one: there was a rollout before."""
    routing = turn.traffic.routing
    if routing is None:
        return
    for version, weight in routing.weights.items():
        if weight == WHOLE and version in turn.workloads and turn.healthy(version):
            turn.set(stable=version, target=version, routing=Routing.all_to(version))


def _obey(turn: Turn) -> None:
    """Carry out a command that was not seen before, once."""
    command = turn.rollout.command
    if command is None or command.token == turn.status.command:
        return
    turn.set(command=command.token)
    under_way = turn.is_active
    match command.verb:
        case Verb.ABORT if under_way:
            transitions.abort(turn, Reason.ABORTED_BY_COMMAND, "a person asked for it")
        case Verb.RETRY if turn.status.refused and turn.status.refused == turn.rollout.version:
            turn.tell(Reason.RETRIED, f"{turn.rollout.version} is tried again")
            transitions.begin(turn)
        case Verb.PROMOTE if under_way:
            _promote(turn)
        case Verb.PROMOTE_FULL if under_way:
            _promote_full(turn)
        case _:
            turn.warn(Reason.COMMAND_IGNORED, f"{command.verb} means nothing in phase {turn.status.phase}")


def _promote(turn: Turn) -> None:
    reason = turn.status.reason
    _resume(turn, "a person said promote")
    if reason == Reason.API_IN_USE.value:
        turn.set(allow_api_loss=True)
    elif reason == Reason.INCONCLUSIVE.value:
        turn.set(analyses=tuple(run for run in turn.status.analyses if run.name != analysis.BACKGROUND))
    if plan.digest(turn.steps) != turn.status.plan:
        return  # the strategy changed while it was paused: it is walked anew first
    if not isinstance(turn.steps[turn.status.step], Pause | AnalysisStep):
        return
    if turn.status.step + 1 == len(turn.steps) and not turn.has_arrived:
        transitions.skip(turn)  # the calls have left the canary since: they must come back before it is promoted
    else:
        finish(turn)


def _promote_full(turn: Turn) -> None:
    if turn.status.reason == Reason.API_IN_USE.value:
        turn.set(allow_api_loss=True)
    transitions.skip(turn)
    _resume(turn, "a person said promote --full")


def _resume(turn: Turn, message: str) -> None:
    turn.set(paused_at=None)
    turn.enter(Phase.PROGRESSING, Reason.RESUMED, message)
    turn.tell(Reason.RESUMED, message)


def _advance(turn: Turn) -> None:
    match turn.status.phase:
        case Phase.INITIALIZING:
            _initialise(turn)
        case Phase.PROGRESSING | Phase.PAUSED:
            _progress(turn)
        case Phase.ABORTING:
            _give_back(turn)
        case Phase.HEALTHY | Phase.UPDATING:
            updating.advance(turn)
        case _:
            pass


def _initialise(turn: Turn) -> None:
    """The first instance that is healthy is called at once, unless the Deployment of `workloadRef` serves meanwhile."""
    target = turn.status.target
    enough = turn.rollout.replicas if turn.rollout.workload_ref is not None else 1
    if turn.ready(target) < enough:
        _say_that_it_comes_up(turn)
        _count_deadline(turn, stuck=True)
        turn.wake_in(POLL)
        return
    turn.set(routing=Routing.all_to(target), progressed_at=None)
    if turn.has_arrived:
        transitions.promote(turn)
    else:
        turn.enter(Phase.INITIALIZING, Reason.WAITING_FOR_TRAFFIC, f"calls move to {target}")


def _say_that_it_comes_up(turn: Turn) -> None:
    target = turn.status.target
    words = f"version {target} comes up{turn.why(target)}"
    if ready := turn.ready(target):
        words = f"{ready} of {turn.rollout.replicas} instances of {target} are healthy{turn.why(target)}"
    if turn.status.reason == Reason.DEADLINE_EXCEEDED.value:
        late = f"no progress for {turn.rollout.progress_deadline:g} s: {words}"
        turn.enter(Phase.INITIALIZING, Reason.DEADLINE_EXCEEDED, late)
    else:
        turn.enter(Phase.INITIALIZING, Reason.INITIALIZING, words)


def _give_back(turn: Turn) -> None:
    if turn.has_arrived:
        transitions.aborted(turn)
        return
    turn.wake_in(POLL / 2)


def _progress(turn: Turn) -> None:
    """The background analysis and the deadline first: they may end it. Then the steps, unless a person said stop."""
    _measure_anew(turn)
    if _runs_in_background(turn.rollout, turn.status) and turn.is_canary_called:
        measured(turn, turn.rollout.analysis, analysis.BACKGROUND)
    if not turn.is_active:
        return
    is_stuck = not turn.has_arrived or (turn.status.step_started_at is not None and not turn.is_canary_ready)
    _count_deadline(turn, stuck=is_stuck and turn.status.phase is Phase.PROGRESSING)
    if not turn.is_active or _waits_for_verdict(turn):
        return
    if turn.rollout.paused:
        transitions.pause(turn, Reason.PAUSED_BY_SPEC, "spec.paused is true")
        return
    if turn.status.phase is Phase.PAUSED:
        turn.set(phase=Phase.PROGRESSING)
    walk(turn)


def _measure_anew(turn: Turn) -> None:
    """An analysis whose terms were changed counts by the new ones from the beginning; no verdict of the old is left."""
    asked = {step.name: step.analysis for step in turn.steps if isinstance(step, AnalysisStep)}
    asked |= {analysis.BACKGROUND: turn.rollout.analysis}
    kept = tuple(
        run
        for run in turn.status.analyses
        if not run.plan or run.name not in asked or run.plan == analysis.digest(asked[run.name])
    )
    if kept == turn.status.analyses:
        return
    turn.set(analyses=kept)
    if _waits_for_verdict(turn):
        _resume(turn, "the analysis changed: it is measured anew")


def _waits_for_verdict(turn: Turn) -> bool:
    return turn.status.phase is Phase.PAUSED and turn.status.reason == Reason.INCONCLUSIVE.value


def _count_deadline(turn: Turn, *, stuck: bool) -> None:
    """Abort what has waited too long; the first version has nowhere to go back to and goes on waiting, aloud."""
    since = turn.status.progressed_at
    if not stuck or since is None:
        turn.set(progressed_at=turn.now if stuck else None)
        since = turn.now
    if not stuck:
        return
    deadline = turn.rollout.progress_deadline
    if turn.now - since < deadline:
        turn.wakes.append(since + deadline)
        return
    message = f"no progress for {deadline:g} s: {turn.status.message}"
    if turn.status.phase is not Phase.INITIALIZING:
        transitions.abort(turn, Reason.DEADLINE_EXCEEDED, message)
    elif turn.status.reason != Reason.DEADLINE_EXCEEDED.value:
        turn.enter(Phase.INITIALIZING, Reason.DEADLINE_EXCEEDED, message)
        turn.warn(Reason.DEADLINE_EXCEEDED, message)
