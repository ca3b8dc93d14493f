"""Rollouts from their beginning to their end, in a simulated world."""

from __future__ import annotations

from dataclasses import replace

from meshwright.rollout.api.observed import ApiUse, Observed
from meshwright.rollout.api.routing import HeaderMatch, HeaderRoute, Routing
from meshwright.rollout.api.spec import Command, WorkloadRef
from meshwright.rollout.api.status import RolloutStatus
from meshwright.rollout.api.vocabulary import CommandName, ConditionType, Phase, Reason, Verdict
from meshwright.rollout.reconcile.decide import decide
from meshwright.rollout.reconcile.decision import DeleteVersion, EnsureVersion, ScaleVersion, SetTraffic
from support.kubernetes.rollouts import World, rollout, stable_world


def command(name: CommandName, token: str = "t") -> Command:
    return Command(name, token)


def test_the_first_version_gets_all_calls_when_it_is_healthy() -> None:
    world = World(rollout("1.0.0"))
    world.step()
    assert (world.status.phase, world.routing) == (Phase.INITIALIZING, None)
    assert world.actions == [EnsureVersion("1.0.0", 4)]
    world.run(5)
    assert (world.status.phase, world.status.stable, world.weights) == (Phase.HEALTHY, "1.0.0", {"1.0.0": 100})


def test_the_first_version_that_never_comes_up_waits_aloud_and_can_be_replaced() -> None:
    world = World(rollout("1.0.0", progressDeadlineSeconds=20), dead={"1.0.0"})
    world.run(40)
    assert (world.status.phase, world.status.reason) == (Phase.INITIALIZING, Reason.DEADLINE_EXCEEDED.value)
    assert world.reasons().count(Reason.DEADLINE_EXCEEDED.value) == 1
    world.ask("1.0.1")
    world.run(60)
    assert (world.status.stable, world.weights, world.desired["1.0.0"]) == ("1.0.1", {"1.0.1": 100}, 0)


def test_the_first_version_is_healthy_when_the_rollouts_own_instances_are_and_not_those_of_its_reference() -> None:
    asked = replace(rollout("1.0.0"), template=None, workload_ref=WorkloadRef("web"))
    world = World(asked, dead={"1.0.0"}, others={"1.0.0": 3}).run(20)
    assert (world.status.phase, world.status.stable, world.routing) == (Phase.INITIALIZING, "", None)
    world.healthy["1.0.0"] = 3
    world.step()
    assert world.status.phase is Phase.INITIALIZING, "the reference serves until all of the rollout's own are ready"
    assert world.status.message == "3 of 4 instances of 1.0.0 are healthy"
    world.dead.clear()
    world.run(5)
    assert (world.status.phase, world.status.stable, world.weights) == (Phase.HEALTHY, "1.0.0", {"1.0.0": 100})


def test_a_canary_waits_for_instances_of_its_own() -> None:
    world = stable_world(steps=[{"setWeight": 50}, {"pause": {}}])
    world.dead.add("2.0.0")
    world.others["2.0.0"] = 2
    world.ask("2.0.0")
    world.run(10)
    assert (world.status.reason, world.weights) == (Reason.WAITING_FOR_INSTANCES.value, {"1.0.0": 100})
    instances = world.status.condition(ConditionType.INSTANCES)
    assert instances is not None
    assert not instances.status
    world.dead.clear()
    world.run(5)
    assert (world.status.phase, world.weights) == (Phase.PAUSED, {"1.0.0": 50, "2.0.0": 50})


def test_the_weight_in_the_status_is_the_one_that_consul_has_and_not_the_one_that_a_step_will_set() -> None:
    world = stable_world(steps=[{"setWeight": 10}, {"pause": {}}])
    world.dead.add("2.0.0")
    world.ask("2.0.0")
    world.run(10)
    assert (world.status.phase, world.status.weight, world.status.desired_weight) == (Phase.PROGRESSING, 0, 10)
    world.dead.clear()
    world.run(5)
    assert (world.status.phase, world.status.weight, world.weights["2.0.0"]) == (Phase.PAUSED, 10, 10)
    world.ask(command=command(CommandName.ABORT))
    world.step()
    assert (world.status.phase, world.status.weight) == (Phase.ABORTING, 10), "until the calls have left"
    world.run(5)
    assert (world.status.phase, world.status.weight) == (Phase.ABORTED, 0)


