"""One pass over the ports: sides that are away, actions that fail, announcements that get lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from meshwright.errors import MeshwrightError, UnreachableError, ValidationError
from meshwright.rollout.api.observed import (
    ApiUse,
    Explanation,
    Measurement,
    MetricQuery,
    TrafficState,
    Trouble,
    Workload,
)
from meshwright.rollout.api.parsing import parse
from meshwright.rollout.api.status import RolloutStatus
from meshwright.rollout.api.vocabulary import Phase, Reason
from meshwright.rollout.engine import AGAIN, Engine
from meshwright.rollout.reconcile.decision import DeleteVersion, EnsureVersion, ReleaseTraffic, ScaleVersion, SetTraffic
from support.kubernetes.rollouts import START, World, document, rollout, stable_world

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from meshwright.rollout.api.routing import Routing
    from meshwright.rollout.api.spec import Rollout


class Ports:
    """All four over one simulated world; what is in `broken` raises."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.broken: dict[str, Exception] = {}
        self.told: list[Any] = []

    def _may(self, name: str) -> None:
        if name in self.broken:
            raise self.broken[name]


class FakeWorkloads(Ports):
    async def observe(self, rollout: Rollout) -> Mapping[str, Workload]:
        self._may("workloads")
        return dict(self.world.observe().workloads or {})

    async def version(self, rollout: Rollout) -> str:
        self._may("version")
        return self.world.said

    async def template(self, rollout: Rollout) -> str:
        self._may("template")
        return self.world.template

    async def explain(self, rollout: Rollout, versions: Sequence[str]) -> Explanation:
        self._may("explain")
        self.told.append(tuple(versions))
        return Explanation(self.world.troubles, self.world.addresses)

    async def ensure(self, rollout: Rollout, version: str, replicas: int) -> None:
        self._may("ensure")
        self.world.act(EnsureVersion(version, replicas))

    async def scale(self, rollout: Rollout, version: str, replicas: int) -> None:
        self.world.act(ScaleVersion(version, replicas))

    async def delete(self, rollout: Rollout, version: str) -> None:
        self.world.act(DeleteVersion(version))


class FakeTraffic(Ports):
    async def observe(self, rollout: Rollout) -> TrafficState:
        self._may("traffic")
        return TrafficState(dict(self.world.healthy), self.world.routing)

    async def explain(self, rollout: Rollout, version: str, addresses: Sequence[str]) -> tuple[Trouble, ...]:
        self.told.append((version, *addresses))
        return (Trouble("instance x", "NotRegistered"),)

    async def route(self, rollout: Rollout, routing: Routing) -> None:
        self._may("route")
        self.world.act(SetTraffic(routing))

    async def release(self, rollout: Rollout) -> None:
        self._may("release")
        self.world.act(ReleaseTraffic())


class FakeMetricSource(Ports):
    async def measure(self, rollout: Rollout, metric_queries: Sequence[MetricQuery]) -> tuple[Measurement, ...]:
        self._may("measure")
        return tuple(map(self.world.answer, metric_queries))

    async def callers(self, rollout: Rollout, apis: Sequence[str], seconds: float) -> tuple[ApiUse, ...] | None:
        self._may("callers")
        self.told.append((tuple(apis), seconds))
        return self.world.callers


class FakeEventRecorder(Ports):
    async def events(self, rollout: Rollout, events: Sequence[Any]) -> None:
        self._may("announce")
        self.told += events

    async def spans(self, rollout: Rollout, spans: Sequence[Any]) -> None:
        self.told += spans


