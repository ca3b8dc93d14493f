"""What Consul's config entries say is what gRPC's clients of other languages do, without anything of ours in them.

docs/how-to/clients.md has the whole table; what is tested here is its core, with each client that is there.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from meshwright.model import InstanceId
from support.mesh.mesh import failures
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from foreign.conftest import World
    from foreign.foreign_clients import ForeignCaller
    from support.mesh.mesh import Outcome

pytestmark = pytest.mark.asyncio(loop_scope="module")

WORKERS = 10
"""How many call at once where an instance is killed."""


async def until(caller: ForeignCaller, condition: Callable[[list[Outcome]], bool], times: int = 4) -> None:
    """Wait until that many calls in a row meet the condition."""

    async def holds() -> bool:
        outcomes = await caller.call(times, timeout=5.0)
        assert condition(outcomes), failures(outcomes)
        return True

    await eventually(holds, timeout=90)


def well(outcomes: list[Outcome]) -> bool:
    return not failures(outcomes)


def only(instance: str) -> Callable[[list[Outcome]], bool]:
    return lambda outcomes: {outcome.instance for outcome in outcomes} == {instance}


async def test_a_split_is_kept(client: ForeignCaller) -> None:
    calc = client.to("calc")
    await until(calc, well)
    outcomes = await calc.call(800, workers=8)
    assert not failures(outcomes)
    share = Counter(outcome.version for outcome in outcomes)
    assert abs(share["2.0.0"] - 200) < 60


async def test_a_header_chooses_the_version(client: ForeignCaller) -> None:
    calc = client.to("calc")
    await until(calc, well)
    assert {outcome.version for outcome in await calc.call(30, metadata={"x-version": "2"})} == {"2.0.0"}
    assert "1.0.0" in {outcome.version for outcome in await calc.call(30, metadata={"x-version": "3"})}


async def test_a_routes_timeout_ends_a_call_in_time(client: ForeignCaller) -> None:
    calc = client.to("calc")
    await until(calc, well)
    outcomes = await calc.call(5, workers=5, metadata={"x-timeout": "on", "x-delay": "5"})
    assert {outcome.code for outcome in outcomes} == {"DEADLINE_EXCEEDED"}
    best = min(outcome.seconds for outcome in outcomes)
    # A gRPC core that names no skew gets the greatest that it can have: a second late at most, and never early. The
    # runtime names its own, unless the machine was too busy to measure it.
    assert 0.49 <= best < (1.7 if client.kind in ("python", "runtime") else 0.7)
    assert not failures(await calc.call(5, metadata={"x-timeout": "on"}))


async def test_an_unknown_name_fails_at_once(client: ForeignCaller) -> None:
    if client.kind == "envoy":
        return  # It then looks for the package in the call's path, and finds whichever service has it.
    caller = client.to("nobody")
    # The first call also opens what the client needs for a name; the second is the name's own cost.
    first, second = await caller.one(), await caller.one()
    assert (first.code, second.code) == ("UNAVAILABLE", "UNAVAILABLE")
    assert second.seconds < 1.0


async def test_a_call_that_meets_unavailable_is_made_again(client: ForeignCaller, world: World) -> None:
    calc = client.to("calc")
    await until(calc, well)
    for backend in (world.backends["v1"], world.backends["v2"]):
        backend.fail_next = 1
    outcomes = await calc.call(30)
    assert not failures(outcomes)
    assert [world.backends[name].fail_next for name in ("v1", "v2")] == [0, 0]


async def test_an_instance_killed_under_load_fails_no_call(client: ForeignCaller, world: World) -> None:
    service = f"killed-{client.kind}"
    instances = dict([await world.mesh.instance(service) for _ in range(2)])
    caller = client.to(service)
    await until(caller, lambda outcomes: {outcome.instance for outcome in outcomes} == set(instances), times=8)
    await caller.start(workers=WORKERS)
    victim, process = instances.popitem()
    await process.kill()
    await world.mesh.until(lambda ids: ids == set(instances), service)
    await caller.made(200)
    outcomes = await caller.stop()
    failed = failures(outcomes)
    if client.kind == "java":
        # https://github.com/grpc/grpc-java/issues/10120: a write on a connection that was reset ends UNKNOWN, which no
        # policy makes again. Only a call that was under way can meet that, so one of each worker at most.
        assert failed.pop("UNKNOWN: channel closed", 0) <= WORKERS
    assert not failed
    assert victim not in {outcome.instance for outcome in outcomes[-50:]}
    for survivor in instances.values():
        await survivor.kill()


async def test_failover_takes_over_and_gives_back(client: ForeignCaller, world: World) -> None:
    primary = client.to("primary")
    await until(primary, only("first"))
    # While the primary is well, the failover target gets no call.
    assert only("first")(await primary.call(50))
    await world.mesh.consul.maintenance(InstanceId("first"), enable=True, reason="a test")
    try:
        await until(primary, only("spare"))
    finally:
        await world.mesh.consul.maintenance(InstanceId("first"), enable=False)
    await until(primary, only("first"))


async def test_calls_stay_in_the_caller_s_zone_while_it_has_an_instance(client: ForeignCaller, world: World) -> None:
    near = client.to("near")
    await until(near, only("here"))
    assert only("here")(await near.call(50))
    await world.mesh.consul.maintenance(InstanceId("here"), enable=True, reason="a test")
    try:
        await until(near, only("there"))
    finally:
        await world.mesh.consul.maintenance(InstanceId("here"), enable=False)
    await until(near, only("here"))
