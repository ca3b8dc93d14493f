"""Corrects changes of a version's workload by other clients, with growing delays for repeated ones.

A manual scaling is corrected at once. A controller (an autoscaler of the Deployment, another operator) would respond to
each correction with another change: after the third consecutive correction the delays grow, up to a minute, and each
correction's event names the delay. After ten minutes without a change the count restarts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshwright.rollout.api.status import Correction
from meshwright.rollout.api.vocabulary import Reason

if TYPE_CHECKING:
    from meshwright.rollout.api.observed import Workload
    from meshwright.rollout.reconcile.context import ReconcileContext

FREE = 3
"""Consecutive corrections without delay."""
FIRST, LONGEST = 5.0, 60.0
QUIET = 600.0
_NAMED = 5


def changed_by_others(context: ReconcileContext, workload: Workload, replicas: int) -> tuple[str, ...]:
    """The fields that differ from their last correct state."""
    before = next((one for one in context.before.versions if one.version == workload.version), None)
    listed = _listed(context, workload.version)
    was_right = before is not None and before.desired == replicas
    was_put_right = listed is not None and listed.replicas == replicas
    is_scaled = workload.keeps_count and workload.desired != replicas and (was_right or was_put_right)
    return (*((f"spec.replicas: {workload.desired}",) if is_scaled else ()), *workload.drift)


def is_due(context: ReconcileContext, version: str, drift: tuple[str, ...], replicas: int) -> bool:
    """Whether the drift is corrected in this pass; records the correction and its event."""
    if waits(context, version, replicas):
        return False
    count = (listed.count if (listed := _listed(context, version)) else 0) + 1
    others = tuple(one for one in context.status.corrections if one.version != version)
    correction = Correction(version, count, context.now, replicas)
    context.set(corrections=(*others, correction))
    named = ", ".join(drift[:_NAMED]) + (f" and {len(drift) - _NAMED} more" if len(drift) > _NAMED else "")
    words = f"the workload of {version} was changed by other clients and is corrected ({named})"
    if delay := _delay(count):
        words += f"; the {count}th time in a row, the next correction comes after {delay:g} s"
    context.warn(Reason.DRIFT, words)
    return True


def waits(context: ReconcileContext, version: str, replicas: int) -> bool:
    """Whether the next correction of the version is not due yet; a new desired number does not wait."""
    listed = _listed(context, version)
    if listed is None or listed.replicas != replicas:
        return False
    due = listed.at + _delay(listed.count)
    if context.now < due:
        context.wakes.append(due)
        return True
    return False


def forget(context: ReconcileContext) -> None:
    """Forget corrections older than `QUIET`."""
    context.set(corrections=tuple(one for one in context.status.corrections if context.now - one.at < QUIET))


def _listed(context: ReconcileContext, version: str) -> Correction | None:
    return next((one for one in context.status.corrections if one.version == version), None)


def _delay(count: int) -> float:
    """Seconds until the next correction after `count` ones; 0 for fewer than `FREE`."""
    return 0.0 if count < FREE else min(LONGEST, FIRST * 2.0 ** (count - FREE))
