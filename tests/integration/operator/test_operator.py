"""The operator as a process, on an API emulator with made-up pods and a Consul: a rollout's life and its mishaps."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from meshwright.rollout.api import commands
from meshwright.rollout.api.vocabulary import CommandName
from support.kubernetes.emulator import DEPLOYMENTS, NAMESPACE, ROLLOUTS
from support.kubernetes.operator import World, first, operating
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with operating(tmp_path) as made:
        yield made


async def test_a_rollout_goes_from_its_first_version_to_the_next_and_away(world: World) -> None:
    await first(world)
    assert world.replicas() == {"user-1-0-0": 2}
    made = world.cluster.deployments()["user-1-0-0"]
    container = made["spec"]["template"]["spec"]["containers"][0]
    assert container == {
        "name": "user",
        "image": "user:1.0.0",
        "env": [{"name": "MESHWRIGHT_VERSION", "value": "1.0.0"}],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    owner = made["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("VersionedRollout", "user", True)

    await world.cluster.patch("user", commands.set_version("2.0.0"))
    await world.until_phase("Paused", weight=20)
    assert await world.weights() == {"v1-0-0": 80, "v2-0-0": 20}
    assert world.replicas() == {"user-1-0-0": 2, "user-2-0-0": 1}
    await world.cluster.patch("user", commands.command(CommandName.PROMOTE, "a"))
    await world.until_phase("Healthy", stable="2.0.0")
    await world.until_replicas(user_1_0_0=0, user_2_0_0=2)

    page = await world.page("/metrics")
    assert 'meshwright_rollout_phase{namespace="demo",phase="Healthy",rollout="user"} 1.0' in page
    assert 'meshwright_rollout_weight{namespace="demo",rollout="user",version="2.0.0"} 100.0' in page
    assert 'meshwright_rollout_duration_seconds_count{namespace="demo",outcome="Promoted",rollout="user"}' in page
    health = json.loads(await world.page("/healthz"))
    assert (health["rollouts"], health["stuck"]) == (1, [])
    assert {name: each["state"] for name, each in health["namespaces"].items()} == {NAMESPACE: "Holding"}
    reasons = {reason for reason, _ in world.cluster.events()}
    assert {"Initializing", "RolloutStarted", "StepStarted", "WeightSet", "Promoted"} <= reasons

    await world.cluster.delete("user")
    await world.until_gone()
    assert await world.consul.config_entry("service-splitter", "user") is None


async def test_a_version_that_fails_is_aborted_by_its_figures(world: World) -> None:
    await first(world)
    world.pods.traffic["3.0.0"].failing = 1.0
    await world.cluster.patch("user", commands.set_version("3.0.0"))
    status = await world.until_phase("Aborted", stable="1.0.0", refused="3.0.0")
    assert "success-rate" in status["message"]
    await world.until_weights(**{"v1-0-0": 100})
    conditions = {item["type"]: item["status"] for item in status["conditions"]}
    assert (conditions["Available"], conditions["Promoted"], conditions["Progressing"]) == ("True", "False", "False")
    page = await world.page("/metrics")
    assert 'verdict="Failed"' in page


async def test_a_killed_operator_goes_on_where_it_was(world: World) -> None:
    await first(world)
    assert world.operator
    await world.operator.kill()
    await world.cluster.patch("user", commands.set_version("2.0.0"))
    await world.start()
    await world.until_phase("Paused", weight=20)
    await world.operator.kill()
    # Meanwhile the weights are changed, and a version is scaled, from outside.
    await world.consul.put_config_entry(
        {"Kind": "service-splitter", "Name": "user", "Splits": [{"Weight": 100, "ServiceSubset": "v2-0-0"}]}
    )
    await world.cluster.patch_deployment("user-1-0-0", {"spec": {"replicas": 1}})
    await world.start()
    await world.until_weights(**{"v1-0-0": 80, "v2-0-0": 20})
    await world.until_replicas(user_1_0_0=2, user_2_0_0=1)
    await world.until_phase("Paused", weight=20)
    await world.cluster.patch("user", commands.command(CommandName.ABORT, "b"))
    await world.until_phase("Aborted", stable="1.0.0")
    await world.until_weights(**{"v1-0-0": 100})


async def test_an_api_server_that_is_away_is_waited_for(world: World) -> None:
    await first(world)
    await world.cluster.patch("user", commands.set_version("2.0.0"))
    await world.until_phase("Paused", weight=20)
    world.cluster.emulator.away = True
    assert world.operator
    await eventually(lambda: "HTTP 503" in world.operator.tail(50), 40)
    world.cluster.emulator.away = False
    await world.cluster.patch("user", commands.command(CommandName.PROMOTE_FULL, "c"))
    await world.until_phase("Healthy", stable="2.0.0")
    assert world.operator.running


async def test_what_is_not_valid_is_said_once_and_changes_nothing(world: World) -> None:
    await first(world)
    await world.cluster.patch("user", {"spec": {"version": "2.0.0", "replicas": 0}})
    status = await world.until_phase("Invalid")
    assert "spec.replicas" in status["message"]
    (progressing,) = [item for item in status["conditions"] if item["type"] == "Progressing"]
    assert (progressing["status"], progressing["reason"]) == ("False", "InvalidSpec")
    assert world.replicas() == {"user-1-0-0": 2}
    writes = world.cluster.status_writes()
    for letter in "abc":
        await world.cluster.patch("user", {"metadata": {"labels": {"a": letter}}})
    assert world.cluster.status_writes() == writes
    await world.cluster.patch("user", {"spec": {"replicas": 3}})
    await world.until_phase("Paused", weight=20)
    assert world.replicas() == {"user-1-0-0": 3, "user-2-0-0": 1}


async def test_a_foreign_deployment_is_left_alone(world: World) -> None:
    foreign = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "user-1-0-0", "namespace": NAMESPACE},
        "spec": {"replicas": 5, "template": {}},
    }
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
    assert (await world.cluster.emulator.post(path, json=foreign)).status < 300
    await world.apply("1.0.0")
    assert world.operator
    await eventually(lambda: "exists and is not this rollout's" in world.operator.tail(50), 30)
    assert world.cluster.exists(DEPLOYMENTS, "user-1-0-0")
    assert world.replicas() == {"user-1-0-0": 5}


async def test_a_rollout_that_is_deleted_while_the_operator_is_away_is_taken_out_when_it_is_back(world: World) -> None:
    await first(world)
    assert world.operator
    await world.operator.kill()
    await world.cluster.delete("user")
    assert world.cluster.exists(ROLLOUTS, "user")
    await world.start()
    await world.until_gone()
    assert await world.consul.config_entry("service-splitter", "user") is None


async def test_an_operator_of_one_namespace_needs_no_rights_beyond_it(tmp_path: Path) -> None:
    async with operating(tmp_path, MESHWRIGHT_OPERATOR_NAMESPACES=NAMESPACE) as world:
        await first(world)
        assert world.operator
        assert "Forbidden" not in world.operator.tail(100)


async def test_an_operator_that_is_killed_in_every_phase_ends_where_one_that_lives_does(world: World) -> None:
    async def killed_in(phase: str) -> None:
        await world.until(lambda status: status.get("phase") == phase)
        assert world.operator
        await world.operator.kill()
        await world.start()

    await world.apply("1.0.0")
    await killed_in("Initializing")
    await world.until_phase("Healthy", stable="1.0.0")
    await killed_in("Healthy")
    await world.cluster.patch("user", commands.set_version("2.0.0"))
    await killed_in("Progressing")
    await killed_in("Paused")
    await world.cluster.patch("user", commands.command(CommandName.ABORT, "a"))
    await killed_in("Aborted")
    await world.until_weights(**{"v1-0-0": 100})
    await world.cluster.patch("user", commands.command(CommandName.RETRY, "b"))
    await world.until_phase("Paused", weight=20)
    await world.cluster.patch("user", commands.command(CommandName.PROMOTE_FULL, "c"))
    assert world.operator
    await world.operator.kill()
    await world.start()
    await world.until_phase("Healthy", stable="2.0.0")
    await world.until_weights(**{"v2-0-0": 100})
    await world.until_replicas(user_1_0_0=0, user_2_0_0=2)
