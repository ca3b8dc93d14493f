"""What others change of a version's workload is put back, told, and not fought over."""

from __future__ import annotations

from meshwright.rollout.api.vocabulary import Phase, Reason
from meshwright.rollout.reconcile.decision import EnsureVersion
from meshwright.rollout.reconcile.drift import LONGEST, QUIET
from support.kubernetes.rollouts import World, stable_world

FOO = ("spec.template.spec.containers[user].env[FOO]",)


def told(world: World) -> list[str]:
    return [event.message for event in world.events if event.reason == Reason.DRIFT.value]


def test_a_changed_field_is_put_back_at_once_and_named() -> None:
    world = stable_world()
    world.drifted["1.0.0"] = FOO
    world.run(3)
    assert world.actions == [EnsureVersion("1.0.0", 4)]
    (said,) = told(world)
    assert FOO[0] in said
    assert world.status.phase is Phase.HEALTHY


def test_the_stable_version_is_put_back_while_another_is_asked_for() -> None:
    world = stable_world(steps=[{"setWeight": 50}, {"pause": {}}])
    world.ask("2.0.0")
    world.run(10)
    world.actions.clear()
    world.drifted["1.0.0"] = FOO
    world.run(3)
    assert world.actions == [EnsureVersion("1.0.0", 4)]


def test_a_number_that_was_set_by_hand_is_reported_and_a_number_of_the_spec_is_not() -> None:
    world = stable_world()
    world.desired["1.0.0"] = 7
    world.run(3)
    (said,) = told(world)
    assert "spec.replicas: 7" in said
    world.ask(replicas=6)
    world.run(3)
    assert (world.desired, len(told(world))) == ({"1.0.0": 6}, 1)


def test_who_changes_it_again_and_again_is_answered_ever_more_slowly_and_aloud() -> None:
    world = stable_world()
    began = world.now
    while world.now < began + 300:
        world.desired["1.0.0"] = 9
        world.run(1)
    count = len(told(world))
    assert 5 <= count <= 12, "not once a second"
    assert f"after {LONGEST:g} s" in told(world)[-1]
    corrections = [action for action in world.actions if isinstance(action, EnsureVersion)]
    assert len(corrections) == count
    world.desired["1.0.0"] = 4
    world.run(QUIET + 1)
    assert world.status.corrections == ()
    world.desired["1.0.0"] = 9
    world.run(2)
    assert world.desired["1.0.0"] == 4


def test_a_number_of_the_spec_does_not_wait_for_a_fight_to_end() -> None:
    world = stable_world()
    for _ in range(8):
        world.desired["1.0.0"] = 9
        world.run(1)
    world.ask(replicas=2)
    world.run(2)
    assert world.desired["1.0.0"] == 2
