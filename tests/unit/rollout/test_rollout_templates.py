"""A new template at one version: a rolling update, in every phase, and what becomes of one that does not come up."""

from __future__ import annotations

from dataclasses import replace

from meshwright.rollout.api.spec import Command
from meshwright.rollout.api.vocabulary import CommandName, ConditionType, Phase, Reason
from meshwright.rollout.reconcile.decision import EnsureVersion
from support.kubernetes.rollouts import World, rollout

HALF = [{"setWeight": 50}, {"pause": {}}]


def served(**spec: object) -> World:
    """A world whose stable version is of the template `a`."""
    world = World(rollout("1.0.0", steps=HALF, **spec), template="a").run(10)
    assert (world.status.phase, world.status.revision, world.status.template) == (Phase.HEALTHY, 1, "a")
    world.events.clear()
    world.actions.clear()
    return world


def holds(world: World, kind: ConditionType) -> bool:
    condition = world.status.condition(kind)
    assert condition
    return condition.status


def test_a_new_template_at_the_stable_version_is_a_rolling_update_that_status_tells() -> None:
    world = served()
    world.template = "b"
    world.asked = replace(world.asked, generation=2)
    world.step()
    assert (world.status.phase, world.status.observed_generation) == (Phase.UPDATING, 2)
    assert not holds(world, ConditionType.CURRENT)
    assert not holds(world, ConditionType.PROMOTED)
    assert holds(world, ConditionType.PROGRESSING)
    assert world.actions == [EnsureVersion("1.0.0", 4)]
    world.step()
    assert world.status.phase is Phase.UPDATING, "the instances of the template before are still there"
    world.run(5)
    assert (world.status.phase, world.status.revision) == (Phase.HEALTHY, 2)
    assert holds(world, ConditionType.CURRENT)
    assert holds(world, ConditionType.PROMOTED)
    assert world.reasons() == ["UpdateStarted", "Updated"]
    assert world.weights == {"1.0.0": 100}


def test_an_update_that_does_not_come_up_is_reported_and_harms_no_call() -> None:
    world = served(progressDeadlineSeconds=20)
    world.stuck.add("b")
    world.template = "b"
    world.run(60)
    assert (world.status.phase, world.status.reason) == (Phase.UPDATING, Reason.DEADLINE_EXCEEDED.value)
    assert "no progress for 20 s" in world.status.message
    assert not holds(world, ConditionType.PROGRESSING)
    assert holds(world, ConditionType.AVAILABLE)
    assert world.reasons().count(Reason.DEADLINE_EXCEEDED.value) == 1
    assert (world.weights, world.healthy["1.0.0"]) == ({"1.0.0": 100}, 4)
    world.template = "c"
    world.run(5)
    assert (world.status.phase, world.status.revision) == (Phase.HEALTHY, 3)


def test_an_update_under_way_gives_way_to_another_version() -> None:
    world = served()
    world.stuck.add("b")
    world.template = "b"
    world.run(5)
    world.template = "of 2"
    world.ask("2.0.0")
    world.run(10)
    assert (world.status.phase, world.weights) == (Phase.PAUSED, {"1.0.0": 50, "2.0.0": 50})
    assert world.templates == {"1.0.0": "b", "2.0.0": "of 2"}, "what is not asked for keeps its template"


def test_a_paused_rollout_takes_up_a_new_template_when_it_goes_on() -> None:
    world = served()
    world.ask(paused=True)
    world.template = "b"
    world.run(10)
    assert (world.status.phase, world.status.reason) == (Phase.UPDATING, Reason.PAUSED_BY_SPEC.value)
    assert holds(world, ConditionType.PAUSED)
    assert (world.actions, world.templates) == ([], {"1.0.0": "a"})
    world.ask(paused=False)
    world.run(5)
    assert (world.status.phase, world.templates) == (Phase.HEALTHY, {"1.0.0": "b"})


def test_a_new_template_of_a_canary_walks_its_steps_again() -> None:
    world = served()
    world.template = "of 2"
    world.ask("2.0.0")
    world.run(10)
    assert (world.status.phase, world.weights) == (Phase.PAUSED, {"1.0.0": 50, "2.0.0": 50})
    world.template = "of 2, mended"
    world.step()
    assert (world.status.phase, world.weights) == (Phase.PROGRESSING, {"1.0.0": 100})
    world.run(10)
    assert (world.status.phase, world.weights) == (Phase.PAUSED, {"1.0.0": 50, "2.0.0": 50})
    assert Reason.STEPS_CHANGED.value in world.reasons()
    world.ask(command=Command(CommandName.PROMOTE, "a"))
    world.run(10)
    assert (world.status.stable, world.status.phase) == ("2.0.0", Phase.HEALTHY)


def test_calls_wait_until_no_instance_of_the_canary_is_of_the_template_before() -> None:
    world = served()
    world.template = "of 2"
    world.ask("2.0.0")
    world.run(10)
    world.stuck.add("of 2, broken")
    world.template = "of 2, broken"
    world.run(20)
    assert (world.status.phase, world.weights) == (Phase.PROGRESSING, {"1.0.0": 100})
    assert "template before" in world.status.message


def test_a_refused_version_is_tried_again_with_another_template() -> None:
    world = served(progressDeadlineSeconds=10)
    world.stuck.add("of 2, broken")
    world.template = "of 2, broken"
    world.ask("2.0.0")
    world.run(30)
    assert (world.status.phase, world.status.refused) == (Phase.ABORTED, "2.0.0")
    world.run(30)
    assert world.status.phase is Phase.ABORTED
    world.template = "of 2, mended"
    world.run(10)
    assert (world.status.phase, world.weights) == (Phase.PAUSED, {"1.0.0": 50, "2.0.0": 50})


def test_a_first_version_that_does_not_come_up_is_mended_by_another_template() -> None:
    world = World(rollout("1.0.0", progressDeadlineSeconds=10), template="a", stuck={"a"}).run(30)
    assert (world.status.phase, world.status.reason) == (Phase.INITIALIZING, Reason.DEADLINE_EXCEEDED.value)
    world.template = "b"
    world.run(5)
    assert (world.status.phase, world.status.stable) == (Phase.HEALTHY, "1.0.0")


def test_a_template_that_cannot_be_read_changes_nothing() -> None:
    world = served()
    world.template = ""
    world.run(10)
    assert (world.status.phase, world.actions, world.templates) == (Phase.HEALTHY, [], {"1.0.0": "a"})


def test_instances_that_are_restarted_by_hand_are_reported() -> None:
    world = served()
    world.old["1.0.0"] = 2
    world.step()
    assert world.status.phase is Phase.UPDATING
    world.run(5)
    assert world.status.phase is Phase.HEALTHY


def test_going_back_from_a_canary_updates_the_stable_version_where_its_template_is_another_now() -> None:
    world = served()
    world.template = "of 2"
    world.ask("2.0.0")
    world.run(10)
    world.ask("1.0.0")
    world.run(10)
    assert (world.status.phase, world.templates["1.0.0"]) == (Phase.HEALTHY, "of 2")
    world.step()
    assert holds(world, ConditionType.CURRENT)
