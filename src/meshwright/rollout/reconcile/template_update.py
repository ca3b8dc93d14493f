"""A new template of one version: its instances are replaced, and the routing stays.

For the stable version this is a phase of its own, `Updating`. A new instance starts before an old one ends
(`Workloads.ensure`), so a template that does not start is harmless: the old instances keep serving, and after
`progressDeadlineSeconds` without progress there is a warning. It is not reverted: the template is the requested one,
perhaps from git, and there is no other version to compare with. Another template, or a late start, ends the phase.

For a canary, earlier measurements do not apply to the new template: the steps restart. A refused version is tried again
with another template, which may have fixed it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshwright.rollout.api.vocabulary import Phase, Reason
from meshwright.rollout.reconcile import transitions

if TYPE_CHECKING:
    from meshwright.rollout.reconcile.context import ReconcileContext

POLL = 1.0


def follow_template(context: ReconcileContext) -> None:
    """Records the requested template, and restarts where it changed."""
    status, asked = context.status, context.observed.template
    if not asked or context.rollout.version != status.target or status.template == asked:
        return
    if status.template and context.rollout.paused:
        return
    context.set(template=asked)
    if not status.template:
        return
    if context.is_active:
        transitions.replan(context, "the template changed")
    elif status.phase is Phase.ABORTED:
        context.record(Reason.TEMPLATE_CHANGED, f"{status.target} has another template and is tried again")
        transitions.begin(context)
    elif status.phase is Phase.INITIALIZING:
        context.set(progressed_at=None)
        context.enter(Phase.INITIALIZING, Reason.INITIALIZING, status.message)
        context.record(Reason.TEMPLATE_CHANGED, f"{status.target} starts with another template")


def advance(context: ReconcileContext) -> None:
    """Go into the update, through it, and out of it."""
    stable = context.status.stable
    workload = context.workloads.get(stable)
    if workload is None:
        return
    if context.status.phase is Phase.HEALTHY:
        if not workload.old and not context.is_outdated(stable):
            return
        context.set(progressed_at=None)
        if not context.rollout.paused:
            context.record(Reason.UPDATE_STARTED, f"the instances of {stable} are replaced by those of a new template")
    if _is_done(context):
        _end(context)
    elif context.rollout.paused and context.is_outdated(stable):
        context.set(progressed_at=None)
        context.enter(Phase.UPDATING, Reason.PAUSED_BY_SPEC, "a new template waits: spec.paused is true")
    else:
        _go_on(context)


def _is_done(context: ReconcileContext) -> bool:
    stable = context.status.stable
    return context.is_current(stable) and context.ready(stable) >= context.rollout.replicas


def _end(context: ReconcileContext) -> None:
    stable = context.status.stable
    revision = context.workloads[stable].revision
    words = f"{stable} serves all calls" + (f", by revision {revision} of its template" if revision else "")
    context.set(progressed_at=None)
    context.enter(Phase.HEALTHY, Reason.UPDATED, words)
    context.record(Reason.UPDATED, words)


def _go_on(context: ReconcileContext) -> None:
    """Reports the progress; after the deadline, that there is none."""
    status, stable = context.status, context.status.stable
    workload, deadline = context.workloads[stable], context.rollout.progress_deadline
    before = next((one for one in context.before.versions if one.version == stable), None)
    if status.progressed_at is None or (before is not None and workload.old < before.old):
        context.set(progressed_at=context.now)
    since = context.status.progressed_at or context.now
    old = workload.old or (workload.desired if context.is_outdated(stable) else 0)
    words = f"{old} instances of {stable} are still of the template before{context.cause_suffix(stable)}"
    if not old:
        ready = f"{context.ready(stable)} of {context.rollout.replicas}"
        words = f"{ready} instances of {stable} are healthy{context.cause_suffix(stable)}"
    context.wake_in(POLL)
    if context.now - since < deadline:
        context.enter(Phase.UPDATING, Reason.UPDATE_STARTED, words)
        return
    late = f"no progress for {deadline:g} s, and the instances that were there go on serving: {words}"
    if status.reason != Reason.DEADLINE_EXCEEDED.value:
        context.warn(Reason.DEADLINE_EXCEEDED, late)
    context.enter(Phase.UPDATING, Reason.DEADLINE_EXCEEDED, late)
