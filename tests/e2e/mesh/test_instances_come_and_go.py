"""Instances are added, drained and killed while calls are under way; callers see none of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.mesh.mesh import failures
from support.waiting import eventually

if TYPE_CHECKING:
    from support.mesh.mesh import Caller, Mesh


async def answered_by(caller: Caller, expected: set[str]) -> None:
    """Wait until exactly those instances answer."""

    async def holds() -> bool:
        outcomes = await caller.call(4 * len(expected) + 4)
        assert not failures(outcomes)
        return {outcome.instance for outcome in outcomes} == expected

    await eventually(holds, timeout=20)


async def test_an_instance_that_starts_gets_calls_and_one_that_stops_loses_none(a_mesh: Mesh) -> None:
    service = a_mesh.new_name()
    first, _ = await a_mesh.instance(service)
    caller = await a_mesh.callable(service)
    await answered_by(caller, {first})

    second, process = await a_mesh.instance(service)
    await answered_by(caller, {first, second})

    await caller.start(workers=10)
    assert await process.terminate() == 0
    await caller.made(200)
    outcomes = await caller.stop()
    assert not failures(outcomes)
    assert {outcome.instance for outcome in outcomes[-50:]} == {first}


async def test_a_killed_instance_under_load_fails_no_call(a_mesh: Mesh) -> None:
    service = a_mesh.new_name()
    processes = dict([await a_mesh.instance(service) for _ in range(3)])
    caller = await a_mesh.callable(service)
    await answered_by(caller, set(processes))

    await caller.start(workers=30)
    victim, process = processes.popitem()
    await process.kill()
    await a_mesh.until(lambda ids: ids == set(processes), service)
    await caller.made(300)
    outcomes = await caller.stop()
    assert not failures(outcomes)
    assert victim not in {outcome.instance for outcome in outcomes[-100:]}


async def test_an_instance_in_maintenance_gets_no_call(a_mesh: Mesh) -> None:
    service = a_mesh.new_name()
    first, _ = await a_mesh.instance(service)
    second, _ = await a_mesh.instance(service)
    caller = await a_mesh.callable(service)
    await answered_by(caller, {first, second})

    await a_mesh.consul.maintenance(second, enable=True, reason="a test")
    await answered_by(caller, {first})

    await a_mesh.consul.maintenance(second, enable=False)
    await answered_by(caller, {first, second})


async def test_an_unknown_service_fails_at_once(a_mesh: Mesh) -> None:
    caller = await a_mesh.caller(a_mesh.new_name("nobody"))
    first, second = await caller.call(2)
    assert (first.code, second.code) == ("UNAVAILABLE", "UNAVAILABLE")
    # The first call of a process also opens the stream to the control plane; the second is the name's own cost.
    assert second.seconds < 0.1
    assert first.seconds < 1.0


async def test_a_caller_that_came_too_early_is_served_once_the_service_is_there(a_mesh: Mesh) -> None:
    service = a_mesh.new_name("late")
    caller = await a_mesh.caller(service)
    (outcome,) = await caller.call(1)
    assert outcome.code == "UNAVAILABLE"

    name, _ = await a_mesh.instance(service)

    async def served() -> bool:
        (outcome,) = await caller.call(1)
        return outcome.instance == name

    await eventually(served, timeout=10)