def test_a_canary_walks_its_steps_and_is_promoted() -> None:
    world = stable_world()
    world.ask("2.0.0")
    seen = [world.weights]
    for _ in range(60):
        world.run(1)
        if world.weights not in seen:
            seen.append(world.weights)
    assert seen == [{"1.0.0": 100}, {"1.0.0": 80, "2.0.0": 20}, {"1.0.0": 50, "2.0.0": 50}, {"2.0.0": 100}]
    assert (world.status.phase, world.status.stable, world.status.outcome) == (Phase.HEALTHY, "2.0.0", "Promoted")
    assert [one.version for one in world.status.history] == ["1.0.0", "2.0.0"]


def test_instances_come_before_calls_and_go_after_them() -> None:
    world = stable_world(steps=[{"setWeight": 50}])
    world.ask("2.0.0")
    world.run(90)
    order = [(type(action).__name__, getattr(action, "version", None)) for action in world.actions]
    assert order == [
        ("EnsureVersion", "2.0.0"),
        ("SetTraffic", None),
        ("EnsureVersion", "2.0.0"),
        ("SetTraffic", None),
        ("ScaleVersion", "1.0.0"),
    ]
    assert world.desired == {"1.0.0": 0, "2.0.0": 4}


def test_the_version_before_keeps_its_instances_for_the_grace() -> None:
    world = stable_world(steps=[])
    world.ask("2.0.0")
    world.run(20)
    assert world.status.stable == "2.0.0"
    assert world.desired["1.0.0"] == 4, "a rollback within the grace finds all instances"
    assert [one.version for one in world.status.retiring] == ["1.0.0"]
    world.run(40)
    assert (world.desired["1.0.0"], world.status.retiring) == (0, ())


def test_a_canary_that_fails_every_call_is_at_weight_0_within_10_seconds_with_default_settings() -> None:
    world = stable_world(steps=[{"setWeight": 10}, {"pause": {}}])
    world.bad.add("2.0.0")
    world.ask("2.0.0")
    while world.weights.get("2.0.0", 0) == 0:
        world.run(0.5)
    exposed = world.now
    while world.weights.get("2.0.0", 0):
        world.run(0.5)
    assert world.now - exposed <= 10
    world.run(60)
    assert (world.status.phase, world.status.refused, world.weights) == (Phase.ABORTED, "2.0.0", {"1.0.0": 100})
    assert world.desired == {"1.0.0": 4, "2.0.0": 0}
    assert world.status.duration is not None


def test_an_abort_sends_the_calls_back_before_it_scales_down() -> None:
    world = stable_world()
    world.ask("2.0.0")
    world.run(6)
    assert world.weights["2.0.0"] == 20
    world.actions.clear()
    world.ask(command=command(CommandName.ABORT))
    world.run(60)
    kinds = [type(action) for action in world.actions]
    assert kinds == [SetTraffic, ScaleVersion]
    assert (world.status.phase, world.status.reason) == (Phase.ABORTED, Reason.ABORTED_BY_COMMAND.value)


def test_a_refused_version_is_not_tried_again_until_retry() -> None:
    world = stable_world(progressDeadlineSeconds=10)
    world.dead.add("2.0.0")
    world.ask("2.0.0")
    world.run(30)
    assert (world.status.phase, world.status.reason) == (Phase.ABORTED, Reason.DEADLINE_EXCEEDED.value)
    world.dead.clear()
    world.run(30)
    assert world.status.phase is Phase.ABORTED
    world.ask(command=command(CommandName.RETRY))
    world.run(60)
    assert (world.status.phase, world.status.stable) == (Phase.HEALTHY, "2.0.0")


def test_a_command_is_obeyed_once() -> None:
    world = stable_world(steps=[{"pause": {}}, {"setWeight": 10}, {"pause": {}}])
    world.ask("2.0.0")
    world.run(5)
    world.ask(command=command(CommandName.PROMOTE, "a"))
    world.run(10)
    assert (world.status.phase, world.status.step) == (Phase.PAUSED, 2)
    world.ask(command=command(CommandName.PROMOTE, "b"))
    world.run(10)
    assert world.status.stable == "2.0.0"


def test_a_command_that_means_nothing_is_said_to() -> None:
    world = stable_world()
    world.ask(command=command(CommandName.PROMOTE))
    world.run(3)
    assert world.reasons() == [Reason.COMMAND_IGNORED.value]


