"""One pass of a rollout: observe, decide, act. The shell writes the status, then has the engine announce.

    outcome = await engine.step(rollout, status, time.time())
    write(outcome.status)                       # once; when it fails, the next pass decides again from the old status
    await engine.announce(rollout, outcome)     # events and spans follow the write
    look again after outcome.requeue_after seconds, or when the resource, a workload or Consul changes

A side that cannot be reached leaves its part of `Observed` unknown, and an action that fails is reported in
`failures` and tried again in the next pass: actions are idempotent, and status says what is meant, not what was done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshwright.rollout.decision import Decision
    from meshwright.rollout.ports import Announcer, Measurements, Traffic, Workloads
    from meshwright.rollout.spec import Rollout
    from meshwright.rollout.status import Status


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that did not work in a pass: observing a side, or an action."""

    what: str
    error: Exception


@dataclass(frozen=True, slots=True)
class Outcome:
    """One pass."""

    decision: Decision
    failures: tuple[Failure, ...] = ()

    @property
    def status(self) -> Status:
        """To be written, if it differs from the status that the pass began with."""
        return self.decision.status

    @property
    def requeue_after(self) -> float | None:
        """Seconds until the next pass; soon, where something failed."""
        raise NotImplementedError


class Engine:
    """The ports, and what one does with them. It holds no state: one engine serves any number of rollouts."""

    def __init__(
        self, workloads: Workloads, traffic: Traffic, measurements: Measurements, announcer: Announcer
    ) -> None:
        self._workloads = workloads
        self._traffic = traffic
        self._measurements = measurements
        self._announcer = announcer

    async def step(self, rollout: Rollout, status: Status, now: float) -> Outcome:
        """Observe, decide and act once. Raises nothing for sides that are away."""
        raise NotImplementedError(rollout, status, now)

    async def announce(self, rollout: Rollout, outcome: Outcome) -> None:
        """Tell events and spans, after the status was written."""
        raise NotImplementedError(rollout, outcome)

    async def leave(self, rollout: Rollout, status: Status) -> Outcome:
        """The resource is being deleted: restore or leave the traffic rules."""
        raise NotImplementedError(rollout, status)
