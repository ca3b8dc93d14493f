"""The transitions between phases: each sets the status fields, records events, and opens or closes spans."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshwright.rollout.api.routing import Routing
from meshwright.rollout.api.status import Promotion
from meshwright.rollout.api.vocabulary import Phase, Reason
from meshwright.rollout.reconcile import plan, tracing

if TYPE_CHECKING:
    from meshwright.rollout.reconcile.context import ReconcileContext


def begin(context: ReconcileContext) -> None:
    """Starts the rollout of the spec's version from the first step; one in progress is superseded."""
    _leave_present(context)
    target, stable = context.rollout.version, context.status.stable
    is_first = not stable
    context.set(
        target=target,
        template=context.observed.template,
        refused="",
        skip_steps=not is_first and plan.is_recent(context.rollout, context.status),
        allow_api_loss=False,
        step=0,
        desired_weight=0,
        canary_scale=None,
        routing=None if is_first else Routing.all_to(stable),
        started_at=context.now,
        step_started_at=None,
        progressed_at=None,
        finished_at=None,
        duration=None,
        outcome="",
        paused_at=None,
        analyses=(),
    )
    context.set(steps=len(context.steps), plan=plan.digest(context.steps))
    tracing.begin(context)
    if is_first:
        context.enter(Phase.INITIALIZING, Reason.INITIALIZING, f"version {target} comes up")
        context.record(Reason.INITIALIZING, f"{context.rollout.service} begins with version {target}")
    else:
        how = "; a version seen recently skips the steps" if context.status.skip_steps else ""
        context.enter(Phase.PROGRESSING, Reason.STARTED, f"from {stable} to {target}{how}")
        context.record(Reason.STARTED, f"{context.rollout.service} goes from {stable} to {target}{how}")


def _leave_present(context: ReconcileContext) -> None:
    if context.status.phase in (Phase.INITIALIZING, Phase.PROGRESSING, Phase.PAUSED, Phase.ABORTING):
        message = f"{context.status.target} is superseded by {context.rollout.version}"
        tracing.end(context, "Superseded", ok=True, message=message)
        context.record(Reason.SUPERSEDED, message)


def replan(context: ReconcileContext, why: str) -> None:
    """Restarts the steps from the initial state: no calls to the target, no header route, no scale.

    Settings of earlier steps (a weight, a header route, a scale) are not part of the new plan's start: a pause that
    comes first waits before the target gets any call. So they are removed at once, and the first step with calls sets
    them.
    """
    _to_first_step(context, why)
    context.set(paused_at=None, desired_weight=0, routing=Routing.all_to(context.status.stable))
    context.enter(Phase.PROGRESSING, Reason.STEPS_CHANGED, f"{why}: from the first of {len(context.steps)} steps")
    context.record(
        Reason.STEPS_CHANGED, f"{why}: {context.status.target} executes {len(context.steps)} steps from the first"
    )


def skip(context: ReconcileContext) -> None:
    """Skips all steps but the last. The routing stays until that one."""
    context.set(skip_steps=True)
    _to_first_step(context, "the steps are skipped")
    if context.status.phase is Phase.PAUSED:
        context.enter(Phase.PROGRESSING, Reason.RESUMED, "the steps are skipped")


def _to_first_step(context: ReconcileContext, why: str) -> None:
    tracing.close_step(context, message=why)
    context.set(
        step=0,
        step_started_at=None,
        progressed_at=None,
        canary_scale=None,
        steps=len(context.steps),
        plan=plan.digest(context.steps),
        analyses=(),
    )


def pause(context: ReconcileContext, reason: Reason, message: str) -> None:
    """Pauses the rollout; one event, however many passes it lasts."""
    was = context.before
    if was.phase is not Phase.PAUSED or was.reason != reason.value or was.target != context.status.target:
        context.warn(reason, message) if reason is not Reason.PAUSE_STEP else context.record(reason, message)
        context.set(paused_at=context.now)
    context.enter(Phase.PAUSED, reason, message)


def abort(context: ReconcileContext, reason: Reason, message: str) -> None:
    """Routes all calls back to the stable version. The target keeps its instances until then."""
    tracing.close_step(context, ok=reason is Reason.ROLLED_BACK, message=message)
    context.set(
        desired_weight=0,
        canary_scale=None,
        routing=Routing.all_to(context.status.stable),
        refused="" if reason is Reason.ROLLED_BACK else context.status.target,
        step_started_at=None,
        progressed_at=None,
        paused_at=None,
    )
    context.enter(Phase.ABORTING, reason, message)
    context.warn(reason, f"{context.status.target} is aborted: {message}")


def aborted(context: ReconcileContext) -> None:
    """All calls are back: `Aborted`, or `Healthy` where the stable version is the requested one."""
    status = context.status
    is_wanted = context.rollout.version == status.stable
    rolled_back = status.reason == Reason.ROLLED_BACK.value
    outcome = "RolledBack" if rolled_back else "Aborted"
    message = f"all calls are at {status.stable}: {status.message}"
    tracing.end(context, outcome, ok=rolled_back, message=status.message)
    context.set(outcome=outcome, finished_at=context.now, duration=_duration(context))
    if is_wanted:
        settle(context)
    else:
        context.enter(Phase.ABORTED, Reason(status.reason), message)
        context.warn(Reason(status.reason), message)


def settle(context: ReconcileContext) -> None:
    """Ends a rollback: the stable version is the requested one."""
    stable = context.status.stable
    context.set(
        target=stable,
        template=context.observed.template,
        refused="",
        desired_weight=0,
        step=0,
        steps=0,
        plan="",
        skip_steps=False,
    )
    context.enter(Phase.HEALTHY, Reason.ROLLED_BACK, f"{stable} serves all calls")
    context.record(Reason.ROLLED_BACK, f"{stable} serves all calls again")


def promote(context: ReconcileContext) -> None:
    """Makes the target, which has all calls, the stable version."""
    status = context.status
    target, before = status.target, status.stable
    limit = max(context.rollout.revision_history_limit, context.rollout.rollback_window) + 1
    history = tuple(one for one in status.history if one.version != target)
    tracing.end(context, "Promoted", ok=True)
    context.set(
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
        history=(*history, Promotion(target, context.now))[-limit:],
        finished_at=context.now,
        duration=_duration(context),
        outcome="Promoted",
    )
    context.enter(Phase.HEALTHY, Reason.PROMOTED, f"{target} serves all calls")
    context.record(Reason.PROMOTED, f"{target} is promoted" + (f" over {before}" if before else ""))


def _duration(context: ReconcileContext) -> float:
    return round(context.now - (context.status.started_at or context.now), 3)