def test_promote_full_skips_all_steps_but_not_health() -> None:
    world = stable_world(steps=[{"setWeight": 10}, {"pause": {}}])
    world.ask("2.0.0")
    world.run(5)
    world.ask(command=command(CommandName.PROMOTE_FULL))
    world.step()
    assert world.weights == {"1.0.0": 90, "2.0.0": 10}, "four instances are needed for all calls, and one is there"
    world.run(10)
    assert world.weights == {"2.0.0": 100}


def test_a_version_whose_last_measurement_failed_is_not_promoted() -> None:
    """Its steps may be over sooner than its analysis has failed as often as it takes."""
    analysis = {"interval": "1s", "window": "5s", "failureLimit": 5}
    world = stable_world(steps=[{"setWeight": 10}, {"pause": {"duration": "2s"}}], analysis=analysis)
    world.bad.add("2.0.0")
    world.ask("2.0.0")
    world.run(60)
    assert (world.status.phase, world.status.stable) == (Phase.ABORTED, "1.0.0")
    world.ask("3.0.0")
    world.run(60)
    assert (world.status.phase, world.status.stable) == (Phase.HEALTHY, "3.0.0")


def test_a_version_that_recovers_is_promoted() -> None:
    analysis = {"interval": "1s", "window": "5s", "failureLimit": 50}
    world = stable_world(steps=[{"setWeight": 10}, {"pause": {"duration": "2s"}}], analysis=analysis)
    world.bad.add("2.0.0")
    world.ask("2.0.0")
    world.run(20)
    assert (world.status.phase, world.status.reason) == (Phase.PROGRESSING, "AnalysisFailed")
    assert "is promoted when a measurement passes" in world.status.message
    world.bad.clear()
    world.run(20)
    assert (world.status.phase, world.status.stable) == (Phase.HEALTHY, "2.0.0")


def test_a_good_version_supersedes_a_bad_one() -> None:
    world = stable_world(steps=[{"setWeight": 50}, {"pause": {}}])
    world.ask("2.0.0")
    world.run(5)
    world.ask("3.0.0")
    world.step()
    assert world.weights == {"1.0.0": 100}, "the old canary's calls go to the stable version, not to the next canary"
    world.run(10)
    assert world.weights == {"1.0.0": 50, "3.0.0": 50}
    world.run(60)
    assert world.desired["2.0.0"] == 0
    assert Reason.SUPERSEDED.value in world.reasons()


def test_bad_after_bad_leaves_the_stable_version_serving() -> None:
    world = stable_world()
    world.bad |= {"2.0.0", "3.0.0"}
    world.ask("2.0.0")
    world.run(20)
    world.ask("3.0.0")
    world.run(60)
    assert (world.status.phase, world.status.refused, world.weights) == (Phase.ABORTED, "3.0.0", {"1.0.0": 100})


def test_back_to_the_stable_version_mid_way() -> None:
    world = stable_world(steps=[{"setWeight": 50}, {"pause": {}}])
    world.ask("2.0.0")
    world.run(5)
    world.ask("1.0.0")
    world.run(60)
    assert (world.status.phase, world.status.outcome, world.weights) == (Phase.HEALTHY, "RolledBack", {"1.0.0": 100})
    assert world.desired == {"1.0.0": 4, "2.0.0": 0}


def test_back_to_the_stable_version_and_forth_again_at_once() -> None:
    world = stable_world(steps=[{"setWeight": 50}])
    world.ask("2.0.0")
    world.run(2)
    world.ask("1.0.0")
    world.step()
    world.ask("2.0.0")
    world.run(60)
    assert (world.status.phase, world.status.stable) == (Phase.HEALTHY, "2.0.0")


def test_undo_goes_back_to_the_version_before() -> None:
    world = stable_world(rollbackWindow={"revisions": 1})
    world.ask("2.0.0")
    world.run(100)
    world.ask("1.0.0")
    world.step()
    assert world.status.skip_steps, "it was promoted recently"
    world.run(5)
    assert world.weights == {"1.0.0": 100}


def test_scale_during_a_rollout_reaches_both_versions() -> None:
    world = stable_world(steps=[{"setWeight": 50}, {"pause": {}}])
    world.ask("2.0.0")
    world.run(10)
    assert world.desired == {"1.0.0": 4, "2.0.0": 2}
    world.ask(replicas=8)
    world.run(5)
    assert world.desired == {"1.0.0": 8, "2.0.0": 4}
    assert world.status.phase is Phase.PAUSED


