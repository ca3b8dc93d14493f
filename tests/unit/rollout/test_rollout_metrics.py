"""The series of rollouts: what an alert on one that is stuck, paused, refused or forgotten goes by."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from meshwright.rollout.api.vocabulary import Phase
from meshwright.rollout.metrics import RolloutMetrics
from meshwright.rollout.reconciler import Reconciler
from support.kubernetes.rollouts import START, document, rollout, stable_world
from support.waiting import eventually

if TYPE_CHECKING:
    from meshwright.rollout.api.status import RolloutStatus
    from support.kubernetes.rollouts import World

NAMES = {"namespace": "shop", "rollout": "user"}


@dataclass
class Page:
    """A page, and what time it is there."""

    now: float = START
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        self.metrics = RolloutMetrics(self.registry, lambda: self.now)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"meshwright_rollout_{name}", NAMES | labels)

    def follow(self, world: World, seconds: float) -> None:
        """Pass after pass, each noted."""
        end = world.now + seconds
        while world.now < end:
            before = world.status
            world.step()
            self.now = world.now
            self.metrics.record(world.asked, before, world.status)
            world.now += 1
            world.settle_instances()


def test_a_rollout_that_is_paused_says_since_when_and_a_restart_does_not_set_that_back() -> None:
    world = stable_world(steps=[{"setWeight": 20}, {"pause": {}}])
    world.ask("2.0.0")
    page = Page()
    page.follow(world, 20)
    assert world.status.phase is Phase.PAUSED
    assert page.value("phase", phase="Paused") == 1
    assert page.value("since_timestamp_seconds") == world.status.paused_at
    assert page.value("last_pass_timestamp_seconds") == page.now
    restarted = Page()
    restarted.follow(world, 5)
    assert restarted.value("since_timestamp_seconds") == world.status.paused_at


def test_a_step_that_lasts_says_since_when() -> None:
    world = stable_world(steps=[{"setWeight": 20}, {"setWeight": 50}])
    world.dead = {"2.0.0"}
    world.ask("2.0.0")
    page = Page()
    page.follow(world, 30)
    assert page.value("phase", phase="Progressing") == 1
    assert page.value("since_timestamp_seconds") == world.status.step_started_at


def test_what_a_rollout_is_about_is_one_series_at_any_time() -> None:
    world = stable_world()
    world.ask("2.0.0")
    page = Page()
    page.follow(world, 40)
    (info,) = [
        sample.labels
        for metric in page.registry.collect()
        for sample in metric.samples
        if sample.name == "meshwright_rollout_info"
    ]
    assert info == {**NAMES, "service": "user", "stable": "2.0.0", "target": "2.0.0", "reason": world.status.reason}


def test_a_rollout_that_is_gone_leaves_no_gauge() -> None:
    page = Page()
    page.follow(stable_world(), 3)
    page.metrics.forget("shop", "user")
    names = {sample.name for metric in page.registry.collect() for sample in metric.samples}
    assert names == set()


async def test_a_resource_that_is_not_valid_is_in_the_phase_invalid_until_it_is_mended() -> None:
    page = Page()

    async def write(_: RolloutStatus) -> bool:
        return True

    class NoEngine:
        pass

    bad = document()
    bad["spec"]["replicas"] = "three"
    reconciler = Reconciler(NoEngine(), bad, write, page.metrics)  # type: ignore[arg-type]
    running = asyncio.create_task(reconciler.run())
    await eventually(lambda: page.value("phase", phase="Invalid") is not None)
    running.cancel()
    assert page.value("phase", phase="Invalid") == 1
    page.metrics.record(rollout(), reconciler.status, stable_world().status)
    assert page.value("phase", phase="Invalid") == 0
    page.metrics.forget("shop", "user")
    assert page.value("since_timestamp_seconds") is None
