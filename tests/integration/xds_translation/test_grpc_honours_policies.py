"""What gRPC's own client does with the policy document, and with the endpoints that Consul's health leads to."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from integration.xds_translation.translated import answers, backends, client
from meshwright.controlplane.model.catalog import Target
from meshwright.model import Health, ServiceName
from support.consul.chains import ALL, V1, recorded
from support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from integration.xds_translation.translated import Backend, Client, ControlPlane

RESERVE = Target(ServiceName("user-reserve"))


async def test_ring_hash_keeps_a_key_on_one_instance(plane: ControlPlane, caller: Client) -> None:
    policy = {"load_balancing": {"policy": "ring_hash", "hash_on_header": "X-User"}}
    async with backends("a", "b", "c") as servers:
        plane.publish(
            recorded("plain"), instances={ALL: [server.instance() for server in servers]}, policies={"user": policy}
        )
        await eventually(lambda: _all_reached(caller, 3))
        homes = set()
        for number in range(12):
            found = answers(await caller.call(10, x_user=f"user-{number}"))
            assert len(found) == 1
            homes |= found.keys()
        assert len(homes) > 1


async def test_a_ring_gives_instances_of_all_zones_the_same_share(plane: ControlPlane, caller: Client) -> None:
    policy = {"load_balancing": {"policy": "ring_hash", "hash_on_header": "x-user"}}
    async with backends("a1", "a2", "a3", "b1") as servers:
        members = [server.instance(zone=server.name[0]) for server in servers]
        plane.publish(recorded("plain"), instances={ALL: members}, policies={"user": policy})
        await eventually(lambda: _all_reached(caller, 4))
        found = answers(await caller.call(2000, concurrent=32))
        assert 350 <= found["b1"] <= 650


async def _all_reached(caller: Client, count: int, **metadata: str) -> bool:
    return len(answers(await caller.call(30, **metadata))) == count


async def test_calls_fail_over_and_come_back(plane: ControlPlane, caller: Client) -> None:
    async with backends("first", "reserve") as (first, reserve):
        instances = {V1: [first.instance()], RESERVE: [reserve.instance("user-reserve")]}
        plane.publish(recorded("failover"), instances=instances)
        assert answers(await caller.call(10)) == {"first": 10}
        plane.publish(instances={V1: [first.instance(health=Health.CRITICAL)], RESERVE: instances[RESERVE]})
        await eventually(lambda: _only(caller, "reserve"))
        plane.publish(instances=instances)
        await eventually(lambda: _only(caller, "first"))
        await first.stop()
        await eventually(lambda: _only(caller, "reserve"))


async def _only(caller: Client, name: str) -> bool:
    found = answers(await caller.call(5))
    assert found.keys() <= {"first", "reserve"}, "no call fails on the way"
    return found == {name: 5}


@pytest.mark.parametrize("health", [Health.CRITICAL, Health.MAINTENANCE])
async def test_an_instance_that_is_not_well_gets_no_new_call_and_finishes_its_old_ones(
    plane: ControlPlane, caller: Client, health: Health, tmp_path: Path
) -> None:
    async with backends("a", "b") as (a, b):
        plane.publish(recorded("plain"), instances={ALL: [a.instance()]})
        await caller.call(1)
        a.released.clear()
        pending = asyncio.create_task(caller.call(1))
        await eventually(lambda: a.held == 1)
        plane.publish(instances={ALL: [a.instance(health=health), b.instance()]})
        async with client(plane, tmp_path) as other:
            await eventually(lambda: _answers_all(other, "b"))
            assert a.held == 1
            a.released.set()
            (outcome,) = await pending
            assert outcome.answer == "a"


async def test_an_abort_hits_the_share_and_the_callers_that_it_names(plane: ControlPlane, caller: Client) -> None:
    faults = [
        {"headers": [{"name": "x-chaos", "exact": "all"}], "abort": {"status": "NOT_FOUND"}},
        {"abort": {"status": 8, "percentage": 50}},
    ]
    async with backends("a") as (a,):
        plane.publish(recorded("plain"), instances={ALL: [a.instance()]}, policies={"user": {"faults": faults}})
        assert answers(await caller.call(20, x_chaos="all")) == {"NOT_FOUND": 20}
        found = answers(await caller.call(400))
        assert found.keys() == {"a", "RESOURCE_EXHAUSTED"}
        assert 140 <= found["a"] <= 260
        plane.publish(policies={})
        await eventually(lambda: _answers_all(caller, "a"))


async def _answers_all(caller: Client, name: str) -> bool:
    return answers(await caller.call(10)) == {name: 10}


async def test_a_delay_holds_back_only_the_callers_that_it_names(plane: ControlPlane, caller: Client) -> None:
    faults = [{"headers": [{"name": "x-slow", "present": True}], "delay": {"duration": "300ms"}}]
    async with backends("a") as (a,):
        plane.publish(recorded("plain"), instances={ALL: [a.instance()]}, policies={"user": {"faults": faults}})
        await caller.call(5)
        (slow,) = await caller.call(1, x_slow="yes")
        (fast,) = await caller.call(1)
        assert slow.answer == fast.answer == "a"
        assert slow.seconds >= 0.3
        assert fast.seconds < 0.3


async def test_an_instance_that_fails_too_often_is_ejected(plane: ControlPlane, caller: Client) -> None:
    outliers = {
        "failure_percentage": 50,
        "minimum_hosts": 2,
        "request_volume": 5,
        "interval": "500ms",
        "base_ejection_time": "30s",
    }
    async with backends("good", "bad") as (good, bad):
        bad.fail = grpc.StatusCode.INTERNAL
        plane.publish(
            recorded("plain"),
            instances={ALL: [good.instance(), bad.instance()]},
            policies={"user": {"outlier_detection": outliers}},
        )
        assert "INTERNAL" in await eventually(lambda: _two_kinds(caller))
        await eventually(lambda: _stays(caller, "good"))


async def _two_kinds(caller: Client) -> Any:
    found = answers(await caller.call(20))
    return found if len(found) == 2 else None


async def _stays(caller: Client, name: str) -> bool:
    return answers(await caller.call(40)) == {name: 40}


async def test_calls_beyond_the_limit_fail_at_once(plane: ControlPlane, caller: Client) -> None:
    policy = {"max_concurrent_requests": 3, "retry": {"attempts": 1}}
    async with backends("a") as (a,):
        plane.publish(recorded("plain"), instances={ALL: [a.instance()]}, policies={"user": policy})
        await caller.call(1)
        a.released.clear()
        pending = asyncio.create_task(caller.call(10, concurrent=10))
        await eventually(lambda: pending.done() or a.held == 3)
        assert not pending.done(), pending.result()
        a.released.set()
        # Which of the ten come late enough to find room again is chance: at least one was refused, three served.
        found = answers(await pending)
        assert found["a"] >= 3
        assert found["UNAVAILABLE"] >= 1
        assert found.total() == 10


async def test_more_than_a_thousand_calls_at_once_are_no_problem_without_a_limit(
    plane: ControlPlane, caller: Client
) -> None:
    async with backends("a") as (a,):
        plane.publish(recorded("plain"), instances={ALL: [a.instance()]}, policies={"user": {"retry": {"attempts": 1}}})
        await caller.call(1)
        a.released.clear()
        pending = asyncio.create_task(caller.call(1200, concurrent=1200, timeout=30))
        await eventually(lambda: pending.done() or a.held == 1200, timeout=30)
        assert not pending.done(), pending.result()[:3]
        assert a.held == 1200
        a.released.set()
        assert answers(await pending) == {"a": 1200}


async def test_unavailable_is_retried_by_default_and_not_when_told_so(plane: ControlPlane, caller: Client) -> None:
    async with backends("a") as (a,):
        plane.publish(recorded("plain"), instances={ALL: [a.instance()]})
        await caller.call(1)
        a.fail_next = 2
        assert answers(await caller.call(1)) == {"a": 1}
        a.fail_next = 3
        assert answers(await caller.call(1)) == {"UNAVAILABLE": 1}
        plane.publish(policies={"user": {"retry": {"attempts": 1}}})
        await eventually(lambda: _fails_once(a, caller))


async def _fails_once(backend: Backend, caller: Client) -> bool:
    backend.fail_next = 1
    return answers(await caller.call(1)) == {"UNAVAILABLE": 1}


async def test_other_statuses_are_retried_when_the_policy_names_them(plane: ControlPlane, caller: Client) -> None:
    async with backends("a", "b") as (a, b):
        a.fail = grpc.StatusCode.RESOURCE_EXHAUSTED
        retry = {"on": ["resource-exhausted", "unavailable"], "attempts": 5, "base_backoff": "10ms"}
        plane.publish(
            recorded("plain"),
            instances={ALL: [a.instance(), b.instance()]},
            policies={"user": {"retry": retry, "timeout": "5s"}},
        )
        assert answers(await caller.call(20, concurrent=1)) == {"b": 20}
        assert a.calls > 0


async def test_a_stopped_instance_costs_no_call(plane: ControlPlane, caller: Client) -> None:
    async with backends("a", "b") as (a, b):
        plane.publish(recorded("plain"), instances={ALL: [a.instance(), b.instance()]})
        await eventually(lambda: _all_reached(caller, 2))
        await a.stop()
        assert answers(await caller.call(200)) == {"b": 200}


async def test_consul_weights_count_though_round_robin_ignores_them(plane: ControlPlane, caller: Client) -> None:
    async with backends("heavy", "light") as (heavy, light):
        weighted = [_weighing(heavy.instance(), 9), _weighing(light.instance(), 1)]
        plane.publish(recorded("plain"), instances={ALL: weighted})
        await eventually(lambda: _all_reached(caller, 2))
        found = answers(await caller.call(2000, concurrent=32))
        assert 140 <= found["light"] <= 260


def _weighing(instance: Any, weight: int) -> Any:
    return dataclasses.replace(instance, weight=weight)


async def test_a_caller_s_own_limit_counts_for_its_calls(plane: ControlPlane, caller: Client) -> None:
    defaults = {"Name": "test", "UpstreamConfig": {"Defaults": {"Limits": {"MaxConcurrentRequests": 3}}}}
    async with backends("a") as (a,):
        plane.publish(
            recorded("plain"),
            instances={ALL: [a.instance()]},
            defaults=[defaults],
            policies={"user": {"retry": {"attempts": 1}}},
        )
        assert answers(await caller.call(5, concurrent=1)) == {"a": 5}
        a.released.clear()
        pending = asyncio.create_task(caller.call(10, concurrent=10))
        await eventually(lambda: a.held == 3)
        a.released.set()
        assert answers(await pending) == {"a": 3, "UNAVAILABLE": 7}
        plane.publish(defaults=[])

        async def unlimited() -> bool:
            return answers(await caller.call(10, concurrent=10)) == {"a": 10}

        await eventually(unlimited)