def test_a_canary_scale_is_in_force_until_all_calls_move() -> None:
    world = stable_world(steps=[{"setCanaryScale": {"replicas": 1}}, {"setWeight": 50}, {"pause": {}}])
    world.ask("2.0.0")
    world.run(10)
    assert (world.desired["2.0.0"], world.weights["2.0.0"]) == (1, 50)
    world.ask(command=command(CommandName.PROMOTE))
    world.run(10)
    assert (world.desired["2.0.0"], world.weights) == (4, {"2.0.0": 100})


def test_a_header_route_goes_to_the_canary_and_away_with_its_promotion() -> None:
    match = [{"header": "x-tester", "exact": "yes"}]
    world = stable_world(steps=[{"setHeaderRoute": {"name": "testers", "match": match}}, {"pause": {}}])
    world.ask("2.0.0")
    world.run(5)
    route = HeaderRoute("testers", "2.0.0", (HeaderMatch("x-tester", exact="yes"),))
    assert world.routing == Routing({"1.0.0": 100}, (route,))
    world.ask(command=command(CommandName.PROMOTE))
    world.run(10)
    assert world.routing == Routing.all_to("2.0.0")


def test_a_header_route_can_be_removed_by_a_step() -> None:
    match = [{"header": "x-tester", "prefix": "y"}]
    steps = [{"setHeaderRoute": {"name": "a", "match": match}}, {"setHeaderRoute": {"name": "a"}}, {"pause": {}}]
    world = stable_world(steps=steps)
    world.ask("2.0.0")
    world.run(6)
    assert world.routing == Routing.all_to("1.0.0")
    assert world.status.step == 2


def test_paused_by_spec_stands_still_and_goes_on() -> None:
    world = stable_world()
    world.ask("2.0.0", paused=True)
    world.run(20)
    assert (world.status.phase, world.weights, world.desired) == (Phase.PAUSED, {"1.0.0": 100}, {"1.0.0": 4})
    world.ask(paused=False)
    world.run(60)
    assert world.status.stable == "2.0.0"


def test_a_paused_rollout_is_still_aborted_by_its_figures() -> None:
    world = stable_world(steps=[{"setWeight": 20}, {"pause": {}}])
    world.ask("2.0.0")
    world.run(5)
    world.ask(paused=True)
    world.run(5)
    world.bad.add("2.0.0")
    world.run(20)
    assert world.status.phase is Phase.ABORTED


def test_drift_of_weights_is_put_back() -> None:
    world = stable_world()
    world.routing = Routing({"1.0.0": 30, "9.9.9": 70})
    world.step()
    assert world.weights == {"1.0.0": 100}
    assert world.reasons() == [Reason.DRIFT.value]


def test_drift_of_workloads_is_put_back() -> None:
    world = stable_world()
    world.desired["1.0.0"] = 1
    world.step()
    assert world.desired["1.0.0"] == 4


def test_with_consul_away_nothing_changes_and_no_deadline_counts() -> None:
    world = stable_world(progressDeadlineSeconds=15)
    world.ask("2.0.0")
    world.run(3)
    before = dict(world.desired), world.weights, world.status.step
    world.consul_away = True
    world.actions.clear()
    world.run(60)
    assert world.actions == []
    world.consul_away = False
    assert (dict(world.desired), world.weights, world.status.step) == before
    world.run(60)
    assert world.status.stable == "2.0.0"


def test_a_canary_that_dies_under_way_loses_its_calls_at_once_and_gets_them_back() -> None:
    world = stable_world(steps=[{"setWeight": 50}, {"pause": {}}], progressDeadlineSeconds=30)
    world.ask("2.0.0")
    world.run(8)
    world.healthy["2.0.0"] = 0
    world.step()
    assert world.weights == {"1.0.0": 100}
    assert Reason.CANARY_UNHEALTHY.value in world.reasons()
    world.run(5)
    assert world.weights == {"1.0.0": 50, "2.0.0": 50}


