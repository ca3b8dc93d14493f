"""Consul and the control plane go away and come back; the calls of the mesh go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.mesh.mesh import failures, mesh
from support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from support.consul.servers import ConsulServer
    from support.mesh.mesh import Mesh


async def test_consul_killed_and_restarted_empty_fails_no_call_and_registrations_return(a_mesh: Mesh) -> None:
    service = a_mesh.new_name()
    names = {(await a_mesh.instance(service))[0] for _ in range(2)}
    caller = await a_mesh.callable(service)

    await caller.start(workers=10)
    await a_mesh.consul_server.kill()
    await caller.made(500)
    await a_mesh.consul_server.restart(empty=True)
    await a_mesh.until(lambda ids: ids == names, service)
    await caller.made(500)
    assert not failures(await caller.stop())


async def test_the_mesh_follows_changes_again_after_consul_lost_its_state(a_mesh: Mesh) -> None:
    service = a_mesh.new_name()
    first, process = await a_mesh.instance(service)
    caller = await a_mesh.callable(service)
    await a_mesh.consul_server.kill()
    await a_mesh.consul_server.restart(empty=True)
    await a_mesh.until(lambda ids: ids == {first}, service)

    second, _ = await a_mesh.instance(service)
    await caller.start(workers=10)
    assert await process.terminate() == 0
    await caller.made(300)
    outcomes = await caller.stop()
    assert not failures(outcomes)
    assert {outcome.instance for outcome in outcomes[-50:]} == {second}


async def test_a_control_plane_killed_and_restarted_fails_no_call(a_mesh: Mesh) -> None:
    service = a_mesh.new_name()
    first, _ = await a_mesh.instance(service)
    caller = await a_mesh.callable(service)

    await caller.start(workers=10)
    address, process = a_mesh.control_planes[0]
    await process.kill()
    await caller.made(500)
    await a_mesh.control_plane(address)
    second, _ = await a_mesh.instance(service)
    await caller.made(500)

    async def heard_of_the_second() -> bool:
        return second in {outcome.instance for outcome in await caller.call(10)}

    await eventually(heard_of_the_second, timeout=30)
    assert not failures(await caller.stop())
    assert first != second


async def test_with_two_control_planes_one_may_die_and_changes_still_arrive(
    any_consul: ConsulServer, tmp_path: Path
) -> None:
    async with mesh(any_consul, tmp_path, control_planes=2) as built:
        service = built.new_name()
        await built.instance(service)
        caller = await built.callable(service)

        await caller.start(workers=10)
        await built.control_planes[0][1].kill()
        second, _ = await built.instance(service)
        await caller.made(200)

        async def heard_of_the_second() -> bool:
            return second in {outcome.instance for outcome in await caller.call(10)}

        await eventually(heard_of_the_second, timeout=30)
        assert not failures(await caller.stop())
