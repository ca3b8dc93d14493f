"""The state machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshwright.rollout.decision import Decision
    from meshwright.rollout.observed import Observed
    from meshwright.rollout.spec import Rollout
    from meshwright.rollout.status import Status


def decide(rollout: Rollout, status: Status, observed: Observed, now: float) -> Decision:
    """What to do about `rollout`, given what is remembered and what was seen at `now` (unix seconds)."""
    raise NotImplementedError(rollout, status, observed, now)


def farewell(rollout: Rollout, status: Status) -> Decision:
    """What to do when the resource is deleted (`onDelete`). Workloads are the shell's: owner references, processes."""
    raise NotImplementedError(rollout, status)
