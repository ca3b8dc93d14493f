"""The operator while something changes under it: another version, another size, another strategy, callers, Consul."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from meshwright.consul import Registration
from meshwright.dev.traces import TracesConfig, serving
from meshwright.model import Address, InstanceId, ServiceName
from meshwright.rollout.api import commands
from meshwright.rollout.api.vocabulary import CommandName
from meshwright_operator.lease.election import LEASE
from support.kubernetes.emulator import LEASES, ROLLOUTS
from support.kubernetes.operator import World, first, operating
from support.processes import python, running
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

OTLP = "OTEL_EXPORTER_OTLP_ENDPOINT"
BLUE_GREEN = {
    "blueGreen": {
        "previewHeaderRoute": {"match": [{"header": "x-preview", "exact": "yes"}]},
        "autoPromotion": False,
        "scaleDownDelay": "1s",
    }
}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with operating(tmp_path) as made:
        yield made


async def half_way(world: World) -> None:
    """Version 2.0.0 has a fifth of the calls, and waits for its promotion."""
    await first(world)
    await world.cluster.patch("user", commands.set_version("2.0.0"))
    await world.until_phase("Paused", weight=20)


async def test_a_version_that_is_superseded_half_way_goes_and_the_next_takes_its_place(world: World) -> None:
    await half_way(world)
    await world.cluster.patch("user", commands.set_version("2.1.0"))
    await world.until_weights(**{"v1-0-0": 80, "v2-1-0": 20})
    await world.until_phase("Paused", weight=20, stable="1.0.0")
    await world.cluster.patch("user", commands.command(CommandName.PROMOTE_FULL, "a"))
    await world.until_phase("Healthy", stable="2.1.0")
    await world.until_weights(**{"v2-1-0": 100})
    await eventually(lambda: world.replicas().get("user-2-0-0", 0) == 0)


async def test_going_back_to_the_stable_version_half_way_takes_the_other_one_out(world: World) -> None:
    await half_way(world)
    await world.cluster.patch("user", commands.set_version("1.0.0"))
    await world.until_phase("Healthy", stable="1.0.0")
    await world.until_weights(**{"v1-0-0": 100})
    await world.until_replicas(user_1_0_0=2, user_2_0_0=0)


async def test_a_bad_version_is_followed_by_a_good_one(world: World) -> None:
    await first(world)
    world.pods.traffic["3.0.0"].failing = 1.0
    await world.cluster.patch("user", commands.set_version("3.0.0"))
    await world.until_phase("Aborted", refused="3.0.0")
    await world.cluster.patch("user", commands.set_version("3.0.1"))
    await world.until_phase("Paused", weight=20)
    await world.cluster.patch("user", commands.command(CommandName.PROMOTE_FULL, "a"))
    await world.until_phase("Healthy", stable="3.0.1")


async def test_a_rollout_can_be_scaled_half_way(world: World) -> None:
    await half_way(world)
    await world.cluster.patch("user", {"spec": {"replicas": 10}})
    await world.until_replicas(user_1_0_0=10, user_2_0_0=2)
    await world.until_phase("Paused", weight=20)
    await world.cluster.patch("user", commands.command(CommandName.PROMOTE_FULL, "a"))
    await world.until_phase("Healthy", stable="2.0.0")
    await world.until_replicas(user_1_0_0=0, user_2_0_0=10)


async def test_blue_green_shows_a_preview_and_switches_at_once(world: World) -> None:
    await first(world, strategy=BLUE_GREEN)
    await world.cluster.patch("user", commands.set_version("2.0.0"))
    await world.until_phase("Paused", stable="1.0.0")
    await world.until_replicas(user_1_0_0=2, user_2_0_0=2)
    router = await world.consul.config_entry("service-router", "user")
    (route,) = (router or {})["Routes"]
    assert route["Match"]["HTTP"]["Header"] == [{"Name": "x-preview", "Exact": "yes"}]
    assert route["Destination"]["ServiceSubset"] == "v2-0-0"
    await world.cluster.patch("user", commands.command(CommandName.PROMOTE, "a"))
    await world.until_phase("Healthy", stable="2.0.0")
    await world.until_weights(**{"v2-0-0": 100})
    await world.until_replicas(user_1_0_0=0, user_2_0_0=2)
    assert not ((await world.consul.config_entry("service-router", "user")) or {}).get("Routes")


async def test_a_consul_without_a_leader_is_waited_for_and_nothing_is_given_up(world: World) -> None:
    await half_way(world)
    world.proxy.leaderless = True
    arrived = len(world.proxy.arrived)
    await world.cluster.patch("user", commands.command(CommandName.PROMOTE_FULL, "a"))
    # Several passes come to nothing.
    await eventually(lambda: len(world.proxy.arrived) > arrived + 12, 60)
    assert world.operator
    assert "No cluster leader" in world.operator.tail(20)
    assert world.cluster.status("user")["stable"] == "1.0.0"
    assert (await world.weights()) == {"v1-0-0": 80, "v2-0-0": 20}
    world.proxy.leaderless = False
    await world.until_phase("Healthy", stable="2.0.0")
    await world.until_weights(**{"v2-0-0": 100})


async def caller(world: World) -> None:
    """A caller of `demo.user.v1` that counts its calls on its page of metrics."""
    world.pods.traffic["caller"].calling = "demo.user.v1"
    registration = Registration(
        id=InstanceId("gateway-1"),
        service=ServiceName("gateway"),
        address=Address("127.0.0.1", 9),
        meta={"version": "1.0.0", "metrics_port": str(await world.pods.metrics_port("caller"))},
        grpc_check=None,
    )
    await world.consul.register(registration)


async def test_a_version_that_takes_away_an_api_in_use_stops_and_names_the_callers(world: World) -> None:
    await caller(world)
    apis = [{"name": "demo.user.v1", "servedBy": ["1.0.0"]}, {"name": "demo.user.v2", "servedBy": ["2.0.0"]}]
    await first(world, apis=apis)
    await world.cluster.patch("user", commands.set_version("2.0.0"))
    status = await world.until_phase("Paused", stable="1.0.0")
    assert "demo.user.v1" in status["message"]
    assert "gateway" in status["message"]
    assert (await world.weights()).get("v2-0-0", 0) == 0
    await world.cluster.patch("user", commands.command(CommandName.PROMOTE, "a"))
    await world.until_phase("Paused", weight=20)


async def traces_of(address: str, service: str) -> list[dict[str, Any]]:
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"http://{address}/api/traces", params={"service": service})
    return answer.json()["data"] or []


async def test_a_rollout_is_one_trace_though_the_operator_is_killed_in_the_middle(tmp_path: Path) -> None:
    ports = TracesConfig(query_port=0, otlp_grpc_port=0, otlp_http_port=0)
    async with serving(ports) as traces:
        environ = {OTLP: f"http://{traces.otlp_grpc}", "OTEL_SDK_DISABLED": "false"}
        async with operating(tmp_path, **environ) as world:
            await half_way(world)
            assert world.operator
            await world.operator.kill()
            await world.start()
            await world.cluster.patch("user", commands.command(CommandName.PROMOTE, "a"))
            await world.until_phase("Healthy", stable="2.0.0")
            await world.operator.terminate()

            async def told() -> dict[str, Any]:
                found = await traces_of(str(traces.query), "meshwright-operator")
                whole = [trace for trace in found if any("2.0.0" in json.dumps(span) for span in trace["spans"])]
                (one,) = whole
                return one

            trace = await eventually(told, 20, ignore=(ValueError,))
    spans = {span["spanID"]: span for span in trace["spans"]}
    roots = [span for span in spans.values() if not span["references"]]
    assert len(roots) == 1, [span["operationName"] for span in spans.values()]
    steps = [span for span in spans.values() if span["references"]]
    assert {reference["spanID"] for span in steps for reference in span["references"]} <= spans.keys()
    assert len(steps) >= 4, [span["operationName"] for span in steps]


async def test_an_operator_that_is_uninstalled_lets_go_of_its_rollouts(world: World) -> None:
    await half_way(world)
    assert world.operator
    removing = python("-m", "meshwright_operator.remove_finalizers")
    environ = {"KUBECONFIG": str(world.cluster.kubeconfig)}
    async with running(removing, world.folder / "remove.log", environ) as process:
        # The operator is still there and holds the Lease: nothing is taken off before it has ended.
        assert world.cluster.rollout("user")["metadata"].get("finalizers")
        await world.operator.terminate()
        assert await process.child.wait() == 0, process.tail()
    assert not world.cluster.exists(LEASES, LEASE)
    assert not world.cluster.rollout("user")["metadata"].get("finalizers")
    await world.cluster.delete("user")
    assert not world.cluster.exists(ROLLOUTS, "user")
    assert (await world.weights()) == {"v1-0-0": 80, "v2-0-0": 20}
