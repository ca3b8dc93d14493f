"""Where an operator acts: in every namespace with rollouts where that is asked for, and nowhere without the Lease."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from support.kubernetes.cluster import SMALL, Release, kubectl, needs_cluster, release
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NAMESPACE, TEAM = "meshwright-e2e-reach", "meshwright-e2e-team"
ELSEWHERE = "elsewhere/mw"
FOREIGN_SECONDS = 10
"""How long another installation's Lease says that it lasts; it is believed for four times as long."""

pytestmark = [needs_cluster, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def team() -> AsyncIterator[Release]:
    """A namespace beside the release's, whose operator is for the whole cluster."""
    other = Release(TEAM, service="adder")
    await other.gone()
    async with release(NAMESPACE, *SMALL, "--set", "operator.clusterwide=true") as mw:
        await kubectl("create", "namespace", TEAM)
        await other.kube("apply", "--filename=-", given=json.dumps(await adder(mw)))
        try:
            yield other
        finally:
            await mw.helm("uninstall", "mw", "--wait", "--ignore-not-found")
            # Where a test failed while the Lease was another's, the finalizer is still there.
            let_go = ("patch", "vro", "adder", "--type=merge", '--patch={"metadata":{"finalizers":null}}')
            await other.kube(*let_go, check=False)
            await other.gone()


async def adder(mw: Release) -> dict[str, Any]:
    """The calculator under another name, for another namespace: it finds the mesh by whole host names."""
    found: dict[str, Any] = json.loads(await mw.kube("get", "deployment", "mw-calculator", "--output=json"))
    pod = found["spec"]["template"]["spec"]
    for name in ("serviceAccount", "serviceAccountName", "topologySpreadConstraints"):
        pod.pop(name)
    (container,) = pod["containers"]
    for entry in container["env"]:
        if "mw-" in entry.get("value", ""):
            host, _, port = entry["value"].rpartition(":")
            entry["value"] = f"{host}.{NAMESPACE}.svc:{port}"
    container["env"] += [{"name": "MESHWRIGHT_SERVICE", "value": "adder"}]
    labels = {"app": "adder"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "adder"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


async def begin(team: Release) -> None:
    document = {
        "apiVersion": "meshwright.dev/v1alpha1",
        "kind": "VersionedRollout",
        "metadata": {"name": "adder"},
        "spec": {
            "service": "adder",
            "version": "1.0.0",
            "workloadRef": {"name": "adder"},
            "strategy": {"canary": {"steps": [{"setWeight": 50}], "scaleDownDelay": "0s"}},
        },
    }
    await team.kube("apply", "--filename=-", given=json.dumps(document))


async def lease(team: Release) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await team.kube("get", "lease", "meshwright-operator", "--output=json"))
    return found


async def test_a_rollout_in_another_namespace_is_looked_after_from_its_first_on(team: Release) -> None:
    began = time.monotonic()
    await begin(team)
    await team.until_phase("Healthy", "1.0.0", 180)
    print(f"healthy in another namespace {time.monotonic() - began:.0f} s after its first rollout was made")
    assert (await lease(team))["spec"]["holderIdentity"].startswith(f"{NAMESPACE}/mw/")
    await team.ask_for("2.0.0")
    await team.until_phase("Healthy", "2.0.0", 180)


async def test_without_the_lease_nothing_is_done_and_who_has_it_is_said(team: Release) -> None:
    held = await lease(team)
    taken = {
        "metadata": {"annotations": {"meshwright.dev/installation": ELSEWHERE}},
        "spec": {
            "holderIdentity": f"{ELSEWHERE}/mw-operator-0",
            "leaseDurationSeconds": FOREIGN_SECONDS,
            "renewTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        },
    }
    await team.kube("patch", "lease", "meshwright-operator", "--type=merge", f"--patch={json.dumps(taken)}")
    began = time.monotonic()

    async def refused() -> bool:
        conditions = (await team.rollout())["status"]["conditions"]
        told = [one["message"] for one in conditions if one["type"] == "OperatorConflict"]
        assert any(ELSEWHERE in message for message in told), told
        return True

    await eventually(refused, 60, every=0.3)
    print(f"the rollout says whose it is {time.monotonic() - began:.1f} s after the Lease was taken")
    generation = json.loads(await team.kube("get", "deployment", "adder-2-0-0", "--output=json"))["metadata"][
        "generation"
    ]
    await team.ask_for("2.1.0")
    held_by = (await lease(team))["spec"]["holderIdentity"]
    while time.monotonic() - began < FOREIGN_SECONDS * 3 and held_by.startswith(ELSEWHERE):
        status = (await team.rollout())["status"]
        assert (status["phase"], status["target"]) == ("Healthy", "2.0.0")
        held_by = (await lease(team))["spec"]["holderIdentity"]
    deployments = json.loads(await team.kube("get", "deployments", "--output=json"))["items"]
    generations = {one["metadata"]["name"]: one["metadata"]["generation"] for one in deployments}
    assert generations["adder-2-0-0"] == generation
    assert "adder-2-1-0" not in generations
    reasons = await team.kube("get", "events", "--output=jsonpath={.items[*].reason}")
    assert "SecondOperatorRefused" in reasons

    async def has_it_again() -> bool:
        return bool((await lease(team))["spec"]["holderIdentity"] == held["spec"]["holderIdentity"])

    await eventually(has_it_again, 120, every=0.3)
    print(f"has the Lease again after {time.monotonic() - began:.0f} s, in the same process")
    await team.until_phase("Healthy", "2.1.0", 180)
    conditions = [one["type"] for one in (await team.rollout())["status"]["conditions"]]
    assert "OperatorConflict" not in conditions


async def test_an_uninstallation_lets_go_of_rollouts_in_every_namespace(team: Release) -> None:
    mw = Release(NAMESPACE)
    began = time.monotonic()
    await mw.helm("uninstall", "mw", "--wait", "--timeout", "3m")
    print(f"uninstalled in {time.monotonic() - began:.0f} s")
    assert "finalizers" not in (await team.rollout())["metadata"]
    assert not json.loads(await team.kube("get", "leases", "--output=json"))["items"]
    await team.kube("delete", "vro", "adder", "--wait", "--timeout=30s")