def test_an_abort_waits_for_a_stable_version_that_is_down() -> None:
    world = stable_world(steps=[{"setWeight": 50}, {"pause": {}}])
    world.ask("2.0.0")
    world.run(8)
    world.dead.add("1.0.0")
    world.settle_instances()
    world.ask(command=command(CommandName.ABORT))
    world.run(10)
    assert (world.status.phase, world.weights) == (Phase.ABORTING, {"1.0.0": 50, "2.0.0": 50})
    assert world.desired["2.0.0"] == 2, "the only version that answers is not scaled down"
    world.dead.clear()
    world.run(5)
    assert (world.status.phase, world.weights) == (Phase.ABORTED, {"1.0.0": 100})


def test_an_analysis_step_passes_after_its_count() -> None:
    world = stable_world(steps=[{"setWeight": 20}, {"analysis": {"count": 3, "interval": "2s"}}, {"pause": {}}])
    world.ask("2.0.0")
    world.run(20)
    assert (world.status.phase, world.status.step) == (Phase.PAUSED, 2)
    run = next(run for run in world.status.analyses if run.name == "step-2")
    assert (run.verdict, run.passed) == (Verdict.PASSED, 3)


def test_an_analysis_without_calls_pauses() -> None:
    steps = [{"setWeight": 20}, {"analysis": {"count": 3, "inconclusiveLimit": 2}}]
    world = stable_world(steps=steps)
    world.silent = True
    world.ask("2.0.0")
    world.run(30)
    assert (world.status.phase, world.status.reason) == (Phase.PAUSED, Reason.INCONCLUSIVE.value)
    world.ask(command=command(CommandName.PROMOTE))
    world.run(30)
    assert world.status.stable == "2.0.0"


def test_a_canary_that_fails_during_a_pause_is_aborted() -> None:
    world = stable_world(steps=[{"setWeight": 20}, {"pause": {}}], analysis={"inconclusiveLimit": 1})
    world.source_away = True
    world.ask("2.0.0")
    world.run(15)
    assert (world.status.phase, world.status.reason) == (Phase.PAUSED, Reason.INCONCLUSIVE.value)
    world.source_away = False
    world.run(10)
    assert world.status.reason == Reason.INCONCLUSIVE.value, "good figures do not decide for the person"
    world.bad.add("2.0.0")
    world.run(10)
    assert world.status.phase is Phase.ABORTED


def test_an_idle_service_can_be_rolled_out() -> None:
    world = stable_world()
    world.silent = True
    world.ask("2.0.0")
    world.run(60)
    assert world.status.stable == "2.0.0"


def test_blue_green_moves_all_calls_at_once_after_its_analysis() -> None:
    strategy = {
        "blueGreen": {
            "previewHeaderRoute": {"match": [{"header": "x-preview", "exact": "1"}]},
            "prePromotionAnalysis": {"count": 2},
            "postPromotionAnalysis": {"count": 2},
            "autoPromotion": False,
        }
    }
    world = stable_world(strategy=strategy)
    world.ask("2.0.0")
    world.run(20)
    assert (world.status.phase, world.weights) == (Phase.PAUSED, {"1.0.0": 100})
    assert world.desired == {"1.0.0": 4, "2.0.0": 4}
    world.ask(command=command(CommandName.PROMOTE))
    world.run(3)
    assert world.weights == {"2.0.0": 100}
    assert world.status.stable == "1.0.0", "until the second analysis has passed"
    world.run(20)
    assert (world.status.stable, world.routing) == ("2.0.0", Routing.all_to("2.0.0"))


def test_blue_green_goes_back_when_the_second_analysis_fails() -> None:
    world = stable_world(strategy={"blueGreen": {"postPromotionAnalysis": {"count": 50}}})
    world.ask("2.0.0")
    world.run(8)
    assert world.weights == {"2.0.0": 100}
    world.bad.add("2.0.0")
    world.run(15)
    assert (world.status.phase, world.weights, world.status.stable) == (Phase.ABORTED, {"1.0.0": 100}, "1.0.0")


APIS = [
    {"name": "demo.user.v1", "servedBy": ["1.*"], "sunset": "2999-01-01"},
    {"name": "demo.user.v2", "servedBy": ["2.*"]},
]


def test_an_api_that_is_still_called_is_not_taken_away() -> None:
    world = stable_world(apis=APIS)
    world.callers = (ApiUse("demo.user.v1", "gateway", 12.0),)
    world.ask("2.0.0")
    world.run(20)
    assert (world.status.phase, world.status.reason) == (Phase.PAUSED, Reason.API_IN_USE.value)
    assert "gateway calls demo.user.v1" in world.status.message
    assert world.weights == {"1.0.0": 100}
    world.callers = ()
    world.run(60)
    assert world.status.stable == "2.0.0", "it goes on when the callers have left"