class Shell:
    """A shell that keeps the status in memory."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.workloads, self.traffic = FakeWorkloads(world), FakeTraffic(world)
        self.measurements, self.recorder = FakeMetricSource(world), FakeEventRecorder(world)
        self.engine = Engine(self.workloads, self.traffic, self.measurements, self.recorder)

    async def one_pass(self) -> Any:
        outcome = await self.engine.reconcile(self.world.asked, self.world.status, self.world.now)
        self.world.status = outcome.status
        await self.engine.publish(self.world.asked, outcome)
        self.world.now += outcome.requeue_after or 1.0
        self.world.settle_instances()
        return outcome

    async def passes(self, count: int) -> Any:
        for _ in range(count):
            outcome = await self.one_pass()
        return outcome


async def test_a_rollout_goes_from_nothing_to_promoted_over_the_ports() -> None:
    shell = Shell(World(rollout("1.0.0", steps=[{"setWeight": 50}, {"analysis": {"count": 2}}])))
    await shell.passes(6)
    shell.world.ask("2.0.0")
    await shell.passes(30)
    assert (shell.world.status.phase, shell.world.status.stable) == (Phase.HEALTHY, "2.0.0")
    reasons = [told.reason for told in shell.recorder.told if hasattr(told, "reason")]
    assert Reason.PROMOTED.value in reasons
    assert any(hasattr(told, "span_id") for told in shell.recorder.told)


async def test_a_side_that_is_away_is_reported_and_nothing_is_done() -> None:
    shell = Shell(stable_world())
    shell.world.ask("2.0.0")
    for port, name in ((shell.traffic, "traffic"), (shell.workloads, "workloads")):
        port.broken[name] = UnreachableError("away")
        outcome = await shell.one_pass()
        assert [failure.what for failure in outcome.failures] == [f"observing {name}"]
        assert (outcome.decision.actions, outcome.requeue_after) == ((), AGAIN)
        port.broken.clear()


async def test_after_an_action_that_failed_the_later_ones_wait() -> None:
    shell = Shell(stable_world(steps=[{"setWeight": 50}]))
    shell.world.desired["1.0.0"] = 1
    shell.world.routing = None
    shell.workloads.broken["ensure"] = MeshwrightError("no quota")
    outcome = await shell.one_pass()
    assert [failure.what for failure in outcome.failures] == ["EnsureVersion"]
    assert shell.world.routing is None
    shell.workloads.broken.clear()
    await shell.one_pass()
    assert (shell.world.desired["1.0.0"], shell.world.weights) == (4, {"1.0.0": 100})


async def test_unavailable_metrics_are_inconclusive() -> None:
    shell = Shell(stable_world(steps=[{"setWeight": 50}, {"pause": {}}], analysis={"inconclusiveLimit": 2}))
    shell.world.ask("2.0.0")
    shell.measurements.broken["measure"] = UnreachableError("away")
    await shell.passes(30)
    assert (shell.world.status.phase, shell.world.status.reason) == (Phase.PAUSED, Reason.INCONCLUSIVE.value)


async def test_callers_are_asked_for_only_when_an_api_goes_away() -> None:
    apis = [{"name": "demo.user.v1", "servedBy": ["1.*"]}]
    shell = Shell(stable_world(apis=apis))
    await shell.one_pass()
    assert shell.measurements.told == []
    shell.world.ask("2.0.0")
    shell.measurements.broken["callers"] = UnreachableError("away")
    await shell.passes(5)
    assert shell.world.weights == {"1.0.0": 100}, "unknown callers are not no callers"
    shell.measurements.broken.clear()
    await shell.one_pass()
    assert shell.measurements.told == [(("demo.user.v1",), 30.0)]


async def test_a_lost_announcement_stops_nothing() -> None:
    shell = Shell(World(rollout("1.0.0")))
    shell.recorder.broken["announce"] = MeshwrightError("no events today")
    await shell.passes(6)
    assert shell.world.status.phase is Phase.HEALTHY


async def test_leaving_releases_the_traffic_and_says_when_it_could_not() -> None:
    shell = Shell(stable_world())
    shell.traffic.broken["release"] = UnreachableError("away")
    outcome = await shell.engine.finalize(shell.world.asked, shell.world.status)
    assert [failure.what for failure in outcome.failures] == ["ReleaseTraffic"]
    assert outcome.requeue_after == AGAIN
    shell.traffic.broken.clear()
    await shell.engine.finalize(shell.world.asked, shell.world.status)
    assert shell.world.routing is None


async def test_a_fresh_status_is_where_everything_begins() -> None:
    shell = Shell(World(rollout("1.0.0"), status=RolloutStatus(), now=START))
    outcome = await shell.one_pass()
    assert outcome.status.phase is Phase.INITIALIZING
    assert outcome.failures == ()


async def test_a_version_without_instances_is_explained_by_its_workload_and_else_by_consul() -> None:
    shell = Shell(stable_world(steps=[{"setWeight": 50}]))
    shell.world.dead.add("2.0.0")
    shell.world.ask("2.0.0")
    shell.world.troubles["2.0.0"] = (Trouble("Pod x", "ErrImagePull"),)
    shell.world.addresses["2.0.0"] = ("10.0.0.7",)
    await shell.passes(3)
    assert [one.reason for one in shell.world.status.troubles] == ["ErrImagePull"]
    assert shell.traffic.told == []
    shell.world.troubles.clear()
    await shell.passes(1)
    assert shell.traffic.told == [("2.0.0", "10.0.0.7")]
    assert [one.reason for one in shell.world.status.troubles] == ["NotRegistered"]


async def test_an_unavailable_explanation_stops_nothing() -> None:
    shell = Shell(stable_world())
    shell.world.desired["1.0.0"] = 1
    shell.workloads.broken["explain"] = UnreachableError("away")
    shell.world.healthy["1.0.0"] = 0
    outcome = await shell.one_pass()
    assert [failure.what for failure in outcome.failures] == ["finding out why"]
    assert shell.world.desired["1.0.0"] == 4


async def test_a_version_that_is_left_out_is_what_the_workload_says() -> None:
    reference = {"workloadRef": {"name": "web"}, "template": None}
    spec = {key: value for key, value in document("1.0.0", **reference)["spec"].items() if value is not None}
    del spec["version"]
    asked = parse({**document(), "spec": spec})
    assert asked.version == ""
    shell = Shell(World(asked, said="2.0.0"))
    assert (await shell.engine.resolve(asked, RolloutStatus())).version == "2.0.0"
    shell.world.said = ""
    assert (await shell.engine.resolve(asked, RolloutStatus(target="1.0.0"))).version == "1.0.0", (
        "it is gone: nothing changes"
    )
    with pytest.raises(ValidationError, match="no Deployment web in namespace shop"):
        await shell.engine.resolve(asked, RolloutStatus())
