"""Whatever happens, in whatever order, and wherever a pass is cut off: what must hold holds.

Random worlds: people change versions, replicas, `paused` and give commands; instances die and come up; Consul goes
away; others write the entries; figures turn bad; a pass crashes after some of its actions, before its status is
written. Then the world is left alone and must come to rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshwright.errors import UnreachableError
from meshwright.rollout.api.observed import ApiUse
from meshwright.rollout.api.routing import Routing
from meshwright.rollout.api.spec import Command, SetCanaryScale, SetHeaderRoute, SetWeight
from meshwright.rollout.api.vocabulary import CommandName, Phase
from meshwright.rollout.reconcile import plan
from meshwright.rollout.reconcile.context import ACTIVE
from meshwright.rollout.reconcile.decision import SetTraffic
from support.kubernetes.rollouts import World, rollout

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshwright.rollout.api.status import RolloutStatus

pytestmark = pytest.mark.slow

VERSIONS = ("1.0.0", "2.0.0", "3.0.0")
_MATCH = [{"header": "x-tester", "exact": "yes"}]
_STEPS = st.lists(
    st.one_of(
        st.builds(lambda weight: {"setWeight": weight}, st.integers(0, 100)),
        st.sampled_from(
            [
                {"pause": {}},
                {"pause": {"duration": "3s"}},
                {"setCanaryScale": {"replicas": 2}},
                {"setCanaryScale": {"weight": 50}},
                {"setCanaryScale": {"matchTrafficWeight": True}},
                {"setHeaderRoute": {"name": "testers", "match": _MATCH}},
                {"setHeaderRoute": {"name": "testers"}},
                {"analysis": {"count": 2, "inconclusiveLimit": 3}},
            ]
        ),
    ),
    max_size=5,
)
_BLUE_GREEN = st.fixed_dictionaries(
    {"autoPromotion": st.booleans()},
    optional={
        "previewHeaderRoute": st.just({"match": _MATCH}),
        "prePromotionAnalysis": st.just({"count": 2, "inconclusiveLimit": 3}),
        "postPromotionAnalysis": st.just({"count": 2, "inconclusiveLimit": 3}),
    },
)
STRATEGIES = st.one_of(
    st.builds(lambda steps: {"canary": {"steps": steps, "scaleDownDelay": "5s"}}, _STEPS),
    st.builds(lambda asked: {"blueGreen": asked}, _BLUE_GREEN),
)
APIS = [{"name": "demo.user.v1", "servedBy": ["1.*", "2.*"]}]

_VERSION = st.sampled_from(VERSIONS)
HAPPENINGS = st.one_of(
    st.tuples(st.just("pass"), st.none()),
    st.tuples(st.just("pass"), st.none()),
    st.tuples(st.just("time"), st.floats(0.1, 20)),
    st.tuples(st.just("time"), st.floats(0.1, 20)),
    st.tuples(st.just("ask"), _VERSION),
    st.tuples(st.just("command"), st.sampled_from(list(CommandName))),
    st.tuples(st.just("replicas"), st.integers(1, 6)),
    st.tuples(st.just("paused"), st.booleans()),
    st.tuples(st.just("strategy"), STRATEGIES),
    st.tuples(st.just("crash"), st.integers(0, 3)),
    st.tuples(st.just("die"), _VERSION),
    st.tuples(st.just("dead"), _VERSION),
    st.tuples(st.just("revive"), _VERSION),
    st.tuples(st.just("bad"), _VERSION),
    st.tuples(st.just("good"), _VERSION),
    st.tuples(st.just("consul"), st.booleans()),
    st.tuples(st.just("silent"), st.booleans()),
    st.tuples(st.just("callers"), st.sampled_from([None, (), (ApiUse("demo.user.v1", "gateway", 3.0),)])),
    st.tuples(st.just("drift"), st.sampled_from([None, Routing({"3.0.0": 100}), Routing({"1.0.0": 1, "2.0.0": 99})])),
    st.tuples(st.just("scaled by hand"), _VERSION),
    st.tuples(st.just("others"), _VERSION),
    st.tuples(st.just("no others"), _VERSION),
)


def happen(world: World, what: str, value: Any, token: int) -> None:
    if what == "command":
        world.ask(command=Command(value, str(token)))
    elif what == "strategy":
        world.ask(strategy=rollout(strategy=value).strategy)
    elif what == "crash":
        guarded_pass(world, done=value, writes=False)
    elif what == "scaled by hand" and value in world.desired:
        world.desired[value] = 1
    elif what in _CHANGES:
        _CHANGES[what](world, value)
    if what == "time":
        world.settle_instances()
    if what in ("time", "pass"):
        guarded_pass(world)


_CHANGES: dict[str, Callable[[World, Any], Any]] = {
    "time": lambda world, value: setattr(world, "now", round(world.now + value, 3)),
    "ask": lambda world, value: world.ask(value),
    "replicas": lambda world, value: world.ask(replicas=value),
    "paused": lambda world, value: world.ask(paused=value),
    "die": lambda world, value: world.healthy.update({value: 0}),
    "dead": lambda world, value: world.dead.add(value),
    "revive": lambda world, value: world.dead.discard(value),
    "bad": lambda world, value: world.bad.add(value),
    "good": lambda world, value: world.bad.discard(value),
    "consul": lambda world, value: setattr(world, "consul_away", value),
    "silent": lambda world, value: setattr(world, "silent", value),
    "callers": lambda world, value: setattr(world, "callers", value),
    "others": lambda world, value: world.others.update({value: 2}),
    "no others": lambda world, value: world.others.pop(value, None),
    "drift": lambda world, value: setattr(world, "routing", value),
}


def guarded_pass(world: World, *, done: int | None = None, writes: bool = True) -> None:
    """One pass, and all that must hold of it."""
    before = world.status
    own, healthy = dict(world.healthy), world.registered
    carrying = world.routing
    decision = world.decide()
    try:
        world.step(done=done, writes=writes)
    except UnreachableError:
        raise AssertionError("nothing is written while Consul is away") from None
    after = decision.status
    for action in decision.actions:
        if isinstance(action, SetTraffic):
            assert sum(action.routing.weights.values()) == 100
            assert all(healthy.get(version, 0) > 0 for version in action.routing.versions), action
            assert len(action.routing.weights) <= 2
    if after.routing is not None:
        assert sum(after.routing.weights.values()) == 100
        allowed = {after.stable, after.target} - {""}
        assert after.routing.versions <= allowed
    for action in decision.actions:
        if getattr(action, "replicas", None) == 0:
            assert action.version != after.stable
            assert carrying is not None
            assert action.version not in carrying.versions, "calls leave before instances do"
    if before.stable and after.stable != before.stable:
        assert after.stable == before.target, "only the target of the steps is ever promoted"
        assert carrying is not None
        assert carrying.weights == {after.stable: 100}, "and only when Consul sends it all calls"
    if not world.consul_away:
        assert after.weight == (carrying.weight(after.target) if carrying else 0), "the weight is what Consul says"
    if before.phase is Phase.INITIALIZING and after.phase is Phase.HEALTHY:
        assert own.get(after.stable), "instances of others do not make the first version healthy"
    roles = [state.role for state in after.versions]
    assert roles.count("stable") <= 1
    assert decision.requeue_after is None or decision.requeue_after > 0
    if after.phase is Phase.ABORTED:
        assert after.routing == Routing.all_to(after.stable)
    if decision.status.observed_generation and not world.consul_away:
        follows_its_steps(world, after)


def follows_its_steps(world: World, after: RolloutStatus) -> None:
    """Weight, scale and routes are what the steps of the strategy *as it is now* have come to, and nothing older."""
    if after.phase not in ACTIVE or after.skip_steps:
        return
    if not world.asked.paused:
        assert after.plan == plan.digest(plan.steps(world.asked)), "a changed strategy is taken up in the same pass"
    if after.plan != plan.digest(plan.steps(world.asked)):
        return
    walked = plan.steps(world.asked)[: after.step + 1]
    weights = [0, *(step.weight for step in walked if isinstance(step, SetWeight))]
    assert after.desired_weight in weights[-2:]
    assert after.routing is not None
    assert after.routing.weight(after.target) in weights[-2:]
    scales = [None, *(step for step in walked if isinstance(step, SetCanaryScale))]
    assert after.canary_scale in scales[-2:]
    named = {step.name for step in walked if isinstance(step, SetHeaderRoute)}
    assert {route.name for route in after.routing.header_routes} <= named


def rest(world: World) -> None:
    """The world is whole again without interference: the rollout must come to rest, paused or not."""
    world.dead.clear()
    world.consul_away = False
    world.callers = ()
    world.others.clear()
    for _ in range(400):
        world.now = round(world.now + 1.0, 3)
        world.settle_instances()
        guarded_pass(world)


@settings(max_examples=100)
@given(STRATEGIES, st.lists(HAPPENINGS, max_size=40), st.booleans())
def test_every_run_ends_or_waits_for_a_command(
    strategy: dict[str, Any], happenings: list[tuple[str, Any]], has_apis: bool
) -> None:
    spec: dict[str, Any] = {"apis": APIS} if has_apis else {}
    world = World(rollout("1.0.0", strategy=strategy, progressDeadlineSeconds=20, **spec))
    for token, (what, value) in enumerate(happenings):
        happen(world, what, value, token)
    rest(world)
    phase = world.status.phase
    assert phase in (Phase.HEALTHY, Phase.ABORTED, Phase.PAUSED), world.status
    if phase is Phase.HEALTHY:
        assert world.routing == Routing.all_to(world.asked.version)
        assert world.status.stable == world.asked.version
    if phase is Phase.ABORTED:
        assert world.routing == Routing.all_to(world.status.stable)
        assert world.status.refused == world.asked.version
    if phase is not Phase.PAUSED:
        assert {version for version, count in world.desired.items() if count} == {world.status.stable}
    assert world.desired[world.status.stable] == world.asked.replicas


@settings(max_examples=30)
@given(STRATEGIES, st.integers(0, 60), st.lists(st.integers(0, 3), max_size=12))
def test_an_abort_at_any_moment_and_any_crashes_end_with_the_stable_version_at_100(
    strategy: dict[str, Any], moment: int, crashes: list[int]
) -> None:
    world = World(rollout("1.0.0", strategy=strategy, progressDeadlineSeconds=20)).run(10)
    world.ask("2.0.0")
    world.run(moment)
    promoted = world.status.stable == "2.0.0"
    world.ask(command=Command(CommandName.ABORT, "stop"))
    for done in crashes:
        guarded_pass(world, done=done, writes=False)
        world.now = round(world.now + 0.5, 3)
        world.settle_instances()
    rest(world)
    assert world.status.phase is (Phase.HEALTHY if promoted else Phase.ABORTED)
    assert world.routing == Routing.all_to("2.0.0" if promoted else "1.0.0")


@settings(max_examples=60)
@given(STRATEGIES, STRATEGIES, st.integers(0, 60))
def test_a_strategy_that_is_changed_under_way_ends_as_if_it_had_been_there_from_the_start(
    first: dict[str, Any], second: dict[str, Any], moment: int
) -> None:
    """After the change nothing of the first strategy is left: both worlds come to the same calls and instances."""
    ends = []
    for began_with in (first, second):
        world = World(rollout("1.0.0", strategy=began_with, progressDeadlineSeconds=60)).run(10)
        world.ask("2.0.0")
        world.run(moment)
        if world.status.phase not in ACTIVE:
            return
        world.ask(strategy=rollout(strategy=second).strategy)
        guarded_pass(world)
        rest(world)
        ends.append((world.status.phase, world.status.stable, world.status.weight, world.routing, world.desired))
    assert ends[0] == ends[1]


@settings(max_examples=30)
@given(STRATEGIES, st.integers(0, 40))
def test_a_restart_in_any_phase_changes_nothing(strategy: dict[str, Any], moment: int) -> None:
    """Two worlds, one of which loses every second pass before its status is written, come to the same end."""
    ends = []
    for crashing in (False, True):
        world = World(rollout("1.0.0", strategy=strategy, progressDeadlineSeconds=60)).run(10)
        world.ask("2.0.0")
        for index in range(150):
            if crashing and index >= moment and index % 2:
                guarded_pass(world, done=index % 3, writes=False)
            guarded_pass(world)
            world.now = round(world.now + 1.0, 3)
            world.settle_instances()
        ends.append((world.status.phase, world.status.stable, world.routing, world.desired))
    assert ends[0] == ends[1]