def test_unknown_callers_are_not_no_callers() -> None:
    world = stable_world(apis=APIS)
    world.callers = None
    world.ask("2.0.0")
    world.run(20)
    assert (world.status.phase, world.weights) == (Phase.PROGRESSING, {"1.0.0": 100})


def test_an_api_may_be_taken_away_by_promotion_all_the_same() -> None:
    world = stable_world(apis=APIS)
    world.callers = (ApiUse("demo.user.v1", "gateway", 12.0),)
    world.ask("2.0.0")
    world.run(10)
    world.ask(command=command(CommandName.PROMOTE))
    world.run(60)
    assert world.status.stable == "2.0.0"


def test_an_api_past_its_sunset_may_go() -> None:
    world = stable_world(apis=[APIS[0] | {"sunset": "2020-01-01"}, APIS[1]])
    world.callers = (ApiUse("demo.user.v1", "gateway", 12.0),)
    world.ask("2.0.0")
    world.run(60)
    assert world.status.stable == "2.0.0"


def test_changed_steps_begin_again() -> None:
    world = stable_world(steps=[{"setWeight": 20}, {"pause": {}}])
    world.ask("2.0.0")
    world.run(6)
    changed = rollout("2.0.0", steps=[{"setWeight": 30}, {"pause": {}}])
    world.ask(strategy=changed.strategy)
    world.run(6)
    assert (world.weights["2.0.0"], world.status.phase) == (30, Phase.PAUSED)


def test_old_versions_are_deleted_beyond_the_history() -> None:
    world = stable_world(steps=[], revisionHistoryLimit=1)
    for version in ("2.0.0", "3.0.0", "4.0.0"):
        world.ask(version)
        world.run(60)
    assert set(world.desired) == {"3.0.0", "4.0.0"}
    assert DeleteVersion("1.0.0") in world.actions


def test_a_lost_status_adopts_the_version_that_consul_sends_all_calls_to() -> None:
    world = stable_world()
    world.status = RolloutStatus()
    world.ask("2.0.0")
    world.step()
    assert (world.status.stable, world.status.target, world.status.phase) == ("1.0.0", "2.0.0", Phase.PROGRESSING)


def test_conditions_say_what_kubectl_waits_for() -> None:
    world = stable_world(steps=[{"setWeight": 20}, {"pause": {}}])

    def conditions() -> dict[ConditionType, bool]:
        return {condition.type: condition.status for condition in world.status.conditions}

    assert [kind.value for kind, holds in conditions().items() if holds] == [
        "Available",
        "Promoted",
        "Current",
        "InstancesReady",
    ]
    world.ask("2.0.0")
    world.step()
    assert [kind.value for kind, holds in conditions().items() if holds] == ["Available", "Progressing", "Current"]
    world.run(10)
    assert [kind.value for kind, holds in conditions().items() if holds] == [
        "Available",
        "Paused",
        "Current",
        "InstancesReady",
    ]


def test_a_rollout_is_one_trace_with_its_steps() -> None:
    world = stable_world()
    world.ask("2.0.0")
    world.run(60)
    assert len({span.trace_id for span in world.spans}) == 1
    root = next(span for span in world.spans if not span.parent_id)
    names = [span.name for span in world.spans if span.parent_id == root.span_id]
    assert names == ["setWeight 20", "pause 10s", "setWeight 50", "setWeight 100"]
    assert all(span.ok for span in world.spans)
    assert any(span.events for span in world.spans), "measurements are events of the steps"
    assert root.attributes["meshwright.outcome"] == "Promoted"


def test_the_trace_of_an_abort_is_not_ok() -> None:
    world = stable_world()
    world.bad.add("2.0.0")
    world.ask("2.0.0")
    world.run(30)
    root = next(span for span in world.spans if not span.parent_id)
    assert (root.ok, root.attributes["meshwright.outcome"]) == (False, "Aborted")
    assert "success-rate" in root.message


def test_a_pass_that_saw_nothing_decides_nothing() -> None:
    world = stable_world()
    world.ask("2.0.0")
    found = decide(world.asked, world.status, Observed(), world.now)
    assert (found.actions, found.events) == ((), ())
    assert found.status == replace(world.status, progressed_at=None)
