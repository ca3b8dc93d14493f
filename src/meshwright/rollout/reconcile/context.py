"""The context of one pass: input, working status and results, shared by the parts of `decide`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from meshwright.rollout.api.observed import TrafficState
from meshwright.rollout.api.routing import WHOLE, HeaderRoute, Routing
from meshwright.rollout.api.vocabulary import EventType, Phase
from meshwright.rollout.reconcile import plan
from meshwright.rollout.reconcile.decision import Decision, Event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshwright.rollout.api.observed import Observed, Workload
    from meshwright.rollout.api.spec import Rollout, Step
    from meshwright.rollout.api.status import RolloutStatus
    from meshwright.rollout.api.vocabulary import Reason
    from meshwright.rollout.reconcile.decision import Action, FinishedSpan

ACTIVE = frozenset({Phase.PROGRESSING, Phase.PAUSED})
"""The phases with a canary in progress."""


@dataclass(slots=True)
class ReconcileContext:
    """One pass: what is given, and what it has decided so far. `now` is in seconds since 1970."""

    rollout: Rollout
    status: RolloutStatus
    observed: Observed
    now: float
    before: RolloutStatus
    """The status at the start of the pass."""
    actions: list[Action] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    spans: list[FinishedSpan] = field(default_factory=list)
    wakes: list[float] = field(default_factory=list)
    """Times at which the next pass is due."""

    def set(self, **changes: Any) -> None:
        self.status = replace(self.status, **changes)

    def enter(self, phase: Phase, reason: Reason, message: str) -> None:
        self.set(phase=phase, reason=reason.value, message=message)

    def record(self, reason: Reason, message: str, kind: EventType = EventType.NORMAL) -> None:
        self.events.append(Event(kind, reason.value, message))

    def warn(self, reason: Reason, message: str) -> None:
        self.record(reason, message, EventType.WARNING)

    def wake_in(self, seconds: float) -> None:
        self.wakes.append(self.now + seconds)

    def decision(self) -> Decision:
        wait = max(0.1, min(self.wakes) - self.now) if self.wakes else None
        return Decision(self.status, tuple(self.actions), tuple(self.events), tuple(self.spans), wait)

    @property
    def steps(self) -> tuple[Step, ...]:
        return plan.steps(self.rollout, skip=self.status.skip_steps)

    @property
    def traffic(self) -> TrafficState:
        return self.observed.traffic or TrafficState()

    @property
    def workloads(self) -> Mapping[str, Workload]:
        return self.observed.workloads or {}

    def healthy(self, version: str) -> int:
        """Passing instances of the version in Consul, of any workload."""
        return self.traffic.healthy.get(version, 0)

    def ready(self, version: str) -> int:
        """Healthy instances of the rollout's own workload.

        Consul identifies an instance by service and version only, and so also counts those of other workloads: the pods
        of the Deployment in `workloadRef`, until it is scaled to 0.
        """
        workload = self.workloads.get(version)
        return min(workload.running, self.healthy(version)) if workload is not None else 0

    @property
    def is_active(self) -> bool:
        return self.status.phase in ACTIVE

    @property
    def needed(self) -> int:
        """The target's desired instances: enough for its desired and its present weight."""
        present = self.traffic.routing.weight(self.status.target) if self.traffic.routing else 0
        return max(
            plan.instances(self.rollout, self.status.canary_scale, weight)
            for weight in (self.status.desired_weight, present)
        )

    @property
    def is_canary_ready(self) -> bool:
        return self.ready(self.status.target) >= self.needed and self.is_current(self.status.target)

    def is_outdated(self, version: str) -> bool:
        """Whether the version's requested template differs from that of its workload."""
        workload = self.workloads.get(version)
        asked = self.observed.template if version == self.rollout.version else ""
        return bool(workload is not None and asked and workload.template != asked)

    def is_current(self, version: str) -> bool:
        """Whether every instance of the version has the requested template."""
        workload = self.workloads.get(version)
        if workload is None:
            return True
        return workload.settled and not workload.old and not self.is_outdated(version)

    def cause_suffix(self, version: str) -> str:
        """The cause of missing instances, as the end of a message; empty where unknown."""
        found = self.observed.troubles.get(version, ())
        return f": {found[0]}" if found else ""

    @property
    def is_routing_applied(self) -> bool:
        """Whether Consul has the desired routing."""
        return self.status.routing is not None and self.traffic.routing == self.status.routing

    @property
    def is_canary_routed(self) -> bool:
        return self.traffic.routing is not None and self.status.target in self.traffic.routing.versions


def with_weight(stable: str, target: str, weight: int, routes: tuple[HeaderRoute, ...]) -> Routing:
    """A routing with `weight` per cent to the target and the rest to the stable version."""
    shares = {stable: WHOLE - weight, target: weight}
    return Routing({version: share for version, share in shares.items() if share}, routes)


def attainable_routing(routing: Routing, healthy: Mapping[str, int], stable: str) -> Routing | None:
    """The part of `routing` that can be set now: only versions with a healthy instance get calls. None: nothing."""
    well = {version for version, count in healthy.items() if count}
    routes = tuple(route for route in routing.header_routes if route.version in well)
    if set(routing.weights) <= well:
        return Routing(routing.weights, routes)
    if stable in well:
        return Routing({stable: WHOLE}, routes)
    return None
