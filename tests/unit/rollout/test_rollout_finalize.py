"""A rollout that is deleted: versions end and rules go in such an order that no call meets what was kept from calls."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from meshwright.rollout.api.observed import Observed
from meshwright.rollout.api.routing import Routing
from meshwright.rollout.api.vocabulary import Phase
from meshwright.rollout.reconcile.decision import ReleaseTraffic, ScaleVersion, SetTraffic
from meshwright.rollout.reconcile.finalize import release, retire_others
from support.kubernetes.rollouts import World, rollout, stable_world

if TYPE_CHECKING:
    from meshwright.rollout.reconcile.decision import Action


def under_way(**spec: object) -> World:
    """1.0.0 is stable, 2.0.0 is at 20 %."""
    world = stable_world(**spec)
    world.ask("2.0.0")
    world.run(5)
    assert world.weights == {"1.0.0": 80, "2.0.0": 20}
    return world


@pytest.mark.parametrize("policy", ["Restore", "Leave"])
def test_deletion_restores_or_leaves(policy: str) -> None:
    world = stable_world(onDelete=policy)
    expected = (ReleaseTraffic(),) if policy == "Restore" else ()
    assert step(world) == ((), "")
    assert release(world.asked, world.status).actions == expected


def step(world: World, seen: Observed | None = None) -> tuple[tuple[Action, ...], str]:
    """The actions of one step, which the world obeys, and what is waited for."""
    decision, waiting = retire_others(world.asked, world.status, seen or world.observe())
    assert decision.status == world.status
    for action in decision.actions:
        world.act(action)
    return decision.actions, waiting


def test_calls_go_to_the_stable_version_before_the_others_end_and_the_rules_stay_until_they_are_gone() -> None:
    world = under_way()
    actions, waiting = step(world)
    assert actions == (SetTraffic(Routing.all_to("1.0.0")),)
    assert "2.0.0" in waiting
    actions, waiting = step(world)
    assert actions == (ScaleVersion("2.0.0", 0),)
    assert "2.0.0" in waiting
    world.healthy["2.0.0"] = 1  # Consul has one of them still
    actions, waiting = step(world)
    assert (actions, "2.0.0" in waiting) == ((), True)
    world.healthy["2.0.0"] = 0
    assert step(world) == ((), "")


def test_a_version_that_was_aborted_is_not_given_calls_by_the_deletion() -> None:
    world = stable_world()
    world.bad.add("2.0.0")
    world.ask("2.0.0")
    world.run(30)
    assert world.status.phase is Phase.ABORTED
    assert world.desired["2.0.0"], "its grace is not over"
    actions, waiting = step(world)
    assert actions == (ScaleVersion("2.0.0", 0),)
    assert waiting


def test_what_is_left_as_it_is_has_nothing_ended() -> None:
    assert step(under_way(onDelete="Leave")) == ((), "")


def test_the_only_version_that_answers_stays() -> None:
    world = under_way()
    world.healthy["1.0.0"] = 0
    assert step(world) == ((), "")
    assert step(World(rollout("1.0.0"))) == ((), "")


def test_nothing_is_ended_blindly() -> None:
    world = under_way()
    seen = world.observe()
    for blind in (replace(seen, traffic=None), replace(seen, workloads=None), Observed()):
        actions, waiting = step(world, blind)
        assert actions == ()
        assert waiting
