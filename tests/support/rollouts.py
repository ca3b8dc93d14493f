"""A world for rollouts: workloads, Consul and callers, simulated; time passes when told to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from meshwright.errors import UnreachableError
from meshwright.rollout.api.observed import ApiUse, Measurement, MetricQuery, Observed, TrafficState, Trouble, Workload
from meshwright.rollout.api.parsing import parse
from meshwright.rollout.api.status import RolloutStatus
from meshwright.rollout.api.status_document import read, write
from meshwright.rollout.api.vocabulary import MetricKind
from meshwright.rollout.reconcile.decide import decide, metric_queries
from meshwright.rollout.reconcile.decision import (
    Decision,
    DeleteVersion,
    EnsureVersion,
    Event,
    FinishedSpan,
    ReleaseTraffic,
    ScaleVersion,
    SetTraffic,
)

if TYPE_CHECKING:
    from meshwright.rollout.api.routing import Routing
    from meshwright.rollout.api.spec import Rollout

START = 1_800_000_000.0
STEPS: list[dict[str, Any]] = [{"setWeight": 20}, {"pause": {"duration": "10s"}}, {"setWeight": 50}]


def document(version: str = "1.0.0", *, steps: list[dict[str, Any]] | None = None, **spec: Any) -> dict[str, Any]:
    """A resource; `steps` of a canary unless `spec` has a strategy."""
    strategy = {"canary": {"steps": STEPS if steps is None else steps, "scaleDownDelay": "30s"}}
    template = {"spec": {"containers": [{"name": "user", "image": "user"}]}}
    base = {"service": "user", "version": version, "replicas": 4, "template": template, "strategy": strategy}
    return {
        "apiVersion": "meshwright.dev/v1alpha1",
        "kind": "VersionedRollout",
        "metadata": {"name": "user", "namespace": "shop", "uid": "u-1", "generation": 1},
        "spec": base | spec,
    }


def rollout(version: str = "1.0.0", *, steps: list[dict[str, Any]] | None = None, **spec: Any) -> Rollout:
    return parse(document(version, steps=steps, **spec))


@dataclass
class World:
    """Obeys actions, starts instances as time passes, answers demands; `bad` versions fail, `dead` ones never start."""

    asked: Rollout
    status: RolloutStatus = field(default_factory=RolloutStatus)
    now: float = START
    desired: dict[str, int] = field(default_factory=dict)
    healthy: dict[str, int] = field(default_factory=dict)
    others: dict[str, int] = field(default_factory=dict)
    """By version: healthy instances that are not of the rollout's workloads, such as those of `workloadRef`."""
    routing: Routing | None = None
    bad: set[str] = field(default_factory=set)
    dead: set[str] = field(default_factory=set)
    consul_away: bool = False
    silent: bool = False
    """Nobody calls."""
    source_away: bool = False
    """Figures cannot be had."""
    template: str = ""
    """What the resource's template comes to."""
    templates: dict[str, str] = field(default_factory=dict)
    """By version: what its workload was told."""
    revisions: dict[str, int] = field(default_factory=dict)
    old: dict[str, int] = field(default_factory=dict)
    """By version: instances of an earlier template."""
    stuck: set[str] = field(default_factory=set)
    """Templates whose instances never become healthy."""
    drifted: dict[str, tuple[str, ...]] = field(default_factory=dict)
    troubles: dict[str, tuple[Trouble, ...]] = field(default_factory=dict)
    addresses: dict[str, tuple[str, ...]] = field(default_factory=dict)
    said: str = ""
    """The version that the referenced workload says."""
    callers: tuple[ApiUse, ...] | None = ()
    events: list[Event] = field(default_factory=list)
    spans: list[FinishedSpan] = field(default_factory=list)
    actions: list[Any] = field(default_factory=list)
    set_traffic: list[tuple[Routing, dict[str, int]]] = field(default_factory=list)

    def ask(self, version: str | None = None, **changes: Any) -> None:
        self.asked = replace(self.asked, version=version or self.asked.version, **changes)

    def observe(self) -> Observed:
        traffic = None if self.consul_away else TrafficState(self.registered, self.routing)
        workloads = {
            version: Workload(
                version,
                count,
                self.healthy.get(version, 0),
                template=self.templates.get(version, ""),
                revision=self.revisions.get(version, 0),
                old=self.old.get(version, 0),
                drift=self.drifted.get(version, ()),
            )
            for version, count in self.desired.items()
        }
        wanted = metric_queries(self.asked, self.status, self.now)
        answers = tuple(map(self.answer, wanted))
        return Observed(workloads, traffic, answers, self.callers, self.template, self.troubles)

    def answer(self, query: MetricQuery) -> Measurement:
        if self.source_away:
            return query.answer(None, error="the source is away")
        called = self.routing is not None and query.version in self.routing.versions
        if self.silent or not called or not self.healthy.get(query.version):
            return query.answer(None, calls=0.0)
        is_bad = query.version in self.bad
        if query.metric.kind is MetricKind.SUCCESS_RATE:
            return query.answer(0.0 if is_bad else 1.0, calls=100.0)
        return query.answer(5.0 if is_bad else 0.1, calls=100.0)

    def decide(self) -> Decision:
        return decide(self.asked, self.status, self.observe(), self.now)

    def act(self, action: Any) -> None:
        self.actions.append(action)
        match action:
            case EnsureVersion():
                self._ensure(action)
            case ScaleVersion() if action.version in self.desired:
                self.desired[action.version] = action.replicas
            case DeleteVersion():
                self.desired.pop(action.version, None)
            case SetTraffic():
                self.set_traffic.append((action.routing, dict(self.healthy)))
                self.routing = action.routing
            case ReleaseTraffic():
                self.routing = None

    def _ensure(self, action: EnsureVersion) -> None:
        version = action.version
        is_new = version not in self.desired
        self.desired[version] = action.replicas
        self.drifted.pop(version, None)
        if version == self.asked.version and self.template and (is_new or not self.asked.paused):
            if self.templates.get(version) != self.template:
                self.revisions[version] = self.revisions.get(version, 0) + 1
                self.old[version] = self.healthy.get(version, 0)
            self.templates[version] = self.template

    def step(self, *, done: int | None = None, writes: bool = True) -> Decision:
        """One pass. A crash: only `done` actions happen, and the status is not written."""
        decision = self.decide()
        for action in decision.actions[:done]:
            if self.consul_away and isinstance(action, SetTraffic):
                raise UnreachableError("Consul is away")
            self.act(action)
        if writes:
            self.status = read(write(decision.status))
            assert self.status == decision.status, "a status survives its JSON"
            self.events += decision.events
            self.spans += decision.spans
        return decision

    def settle_instances(self) -> None:
        """What was asked to run runs, or is gone."""
        for version in set(self.desired) | set(self.healthy):
            wanted = self.desired.get(version, 0)
            is_stuck = version in self.dead or self.templates.get(version) in self.stuck
            if is_stuck and self.old.get(version) and version not in self.dead:
                continue  # those of the template before go on
            self.healthy[version] = 0 if is_stuck else wanted
            self.old[version] = 0

    def run(self, seconds: float) -> World:
        """Pass after pass, as the decisions ask for it."""
        end = self.now + seconds
        while self.now < end:
            decision = self.step()
            assert decision.requeue_after is not None
            self.now = round(self.now + min(decision.requeue_after, 1.0), 3)
            self.settle_instances()
        return self

    @property
    def registered(self) -> dict[str, int]:
        """By version: what Consul has as healthy."""
        return dict(Counter(self.healthy) + Counter(self.others))

    @property
    def weights(self) -> dict[str, int]:
        return dict(self.routing.weights) if self.routing else {}

    def reasons(self) -> list[str]:
        return [event.reason for event in self.events]


def stable_world(version: str = "1.0.0", **spec: Any) -> World:
    """A world in which `version` is stable."""
    world = World(rollout(version, **spec)).run(10)
    assert world.status.stable == version
    world.events.clear()
    world.actions.clear()
    world.spans.clear()
    return world
