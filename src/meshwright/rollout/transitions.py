"""The ways from phase to phase: each sets all that goes with it, tells it, and opens or closes spans."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshwright.rollout import plan, tracing
from meshwright.rollout.routing import Routing
from meshwright.rollout.status import Promotion
from meshwright.rollout.vocabulary import Phase, Reason

if TYPE_CHECKING:
    from meshwright.rollout.turn import Turn


def begin(turn: Turn) -> None:
    """Set out for the version that the spec names, from the first step; whatever was under way is superseded."""
    _leave_present(turn)
    target, stable = turn.rollout.version, turn.status.stable
    is_first = not stable
    turn.set(
        target=target,
        template=turn.observed.template,
        refused="",
        skip_steps=not is_first and plan.is_recent(turn.rollout, turn.status),
        allow_api_loss=False,
        step=0,
        desired_weight=0,
        canary_scale=None,
        routing=None if is_first else Routing.all_to(stable),
        started_at=turn.now,
        step_started_at=None,
        progressed_at=None,
        finished_at=None,
        duration=None,
        outcome="",
        paused_at=None,
        analyses=(),
    )
    turn.set(steps=len(turn.steps), plan=plan.digest(turn.steps))
    tracing.begin(turn)
    if is_first:
        turn.enter(Phase.INITIALIZING, Reason.INITIALIZING, f"version {target} comes up")
        turn.tell(Reason.INITIALIZING, f"{turn.rollout.service} begins with version {target}")
    else:
        how = "; a version seen recently skips the steps" if turn.status.skip_steps else ""
        turn.enter(Phase.PROGRESSING, Reason.STARTED, f"from {stable} to {target}{how}")
        turn.tell(Reason.STARTED, f"{turn.rollout.service} goes from {stable} to {target}{how}")


def _leave_present(turn: Turn) -> None:
    if turn.status.phase in (Phase.INITIALIZING, Phase.PROGRESSING, Phase.PAUSED, Phase.ABORTING):
        message = f"{turn.status.target} is superseded by {turn.rollout.version}"
        tracing.end(turn, "Superseded", ok=True, message=message)
        turn.tell(Reason.SUPERSEDED, message)


def replan(turn: Turn, why: str) -> None:
    """Walk the steps from the first, from where a rollout begins: no calls at the target, no route, no scale.

    What earlier steps set (a weight, a header route, a scale) was right before the steps that came after them, and
    the new first step expects none of it: a pause that comes first waits before anybody meets the target. So nothing
    is kept, at once, and the first step that gives calls gives them again.
    """
    _to_first_step(turn, why)
    turn.set(paused_at=None, desired_weight=0, routing=Routing.all_to(turn.status.stable))
    turn.enter(Phase.PROGRESSING, Reason.STEPS_CHANGED, f"{why}: from the first of {len(turn.steps)} steps")
    turn.tell(Reason.STEPS_CHANGED, f"{why}: {turn.status.target} walks {len(turn.steps)} steps from the first")


def skip(turn: Turn) -> None:
    """Pass over all steps but the last. Calls stay where they are until it moves them."""
    turn.set(skip_steps=True)
    _to_first_step(turn, "the steps are skipped")
    if turn.status.phase is Phase.PAUSED:
        turn.enter(Phase.PROGRESSING, Reason.RESUMED, "the steps are skipped")


def _to_first_step(turn: Turn, why: str) -> None:
    tracing.close_step(turn, message=why)
    turn.set(
        step=0,
        step_started_at=None,
        progressed_at=None,
        canary_scale=None,
        steps=len(turn.steps),
        plan=plan.digest(turn.steps),
        analyses=(),
    )


def pause(turn: Turn, reason: Reason, message: str) -> None:
    """Wait for a person. Told once, however many passes it lasts."""
    was = turn.before
    if was.phase is not Phase.PAUSED or was.reason != reason.value or was.target != turn.status.target:
        turn.warn(reason, message) if reason is not Reason.PAUSE_STEP else turn.tell(reason, message)
        turn.set(paused_at=turn.now)
    turn.enter(Phase.PAUSED, reason, message)


def abort(turn: Turn, reason: Reason, message: str) -> None:
    """All calls back to the stable version. The target keeps its instances until they are back."""
    tracing.close_step(turn, ok=reason is Reason.ROLLED_BACK, message=message)
    turn.set(
        desired_weight=0,
        canary_scale=None,
        routing=Routing.all_to(turn.status.stable),
        refused="" if reason is Reason.ROLLED_BACK else turn.status.target,
        step_started_at=None,
        progressed_at=None,
        paused_at=None,
    )
    turn.enter(Phase.ABORTING, reason, message)
    turn.warn(reason, f"{turn.status.target} is aborted: {message}")


def aborted(turn: Turn) -> None:
    """All calls are back: `Aborted`, or `Healthy` where a person asked for the stable version."""
    status = turn.status
    is_wanted = turn.rollout.version == status.stable
    rolled_back = status.reason == Reason.ROLLED_BACK.value
    outcome = "RolledBack" if rolled_back else "Aborted"
    message = f"all calls are at {status.stable}: {status.message}"
    tracing.end(turn, outcome, ok=rolled_back, message=status.message)
    turn.set(outcome=outcome, finished_at=turn.now, duration=_duration(turn))
    if is_wanted:
        settle(turn)
    else:
        turn.enter(Phase.ABORTED, Reason(status.reason), message)
        turn.warn(Reason(status.reason), message)


def settle(turn: Turn) -> None:
    """The stable version is the one that is asked for."""
    stable = turn.status.stable
    turn.set(
        target=stable,
        template=turn.observed.template,
        refused="",
        desired_weight=0,
        step=0,
        steps=0,
        plan="",
        skip_steps=False,
    )
    turn.enter(Phase.HEALTHY, Reason.ROLLED_BACK, f"{stable} serves all calls")
    turn.tell(Reason.ROLLED_BACK, f"{stable} serves all calls again")


def promote(turn: Turn) -> None:
    """The target has all calls: it is the stable version from now on."""
    status = turn.status
    target, before = status.target, status.stable
    limit = max(turn.rollout.revision_history_limit, turn.rollout.rollback_window) + 1
    history = tuple(one for one in status.history if one.version != target)
    tracing.end(turn, "Promoted", ok=True)
    turn.set(
        stable=target,
        refused="",
        routing=Routing.all_to(target),
        desired_weight=100,
        canary_scale=None,
        skip_steps=False,
        allow_api_loss=False,
        step=status.steps,
        step_started_at=None,
        progressed_at=None,
        paused_at=None,
        history=(*history, Promotion(target, turn.now))[-limit:],
        finished_at=turn.now,
        duration=_duration(turn),
        outcome="Promoted",
    )
    turn.enter(Phase.HEALTHY, Reason.PROMOTED, f"{target} serves all calls")
    turn.tell(Reason.PROMOTED, f"{target} is promoted" + (f" over {before}" if before else ""))


def _duration(turn: Turn) -> float:
    return round(turn.now - (turn.status.started_at or turn.now), 3)
