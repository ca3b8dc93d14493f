"""The operator and what happens at one version: new templates, changes by hand, versions that do not come up."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from meshwright.rollout.api import commands
from support.kubernetes.emulator import NAMESPACE
from support.kubernetes.operator import World, first, operating
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with operating(tmp_path) as made:
        yield made


def template(image: str = "user:1.0.0", **env: str) -> dict[str, Any]:
    entries = [{"name": key, "value": value} for key, value in env.items()]
    return {"spec": {"containers": [{"name": "user", "image": image, "env": entries}]}}


def env(world: World, name: str) -> dict[str, str]:
    (container,) = world.cluster.deployments()[name]["spec"]["template"]["spec"]["containers"]
    return {entry["name"]: entry["value"] for entry in container["env"]}


def condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in status["conditions"] if one["type"] == kind)
    return found


async def until_told(world: World, *reasons: str) -> None:
    """Until there are Events of these reasons."""
    await eventually(lambda: set(reasons) <= {reason for reason, _ in world.cluster.events()})


def reference(name: str = "web", **env: str) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"replicas": 1, "template": template(**env)},
    }


async def test_an_edited_template_reaches_the_pods_and_status_tells(world: World) -> None:
    await first(world)
    generation = world.cluster.rollout("user")["metadata"]["generation"]
    await world.cluster.patch("user", {"spec": {"template": template(FOO="bar")}})
    status = await world.until(lambda status: status.get("observedGeneration", 0) > generation)
    assert status["phase"] in {"Updating", "Healthy"}
    if status["phase"] == "Healthy":
        assert status["revision"] == 2, "observed and Healthy, and the pods are as they were"
    status = await world.until_phase("Healthy", revision=2)
    assert env(world, "user-1-0-0") == {"MESHWRIGHT_VERSION": "1.0.0", "FOO": "bar"}
    assert condition(status, "Current")["status"] == "True"
    strategy = world.cluster.deployments()["user-1-0-0"]["spec"]["strategy"]["rollingUpdate"]
    assert strategy == {"maxSurge": "25%", "maxUnavailable": 0}
    await until_told(world, "UpdateStarted", "Updated")
    assert "DriftCorrected" not in {reason for reason, _ in world.cluster.events()}
    assert await world.weights() == {"v1-0-0": 100}


async def test_an_update_that_does_not_come_up_leaves_the_old_pods_and_is_said(world: World) -> None:
    await first(world, progressDeadlineSeconds=3)
    world.pods.broken_templates.add("user:broken")
    await world.cluster.patch("user", {"spec": {"template": template("user:broken")}})
    status = await world.until(lambda status: status.get("reason") == "ProgressDeadlineExceeded")
    assert status["phase"] == "Updating"
    assert condition(status, "Progressing")["status"] == "False"
    assert condition(status, "Available")["status"] == "True"
    assert len(world.pods.instances["user-1-0-0"]) == 2
    await world.cluster.patch("user", {"spec": {"template": template("user:mended")}})
    await world.until_phase("Healthy", revision=3)


async def test_a_killed_operator_finishes_an_update(world: World) -> None:
    await first(world)
    world.pods.broken_templates.add("user:slow")
    await world.cluster.patch("user", {"spec": {"template": template("user:slow")}})
    await world.until_phase("Updating")
    assert world.operator
    await world.operator.kill()
    world.pods.broken_templates.clear()
    await world.start()
    await world.until_phase("Healthy", revision=2)


async def until_corrections(world: World, count: int) -> None:
    """Until so many Events say that drift was corrected, and no more."""

    def told() -> bool:
        found = [message for reason, message in world.cluster.events() if reason == "DriftCorrected"]
        assert len(found) == count, found
        return True

    await eventually(told, 10)


async def test_kubectl_set_env_and_scale_are_put_back_with_an_event(world: World) -> None:
    await first(world)
    made = world.cluster.deployments()["user-1-0-0"]
    (container,) = made["spec"]["template"]["spec"]["containers"]
    changed = {**container, "env": [*container["env"], {"name": "FOO", "value": "by hand"}]}
    await world.cluster.patch_deployment("user-1-0-0", {"spec": {"template": {"spec": {"containers": [changed]}}}})
    await world.until(lambda _: "FOO" not in env(world, "user-1-0-0"))
    # The pass that corrects one change may correct the next one with it, and tells what it had seen.
    await until_corrections(world, 1)
    await world.until_phase("Healthy")
    await world.cluster.patch_deployment("user-1-0-0", {"spec": {"replicas": 5}})
    await world.until_replicas(user_1_0_0=2)
    await until_corrections(world, 2)
    said = [message for reason, message in world.cluster.events() if reason == "DriftCorrected"]
    assert any("spec.template.spec.containers[user].env" in message for message in said), said
    assert any("spec.replicas: 5" in message for message in said), said
    generation = world.cluster.deployments()["user-1-0-0"]["metadata"]["generation"]
    writes = world.cluster.status_writes()
    await world.cluster.patch("user", {"metadata": {"labels": {"a": "b"}}})
    await eventually(lambda: world.cluster.rollout("user")["metadata"]["labels"] == {"a": "b"})
    assert world.cluster.deployments()["user-1-0-0"]["metadata"]["generation"] == generation, "and it is quiet then"
    assert world.cluster.status_writes() - writes <= 1


async def test_kubectl_rollout_restart_is_nobodys_drift(world: World) -> None:
    await first(world)
    stamp = {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}
    await world.cluster.patch_deployment("user-1-0-0", {"spec": {"template": {"metadata": {"annotations": stamp}}}})
    await world.until_phase("Healthy")
    await world.cluster.patch("user", {"spec": {"replicas": 3}})
    await world.until_replicas(user_1_0_0=3)
    made = world.cluster.deployments()["user-1-0-0"]["spec"]["template"]["metadata"]
    assert made["annotations"] == stamp
    assert "DriftCorrected" not in {reason for reason, _ in world.cluster.events()}


async def test_a_version_that_is_not_asked_for_keeps_its_template_and_gets_it_back(world: World) -> None:
    await first(world)
    await world.cluster.patch("user", {"spec": {"version": "2.0.0", "template": template("user:2.0.0")}})
    await world.until_phase("Paused", weight=20)
    images = {name: one["spec"]["template"]["spec"]["containers"][0]["image"] for name, one in deployments(world)}
    assert images == {"user-1-0-0": "user:1.0.0", "user-2-0-0": "user:2.0.0"}
    changed = {"name": "user", "image": "user:by-hand", "env": [{"name": "MESHWRIGHT_VERSION", "value": "1.0.0"}]}
    await world.cluster.patch_deployment("user-1-0-0", {"spec": {"template": {"spec": {"containers": [changed]}}}})
    await world.until(lambda _: image(world, "user-1-0-0") == "user:1.0.0")
    await world.cluster.delete_deployment("user-1-0-0")
    await world.until(lambda _: "user-1-0-0" in dict(deployments(world)))
    assert image(world, "user-1-0-0") == "user:1.0.0"


def deployments(world: World) -> list[tuple[str, dict[str, Any]]]:
    return sorted(world.cluster.deployments().items())


def image(world: World, name: str) -> str:
    found: str = world.cluster.deployments()[name]["spec"]["template"]["spec"]["containers"][0]["image"]
    return found


async def test_a_referenced_deployment_with_a_new_template_updates_and_with_a_new_version_rolls_out(
    world: World,
) -> None:
    await world.cluster.create_deployment(reference(MESHWRIGHT_VERSION="1.0.0"))
    await world.apply(None, template=None, workloadRef={"name": "web"})
    await world.until_phase("Healthy", stable="1.0.0")
    await world.cluster.patch_deployment("web", {"spec": {"template": template(MESHWRIGHT_VERSION="1.0.0", FOO="bar")}})
    began = time.monotonic()
    await world.until(lambda _: env(world, "user-1-0-0").get("FOO") == "bar")
    assert time.monotonic() - began < 10, "at once, and not with the next look"
    await world.until_phase("Healthy", revision=2)
    await world.cluster.patch_deployment("web", {"spec": {"template": template(MESHWRIGHT_VERSION="2.0.0")}})
    await world.until_phase("Paused", stable="1.0.0", target="2.0.0", weight=20)
    assert env(world, "user-2-0-0") == {"MESHWRIGHT_VERSION": "2.0.0"}
    await world.cluster.delete_deployment("web")
    await world.cluster.patch("user", {"spec": {"replicas": 3}})
    await world.until_replicas(user_1_0_0=3, user_2_0_0=1)


async def test_a_reference_to_nothing_is_named_and_mended_by_its_appearance(world: World) -> None:
    await world.apply("1.0.0", template=None, workloadRef={"name": "web"})
    status = await world.until(lambda status: "there is no Deployment web" in status.get("message", ""))
    assert condition(status, "InstancesReady")["reason"] == "WorkloadRefNotFound"
    await until_told(world, "WorkloadRefNotFound")
    await world.cluster.create_deployment(reference())
    await world.until_phase("Healthy", stable="1.0.0")


async def test_a_rollout_whose_reference_was_deleted_can_still_be_scaled(world: World) -> None:
    await world.cluster.create_deployment(reference())
    await world.apply("1.0.0", template=None, workloadRef={"name": "web"})
    await world.until_phase("Healthy", stable="1.0.0")
    await world.cluster.delete_deployment("web")
    await world.cluster.patch("user", {"spec": {"replicas": 3}})
    await world.until_replicas(user_1_0_0=3)
    await world.until(lambda status: status.get("ready") == "3/3")


async def test_a_reference_to_nothing_is_named_for_a_version_that_ran_before(world: World) -> None:
    await world.cluster.create_deployment(reference())
    at_once = {"canary": {"steps": [], "scaleDownDelay": "0s"}}
    await world.apply("1.0.0", template=None, workloadRef={"name": "web"}, strategy=at_once)
    await world.until_phase("Healthy", stable="1.0.0")
    await world.cluster.patch("user", commands.set_version("2.0.0"))
    await world.until_phase("Healthy", stable="2.0.0")
    await world.until(lambda _: world.replicas()["user-1-0-0"] == 0)
    await world.cluster.patch("user", {"spec": {"version": "1.0.0", "workloadRef": {"name": "absent"}}})
    status = await world.until(lambda status: "there is no Deployment absent" in status.get("message", ""))
    assert condition(status, "InstancesReady")["reason"] == "WorkloadRefNotFound"
    await until_told(world, "WorkloadRefNotFound")
    assert world.replicas()["user-1-0-0"] == 0
    await world.cluster.create_deployment(reference("absent"))
    await world.until_phase("Healthy", stable="1.0.0")


async def test_a_reference_that_says_no_version_is_refused_until_it_does(world: World) -> None:
    await world.cluster.create_deployment(reference())
    await world.apply(None, template=None, workloadRef={"name": "web"})
    status = await world.until_phase("Invalid")
    assert "spec.version" in status["message"]
    assert "MESHWRIGHT_VERSION" in status["message"]
    await until_told(world, "InvalidSpec")
    labels = {"metadata": {"labels": {"app.kubernetes.io/version": "3.1.0"}}}
    await world.cluster.patch_deployment("web", {"spec": {"template": labels}})
    await world.until_phase("Healthy", stable="3.1.0")


async def test_a_pod_that_crashes_says_how_it_ended_and_its_last_words(world: World) -> None:
    await first(world, progressDeadlineSeconds=4)
    world.pods.broken.add("2.0.0")
    await world.cluster.create_pod(crashing_pod("user-2-0-0-abc"))
    await world.cluster.patch("user", commands.set_version("2.0.0"))
    status = await world.until(lambda status: "no such table" in status.get("message", ""))
    assert "Pod user-2-0-0-abc, container user" in status["message"]
    assert "exited with code 3" in status["message"]
    assert condition(status, "InstancesReady")["reason"] == "CrashLoopBackOff"
    status = await world.until_phase("Aborted", stable="1.0.0")
    assert "no such table" in status["message"]
    await until_told(world, "CrashLoopBackOff", "ProgressDeadlineExceeded")
    said = [message for reason, message in world.cluster.events() if reason == "CrashLoopBackOff"]
    assert len(said) == 1


def crashing_pod(name: str) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat()
    ended = {"exitCode": 3, "reason": "Error", "message": "starting\nno such table: users\n", "finishedAt": now}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": {"meshwright.dev/rollout": "user", "meshwright.dev/version": "2-0-0"},
        },
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "False"}],
            "containerStatuses": [
                {
                    "name": "user",
                    "ready": False,
                    "restartCount": 2,
                    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 20s"}},
                    "lastState": {"terminated": ended},
                }
            ],
        },
    }
