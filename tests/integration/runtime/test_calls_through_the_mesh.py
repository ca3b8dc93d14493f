"""The runtime against a real control plane and a Consul: what only the whole shows."""

from __future__ import annotations

import json
import statistics
from functools import partial
from typing import TYPE_CHECKING

import pytest

from support.consul.servers import dev_consul
from support.mesh.mesh import Mesh, failures, mesh
from support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from support.consul.servers import ConsulServer


async def timeout_of(built: Mesh, service: str, seconds: float) -> None:
    """Let Consul's router end calls of that service after `seconds`."""
    await built.consul.put_config_entry({"Kind": "service-defaults", "Name": service, "Protocol": "grpc"})
    route = {
        "Match": {"HTTP": {"PathPrefix": "/"}},
        "Destination": {"Service": service, "RequestTimeout": f"{seconds * 1000:.0f}ms"},
    }
    await built.consul.put_config_entry({"Kind": "service-router", "Name": service, "Routes": [route]})


@pytest.mark.parametrize("seconds", [0.3, 1.5])
async def test_a_timeout_set_in_consul_fires_to_the_millisecond(
    only_real_consul: ConsulServer, tmp_path: Path, seconds: float
) -> None:
    async with mesh(only_real_consul, tmp_path) as built:
        service = built.new_name()
        await timeout_of(built, service, seconds)
        await built.instance(service, TARGET_DELAY="10")
        caller = await built.caller(service)

        async def timed_out() -> bool:
            (outcome,) = await caller.call(1, timeout=20, wait_for_ready=True)
            return outcome.code == "DEADLINE_EXCEEDED" and outcome.seconds < 5

        await eventually(timed_out, timeout=30)
        outcomes = await caller.call(7, timeout=20)
        assert {outcome.code for outcome in outcomes} == {"DEADLINE_EXCEEDED"}
        middle = statistics.median(outcome.seconds for outcome in outcomes)
        assert seconds - 0.003 < middle < seconds + 0.02


async def test_sigterm_under_load_loses_no_call(any_consul: ConsulServer, tmp_path: Path) -> None:
    async with mesh(any_consul, tmp_path) as built:
        service = built.new_name()
        leaving, process = await built.instance(service)
        await built.instance(service)
        caller = await built.callable(service)
        await caller.start(workers=20)
        assert await process.terminate() == 0
        await caller.made(300)
        outcomes = await caller.stop()
    assert not failures(outcomes)
    assert leaving in {outcome.instance for outcome in outcomes}


async def test_without_a_control_plane_channels_follow_consul(any_consul: ConsulServer, tmp_path: Path) -> None:
    async with mesh(any_consul, tmp_path, control_planes=0) as built:
        service = built.new_name()
        first, process = await built.instance(service)
        caller = await built.caller(service, MESHWRIGHT_DISCOVERY="consul")
        assert {outcome.instance for outcome in await caller.call(20)} == {first}
        await caller.start(workers=10)
        second, _ = await built.instance(service)
        await caller.made(300)
        assert await process.terminate() == 0
        await caller.made(300)
        outcomes = await caller.stop()
        assert {outcome.instance for outcome in await caller.call(20)} == {second}
    assert not failures(outcomes)
    assert {outcome.instance for outcome in outcomes} == {first, second}


async def test_without_consul_and_control_plane_calls_say_that_no_instance_is_known(tmp_path: Path) -> None:
    async with dev_consul() as registry, mesh(registry, tmp_path, control_planes=0) as built:
        await registry.kill()
        caller = await built.caller("nobody", MESHWRIGHT_DISCOVERY="consul")
        (outcome,) = await caller.call(1)
    assert outcome.code == "UNAVAILABLE"
    assert "meshwright up" in outcome.message


async def failing_over_between_zones(built: Mesh, service: str) -> str:
    """Consul's entries for a service whose calls stay in zone a as long as it has an instance there; the name to dial.

    Callers of each zone dial a name of theirs: Consul's resolvers do not look at who calls.
    """
    near = f"{service}-from-a"
    for name in (service, near):
        await built.consul.put_config_entry({"Kind": "service-defaults", "Name": name, "Protocol": "grpc"})
    zones = {zone: {"Filter": f'Service.Meta.zone == "{zone}"'} for zone in ("a", "b")}
    failover = {"a": {"ServiceSubset": "b"}, "b": {"ServiceSubset": "a"}}
    await built.consul.put_config_entry(
        {"Kind": "service-resolver", "Name": service, "Subsets": zones, "Failover": failover}
    )
    redirect = {"Service": service, "ServiceSubset": "a"}
    await built.consul.put_config_entry({"Kind": "service-resolver", "Name": near, "Redirect": redirect})
    return near


async def test_calls_stay_in_their_zone_fail_over_and_return(only_real_consul: ConsulServer, tmp_path: Path) -> None:
    async with mesh(only_real_consul, tmp_path) as built:
        service = built.new_name()
        near = await failing_over_between_zones(built, service)
        mine, process = await built.instance(service, MESHWRIGHT_REGION="eu", MESHWRIGHT_ZONE="a")
        other, _ = await built.instance(service, MESHWRIGHT_REGION="eu", MESHWRIGHT_ZONE="b")
        caller = await built.callable(near, MESHWRIGHT_ZONE="a")

        async def answered_by(*expected: str) -> bool:
            outcomes = await caller.call(20)
            assert not failures(outcomes)
            return {outcome.instance for outcome in outcomes} == set(expected)

        assert await answered_by(mine)
        await process.kill()
        await eventually(lambda: answered_by(other), timeout=20)
        back, _ = await built.instance(service, MESHWRIGHT_REGION="eu", MESHWRIGHT_ZONE="a")
        await eventually(lambda: answered_by(back), timeout=20)


async def test_the_policy_document_keeps_each_caller_in_its_own_zone(
    only_real_consul: ConsulServer, tmp_path: Path
) -> None:
    """One name for callers of all zones: where a caller is decides, and under load no call fails on the way."""
    async with mesh(only_real_consul, tmp_path) as built:
        service = built.new_name()
        document = json.dumps({"prioritize_by_locality": "failover"}).encode()
        assert await built.consul.kv_put(f"meshwright/policy/{service}", document)
        places = {zone: {"MESHWRIGHT_REGION": "eu", "MESHWRIGHT_ZONE": zone} for zone in "ab"}
        instances = {zone: await built.instance(service, **place) for zone, place in places.items()}
        callers = {zone: await built.callable(service, **place) for zone, place in places.items()}

        async def answered_by(zone: str, instance: str) -> bool:
            outcomes = await callers[zone].call(20)
            assert not failures(outcomes)
            return {outcome.instance for outcome in outcomes} == {instance}

        for zone in "ab":
            assert await answered_by(zone, instances[zone][0])
        for dying, living in ("ab", "ba"):
            (mine, process), (other, _) = instances[dying], instances[living]
            for caller in callers.values():
                await caller.start(workers=4)
            await process.kill()
            await built.until(lambda ids, gone=mine: gone not in ids, service)
            await callers[dying].made(100)
            instances[dying] = await built.instance(service, **places[dying])
            outcomes = {zone: await caller.stop() for zone, caller in callers.items()}
            assert not failures(outcomes[dying])
            assert not failures(outcomes[living])
            seen = [outcome.instance for outcome in sorted(outcomes[dying], key=lambda each: each.began)]
            assert seen[0] == mine
            assert other in seen
            assert mine not in seen[len(seen) - seen[::-1].index(other) :]
            assert {outcome.instance for outcome in outcomes[living]} == {other}
            await eventually(partial(answered_by, dying, instances[dying][0]), timeout=20)
