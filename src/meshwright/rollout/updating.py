"""A new template at one version: the instances are replaced, and no call moves.

Where the version is the stable one this is a phase of its own, `Updating`. A new instance comes before an old one goes
(`Workloads.ensure`), so that a template that does not come up harms nobody: the old instances go on serving, and after
`progressDeadlineSeconds` without progress it is said aloud. It is not taken back: the template is what a person asked
for, perhaps in git, and there is no other version to compare with. Another one, or one that comes up late, ends it.

Where the version is a canary its figures say nothing of the new template: the steps begin again. A version that was
refused is tried again with another template, for what it was refused for may be mended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshwright.rollout import transitions
from meshwright.rollout.vocabulary import Phase, Reason

if TYPE_CHECKING:
    from meshwright.rollout.turn import Turn

POLL = 1.0


def follow_template(turn: Turn) -> None:
    """Take note of the template that is asked for, and begin again where it is another one."""
    status, asked = turn.status, turn.observed.template
    if not asked or turn.rollout.version != status.target or status.template == asked:
        return
    if status.template and turn.rollout.paused:
        return
    turn.set(template=asked)
    if not status.template:
        return
    if turn.is_active:
        transitions.replan(turn, "the template changed")
    elif status.phase is Phase.ABORTED:
        turn.tell(Reason.TEMPLATE_CHANGED, f"{status.target} has another template and is tried again")
        transitions.begin(turn)
    elif status.phase is Phase.INITIALIZING:
        turn.set(progressed_at=None)
        turn.enter(Phase.INITIALIZING, Reason.INITIALIZING, status.message)
        turn.tell(Reason.TEMPLATE_CHANGED, f"{status.target} comes up with another template")


def advance(turn: Turn) -> None:
    """Go into the update, through it, and out of it."""
    stable = turn.status.stable
    workload = turn.workloads.get(stable)
    if workload is None:
        return
    if turn.status.phase is Phase.HEALTHY:
        if not workload.old and not turn.is_outdated(stable):
            return
        turn.set(progressed_at=None)
        if not turn.rollout.paused:
            turn.tell(Reason.UPDATE_STARTED, f"the instances of {stable} are replaced by those of a new template")
    if _is_done(turn):
        _end(turn)
    elif turn.rollout.paused and turn.is_outdated(stable):
        turn.set(progressed_at=None)
        turn.enter(Phase.UPDATING, Reason.PAUSED_BY_SPEC, "a new template waits: spec.paused is true")
    else:
        _go_on(turn)


def _is_done(turn: Turn) -> bool:
    stable = turn.status.stable
    return turn.is_current(stable) and turn.ready(stable) >= turn.rollout.replicas


def _end(turn: Turn) -> None:
    stable = turn.status.stable
    revision = turn.workloads[stable].revision
    words = f"{stable} serves all calls" + (f", by revision {revision} of its template" if revision else "")
    turn.set(progressed_at=None)
    turn.enter(Phase.HEALTHY, Reason.UPDATED, words)
    turn.tell(Reason.UPDATED, words)


def _go_on(turn: Turn) -> None:
    """Say how far it is; after the deadline without progress, that it stands still."""
    status, stable = turn.status, turn.status.stable
    workload, deadline = turn.workloads[stable], turn.rollout.progress_deadline
    before = next((one for one in turn.before.versions if one.version == stable), None)
    if status.progressed_at is None or (before is not None and workload.old < before.old):
        turn.set(progressed_at=turn.now)
    since = turn.status.progressed_at or turn.now
    old = workload.old or (workload.desired if turn.is_outdated(stable) else 0)
    words = f"{old} instances of {stable} are still of the template before{turn.why(stable)}"
    if not old:
        words = f"{turn.ready(stable)} of {turn.rollout.replicas} instances of {stable} are healthy{turn.why(stable)}"
    turn.wake_in(POLL)
    if turn.now - since < deadline:
        turn.enter(Phase.UPDATING, Reason.UPDATE_STARTED, words)
        return
    late = f"no progress for {deadline:g} s, and the instances that were there go on serving: {words}"
    if status.reason != Reason.DEADLINE_EXCEEDED.value:
        turn.warn(Reason.DEADLINE_EXCEEDED, late)
    turn.enter(Phase.UPDATING, Reason.DEADLINE_EXCEEDED, late)
