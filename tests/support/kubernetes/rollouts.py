"""A world for rollouts: workloads, Consul and callers, simulated; and rollouts that must be refused.

Time passes when told to. A refused rollout comes with the field that the refusal names, on a laptop and by an API
server alike.
"""

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


def document(version: Any = "1.0.0", *, steps: list[dict[str, Any]] | None = None, **spec: Any) -> dict[str, Any]:
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
    """There are no calls."""
    source_away: bool = False
    """Metrics are unavailable."""
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


STEP = "spec.strategy.canary.steps[0]"
METRIC = "spec.analysis.metrics[0]"


def with_step(step: Any) -> dict[str, Any]:
    return document(steps=[step])


def with_metric(**metric: Any) -> dict[str, Any]:
    return document(analysis={"metrics": [{"name": "m", **metric}]})


def without(field: str) -> dict[str, Any]:
    found = document()
    del found["spec"][field]
    return found


def with_blue_green(**asked: Any) -> dict[str, Any]:
    return document(strategy={"blueGreen": asked})


def named(name: str) -> dict[str, Any]:
    found = document()
    found["metadata"]["name"] = name
    return found


BAD: list[tuple[str, dict[str, Any]]] = [
    ("spec.service", without("service")),
    ("spec.version", without("version")),
    ("spec.strategy", without("strategy")),
    ("spec", without("template")),
    ("spec", document(workloadRef={"name": "user"})),
    ("spec.service", document(service="User Service")),
    ("spec.version", document(version="-1")),
    ("spec.version", document(version=2.0)),
    ("spec.version", document(version="1" * 48)),
    ("spec.version", named("n" * 60)),
    ("metadata.name", named("Not-A-Label")),
    ("spec.replicas", document(replicas=0)),
    ("spec.replicas", document(replicas="3")),
    ("spec.paused", document(paused="yes")),
    ("spec.template.spec.containers", document(template={"spec": {"containers": []}})),
    ("spec.template.spec.containers", document(template={"spec": {}})),
    ("spec.workloadRef.kind", document(workloadRef={"name": "user", "kind": "StatefulSet"})),
    ("spec.strategy", document(strategy={})),
    ("spec.strategy", document(strategy={"canary": {}, "blueGreen": {}})),
    (STEP, with_step({})),
    (STEP, with_step({"setWeight": 5, "pause": {}})),
    (f"{STEP}.setWeight", with_step({"setWeight": 101})),
    (f"{STEP}.setWeight", with_step({"setWeight": -1})),
    (f"{STEP}.setweight", with_step({"setweight": 1})),
    (f"{STEP}.pause.duration", with_step({"pause": {"duration": "soon"}})),
    (f"{STEP}.pause.duration", with_step({"pause": {"duration": 30}})),
    (f"{STEP}.setCanaryScale", with_step({"setCanaryScale": {}})),
    (f"{STEP}.setCanaryScale", with_step({"setCanaryScale": {"replicas": 1, "weight": 10}})),
    (f"{STEP}.setCanaryScale.replicas", with_step({"setCanaryScale": {"replicas": 0}})),
    (f"{STEP}.setCanaryScale.matchTrafficWeight", with_step({"setCanaryScale": {"matchTrafficWeight": False}})),
    (f"{STEP}.setHeaderRoute.name", with_step({"setHeaderRoute": {"match": []}})),
    (
        f"{STEP}.setHeaderRoute.match[0]",
        with_step({"setHeaderRoute": {"name": "a", "match": [{"header": "x"}]}}),
    ),
    (
        f"{STEP}.setHeaderRoute.match[0]",
        with_step({"setHeaderRoute": {"name": "a", "match": [{"header": "x", "exact": "1", "regex": "1"}]}}),
    ),
    (
        f"{STEP}.setHeaderRoute.match[0].header",
        with_step({"setHeaderRoute": {"name": "a", "match": [{"header": "X-Upper", "exact": "1"}]}}),
    ),
    (
        f"{STEP}.setHeaderRoute.match[0].regex",
        with_step({"setHeaderRoute": {"name": "a", "match": [{"header": "x", "regex": "("}]}}),
    ),
    (f"{STEP}.analysis.source", with_step({"analysis": {"source": "scrape"}})),
    (f"{STEP}.analysis.count", with_step({"analysis": {"count": 0}})),
    (
        "spec.strategy.canary.steps",
        with_step({"analysis": {"metrics": [{"name": "q", "query": "up", "minimum": 1}]}}),
    ),
    ("spec.strategy.canary.scaleDownDelay", document(strategy={"canary": {"scaleDownDelay": "x"}})),
    ("spec.strategy.blueGreen.previewHeaderRoute.match", with_blue_green(previewHeaderRoute={})),
    ("spec.strategy.blueGreen.autoPromotion", with_blue_green(autoPromotion=1)),
    (
        "spec.strategy.blueGreen.prePromotionAnalysis",
        with_blue_green(prePromotionAnalysis={"metrics": [{"name": "q", "query": "up", "minimum": 1}]}),
    ),
    (
        "spec.strategy.blueGreen.postPromotionAnalysis",
        with_blue_green(postPromotionAnalysis={"metrics": [{"name": "q", "query": "up", "minimum": 1}]}),
    ),
    ("spec.analysis.interval", document(analysis={"interval": "500ms"})),
    ("spec.analysis.window", document(analysis={"interval": "1m", "window": "10s"})),
    ("spec.analysis.failureLimit", document(analysis={"failureLimit": -1})),
    ("spec.analysis.source", document(analysis={"source": "datadog"})),
    ("spec.analysis.prometheus", document(analysis={"source": "prometheus"})),
    ("spec.analysis.prometheus.address", document(analysis={"prometheus": {"address": "prometheus:9090"}})),
    ("spec.analysis.metrics", document(analysis={"metrics": []})),
    ("spec.analysis.metrics", with_metric(query="up", minimum=1)),
    (METRIC, with_metric(minimum=1)),
    (METRIC, with_metric(successRate={}, latency={}, minimum=1)),
    (METRIC, with_metric(successRate={})),
    (f"{METRIC}.minimum", with_metric(successRate={}, minimum=2, maximum=1)),
    (f"{METRIC}.latency.quantile", with_metric(latency={"quantile": 1}, maximum=1)),
    (f"{METRIC}.higherIsBetter", with_metric(latency={}, maximum=1, higherIsBetter=True)),
    (f"{METRIC}.againstStable.tolerance", with_metric(latency={}, againstStable={"tolerance": -1})),
    (f"{METRIC}.successRate.failureCodes[0]", with_metric(successRate={"failureCodes": ["oops"]}, minimum=1)),
    (
        "spec.analysis.metrics[1].name",
        document(analysis={"metrics": [{"name": "a", "successRate": {}, "minimum": 1}] * 2}),
    ),
    ("spec.progressDeadlineSeconds", document(progressDeadlineSeconds=0)),
    ("spec.revisionHistoryLimit", document(revisionHistoryLimit=-1)),
    ("spec.rollbackWindow.revisions", document(rollbackWindow={})),
    ("spec.apis[0].servedBy", document(apis=[{"name": "a"}])),
    ("spec.apis[0].sunset", document(apis=[{"name": "a", "servedBy": ["1"], "sunset": "soon"}])),
    (
        "spec.apis[0].sunset",
        document(apis=[{"name": "a", "servedBy": ["1"], "deprecated": "2027-01-01", "sunset": "2026-01-01"}]),
    ),
    ("spec.apis[1].name", document(apis=[{"name": "a", "servedBy": ["1"]}] * 2)),
    ("spec.onDelete", document(onDelete="Explode")),
    ("spec.vresion", document(vresion="1")),
    ("apiVersion", document() | {"apiVersion": "meshwright.dev/v9"}),
    ("kind", document() | {"kind": "Rollout"}),
]
