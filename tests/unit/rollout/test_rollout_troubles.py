"""Why a version does not come up is said where people look: the message, a condition, an Event; and once."""

from __future__ import annotations

from meshwright.rollout.api.observed import Trouble
from meshwright.rollout.api.vocabulary import ConditionType, Phase
from meshwright.rollout.reconcile.decide import versions_to_explain
from support.kubernetes.rollouts import World, rollout, stable_world

IMAGE = Trouble("Pod user-2-0-0-x, container user", "ErrImagePull", "image user:nowhere: not found")


def test_a_canary_that_cannot_pull_its_image_says_so_in_message_condition_event_and_abort() -> None:
    world = stable_world(progressDeadlineSeconds=20)
    world.dead.add("2.0.0")
    world.troubles["2.0.0"] = (IMAGE,)
    world.ask("2.0.0")
    world.run(10)
    assert (world.status.phase, world.weights) == (Phase.PROGRESSING, {"1.0.0": 100})
    assert str(IMAGE) in world.status.message
    condition = world.status.condition(ConditionType.INSTANCES)
    assert condition
    assert (condition.status, condition.reason) == (False, "ErrImagePull")
    assert "Pod user-2-0-0-x" in condition.message
    world.run(30)
    assert world.status.phase is Phase.ABORTED
    assert str(IMAGE) in world.status.message
    assert world.reasons().count("ErrImagePull") == 1


def test_a_first_version_that_crashes_says_so_instead_of_initializing() -> None:
    crash = Trouble("Pod user-1-0-0-x, container user", "CrashLoopBackOff", "it exited with code 3: no such table")
    world = World(rollout("1.0.0", progressDeadlineSeconds=20), dead={"1.0.0"}, troubles={"1.0.0": (crash,)})
    world.run(10)
    assert world.status.phase is Phase.INITIALIZING
    assert "it exited with code 3: no such table" in world.status.message
    world.run(30)
    assert "no progress for 20 s" in world.status.message
    assert "it exited with code 3: no such table" in world.status.message
    again = Trouble("Pod user-1-0-0-y, container user", "CrashLoopBackOff", "it exited with code 3, restarted 4 times")
    world.troubles["1.0.0"] = (again,)
    world.run(5)
    assert world.reasons().count("CrashLoopBackOff") == 1, "the same reason is no news"
    assert "restarted 4 times" in world.status.message


def test_what_is_mended_leaves_no_trouble_behind() -> None:
    world = World(rollout("1.0.0"), dead={"1.0.0"}, troubles={"1.0.0": (IMAGE,)}).run(5)
    world.dead.clear()
    world.troubles.clear()
    world.run(5)
    condition = world.status.condition(ConditionType.INSTANCES)
    assert condition
    assert (world.status.phase, world.status.troubles, condition.status) == (Phase.HEALTHY, (), True)


def test_only_versions_that_lack_instances_are_asked_about() -> None:
    world = stable_world(steps=[{"setWeight": 50}, {"pause": {}}], progressDeadlineSeconds=20)
    assert versions_to_explain(world.asked, world.status, world.observe()) == ()
    world.ask("2.0.0")
    assert versions_to_explain(world.asked, world.status, world.observe()) == ("2.0.0",)
    world.run(10)
    assert versions_to_explain(world.asked, world.status, world.observe()) == ()
    world.healthy["1.0.0"] = 3
    assert versions_to_explain(world.asked, world.status, world.observe()) == ("1.0.0",)
    world.healthy["1.0.0"] = 4
    world.ask("3.0.0")
    world.dead.add("3.0.0")
    world.run(60)
    assert world.status.phase is Phase.ABORTED
    assert versions_to_explain(world.asked, world.status, world.observe()) == (), (
        "nobody asks about a version that was refused"
    )
