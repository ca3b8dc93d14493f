"""Changes while a rollout is under way, and what becomes of what was reached."""

from __future__ import annotations

from typing import Any

from meshwright.errors import ValidationError, Violation
from meshwright.rollout.api.spec import Command
from meshwright.rollout.api.vocabulary import CommandName, Phase, Reason
from meshwright.rollout.reconcile.decision import ScaleVersion
from meshwright.rollout.reconciler import refused
from support.kubernetes.rollouts import World, rollout, stable_world

MATCH = [{"header": "x-tester", "exact": "yes"}]
HALF: list[dict[str, Any]] = [
    {"setCanaryScale": {"replicas": 3}},
    {"setHeaderRoute": {"name": "testers", "match": MATCH}},
    {"setWeight": 50},
    {"pause": {}},
]


def half_way(**spec: Any) -> World:
    world = stable_world(steps=HALF, **spec)
    world.ask("2.0.0")
    world.run(20)
    assert (world.status.phase, world.weights, world.desired["2.0.0"]) == (Phase.PAUSED, {"1.0.0": 50, "2.0.0": 50}, 3)
    assert world.routing
    assert world.routing.header_routes
    return world


def strategy(**asked: Any) -> Any:
    return rollout(strategy=asked).strategy


def canary(*steps: dict[str, Any]) -> Any:
    return strategy(canary={"steps": list(steps)})


def test_steps_that_begin_with_a_pause_take_the_calls_back_at_once() -> None:
    world = half_way()
    world.ask(strategy=canary({"pause": {}}, {"setWeight": 5}, {"pause": {}}))
    world.step()
    assert world.weights == {"1.0.0": 100}
    world.run(20)
    assert world.routing
    assert (world.weights, world.routing.header_routes, world.desired["2.0.0"]) == ({"1.0.0": 100}, (), 1)
    assert (world.status.phase, world.status.step) == (Phase.PAUSED, 0)
    assert Reason.STEPS_CHANGED.value in world.reasons()
    world.ask(command=Command(CommandName.PROMOTE, "a"))
    world.run(5)
    assert (world.status.phase, world.weights) == (Phase.PAUSED, {"1.0.0": 95, "2.0.0": 5})


def test_a_canary_that_becomes_blue_green_gets_no_ordinary_call_before_its_promotion() -> None:
    world = half_way()
    world.ask(strategy=strategy(blueGreen={"autoPromotion": False}))
    world.run(20)
    assert world.routing
    assert (world.weights, world.routing.header_routes, world.desired["2.0.0"]) == ({"1.0.0": 100}, (), 4)
    assert world.status.phase is Phase.PAUSED
    world.ask(command=Command(CommandName.PROMOTE, "a"))
    world.run(10)
    assert world.status.stable == "2.0.0"


def test_blue_green_that_becomes_a_canary_loses_its_preview() -> None:
    preview = {"autoPromotion": False, "previewHeaderRoute": {"match": MATCH}}
    world = stable_world(strategy={"blueGreen": preview})
    world.ask("2.0.0")
    world.run(20)
    assert world.routing
    assert world.routing.header_routes
    world.ask(strategy=canary({"setWeight": 25}, {"pause": {}}))
    world.run(20)
    assert world.routing
    assert (world.weights, world.routing.header_routes) == ({"1.0.0": 75, "2.0.0": 25}, ())
    assert world.desired["2.0.0"] == 1


def test_steps_that_change_while_it_is_paused_by_the_spec_move_nothing_until_it_goes_on() -> None:
    world = half_way()
    world.ask(paused=True)
    world.run(5)
    world.ask(strategy=canary({"pause": {}}))
    world.ask(command=Command(CommandName.PROMOTE, "while paused"))
    world.run(20)
    assert world.weights == {"1.0.0": 50, "2.0.0": 50}
    world.ask(paused=False)
    world.run(5)
    assert (world.weights, world.status.phase) == ({"1.0.0": 100}, Phase.PAUSED)


def test_a_pause_that_gets_a_duration_walks_from_the_first_step_again() -> None:
    world = half_way()
    world.ask(strategy=canary(*HALF[:3], {"pause": {"duration": "3s"}}))
    world.run(40)
    assert world.status.stable == "2.0.0"


def test_an_analysis_that_asks_for_less_ends_the_pause_that_too_few_figures_led_to() -> None:
    world = stable_world(steps=[{"setWeight": 50}, {"analysis": {"count": 2, "inconclusiveLimit": 2}}])
    world.source_away = True
    world.ask("2.0.0")
    world.run(40)
    assert (world.status.phase, world.status.reason) == (Phase.PAUSED, Reason.INCONCLUSIVE.value)
    world.source_away = False
    world.run(20)
    assert world.status.phase is Phase.PAUSED, "only a person ends it"
    world.ask(strategy=canary({"setWeight": 50}, {"analysis": {"count": 1}}))
    world.run(20)
    assert world.status.stable == "2.0.0"


def test_an_analysis_with_other_limits_counts_anew_without_moving_calls() -> None:
    world = stable_world(steps=[{"setWeight": 50}, {"analysis": {"count": 100}}])
    world.ask("2.0.0")
    world.run(20)
    (step,) = [run for run in world.status.analyses if run.name == "step-2"]
    assert step.passed > 3
    world.ask(strategy=canary({"setWeight": 50}, {"analysis": {"count": 100, "failureLimit": 7}}))
    world.step()
    (step,) = [run for run in world.status.analyses if run.name == "step-2"]
    assert step.passed <= 1
    assert world.weights == {"1.0.0": 50, "2.0.0": 50}


def test_a_delay_that_is_shortened_counts_from_when_the_calls_left() -> None:
    world = stable_world(strategy={"canary": {"scaleDownDelay": "1h"}})
    world.ask("2.0.0")
    world.run(60)
    assert (world.status.stable, world.desired["1.0.0"]) == ("2.0.0", 4)
    world.ask(strategy=strategy(canary={"scaleDownDelay": "10s"}))
    world.run(3)
    assert world.actions[-1] == ScaleVersion("1.0.0", 0)


def test_replicas_that_change_half_way_count_at_once_for_both_versions() -> None:
    world = stable_world(steps=[{"setWeight": 50}, {"pause": {}}])
    world.ask("2.0.0")
    world.run(10)
    world.ask(replicas=10)
    world.run(5)
    assert (world.desired, world.weights) == ({"1.0.0": 10, "2.0.0": 5}, {"1.0.0": 50, "2.0.0": 50})


def test_a_version_that_is_taken_back_and_asked_for_again_begins_at_no_calls() -> None:
    world = half_way()
    world.ask("1.0.0")
    world.step()
    assert world.weights == {"1.0.0": 100}
    world.ask("2.0.0")
    world.step()
    assert (world.status.phase, world.status.weight) == (Phase.PROGRESSING, 0)
    world.run(30)
    assert (world.status.phase, world.weights) == (Phase.PAUSED, {"1.0.0": 50, "2.0.0": 50})


def test_a_mistake_in_the_spec_that_is_mended_goes_on_where_it_was() -> None:
    for world in (half_way(), stable_world()):
        before = world.status
        world.status = refused(before, ValidationError("it", [Violation("spec.replicas", "is wrong")]), 2, world.now)
        world.status = refused(world.status, ValidationError("it", [Violation("spec.replicas", "wrong")]), 3, world.now)
        assert world.status.phase is Phase.INVALID
        world.run(5)
        assert (world.status.phase, world.status.message) == (before.phase, before.message)
        assert (world.status.step, world.routing) == (before.step, before.routing)
