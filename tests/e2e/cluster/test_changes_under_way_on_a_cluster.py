"""Rollouts changed under way, begun by a Deployment's template, scaled by an HPA, or kept from coming up."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from support.kubernetes.cluster import Release, needs_cluster, rolled_out
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

NAMESPACE = "meshwright-e2e-changes"
HALF = [{"setHeaderRoute": {"name": "testers", "match": [{"header": "x-tester", "exact": "yes"}]}}, {"setWeight": 50}]
STEPS = [*HALF, {"pause": {}}]
ABSENT = "absent-from-here"

pytestmark = [needs_cluster, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mw() -> AsyncIterator[Release]:
    async with rolled_out(NAMESPACE) as made:
        yield made


async def until(mw: Release, **wanted: Any) -> dict[str, Any]:
    """The status, as soon as it is of the present spec and says so."""

    async def reached() -> dict[str, Any]:
        found = await mw.rollout()
        status: dict[str, Any] = found.get("status", {})
        assert status.get("observedGeneration") == found["metadata"]["generation"], status
        assert {key: status.get(key) for key in wanted} == wanted, status
        return status

    return await eventually(reached, 180, every=0.3)


async def avatars(client: httpx.AsyncClient, times: int = 40, **headers: str) -> list[bool]:
    """Which of so many answers know avatars: 2.0.0 and later does, 1.0.0 does not."""
    pages = [(await client.get("/api/v1/users", headers=headers)).json() for _ in range(times)]
    return [page["users"][0]["avatar"] is not None for page in pages]


async def back_to(mw: Release, version: str) -> None:
    """At once, whichever version is the stable one."""
    await mw.change(version=version, strategy={"blueGreen": None, "canary": {"steps": [], "scaleDownDelay": "0s"}})
    await until(mw, phase="Healthy", stable=version, retiring=None)


async def until_old(client: httpx.AsyncClient, **headers: str) -> float:
    """Call until forty answers in a row are of 1.0.0; seconds until the last one that was not."""
    began, last, in_a_row = time.monotonic(), 0.0, 0
    async with asyncio.timeout(60):
        while in_a_row < 40:
            (is_new,) = await avatars(client, 1, **headers)
            in_a_row = 0 if is_new else in_a_row + 1
            if is_new:
                last = time.monotonic() - began
    return last


async def test_other_steps_begin_where_a_rollout_begins_with_no_call_and_no_header_route_left(mw: Release) -> None:
    async with mw.load() as calls, mw.forwarded("mw-gateway", 8080) as client:
        await mw.change(version="2.0.0", strategy={"canary": {"steps": STEPS}})
        await until(mw, phase="Paused", weight=50)
        half = await avatars(client)
        assert 0 < sum(half) < len(half)
        assert all(await avatars(client, **{"x-tester": "yes"}))
        await mw.change(strategy={"canary": {"steps": [{"pause": {}}, {"setWeight": 5}]}})
        print(f"last call at 2.0.0 {await until_old(client):.1f} s after the steps were changed at 50 %")
        await until(mw, phase="Paused", weight=0)
        assert await until_old(client, **{"x-tester": "yes"}) == 0
        assert set(await calls.end()) == {200}


async def test_a_canary_that_becomes_blue_green_shows_its_version_to_previewers_alone(mw: Release) -> None:
    async with mw.load() as calls, mw.forwarded("mw-gateway", 8080) as client:
        await mw.change(version="2.0.0", strategy={"canary": {"steps": STEPS}})
        await until(mw, phase="Paused", weight=50)
        preview = {"match": [{"header": "x-preview", "exact": "yes"}]}
        await mw.change(strategy={"canary": None, "blueGreen": {"autoPromotion": False, "previewHeaderRoute": preview}})
        print(f"last ordinary call at 2.0.0 {await until_old(client):.1f} s after it became blue-green")
        await until(mw, phase="Paused", weight=0)
        assert not any(await avatars(client, **{"x-tester": "yes"}))
        assert all(await avatars(client, **{"x-preview": "yes"}))
        assert set(await calls.end()) == {200}
    await back_to(mw, "1.0.0")


async def test_a_version_in_the_template_of_the_deployment_begins_a_rollout(mw: Release) -> None:
    await mw.kube("set", "env", "deployment/mw-user", "MESHWRIGHT_VERSION=1.0.0")
    await mw.change(version=None, strategy={"canary": {"steps": HALF}})
    revision = (await until(mw, phase="Healthy", stable="1.0.0"))["revision"]
    async with mw.load() as calls:
        began = time.monotonic()
        await mw.kube("set", "env", "deployment/mw-user", "MESHWRIGHT_VERSION=2.0.0")
        await until(mw, phase="Progressing", target="2.0.0")
        print(f"a rollout began {time.monotonic() - began:.1f} s after `kubectl set env` on its Deployment")
        await until(mw, phase="Healthy", stable="2.0.0")
        await mw.kube("set", "env", "deployment/mw-user", "GREETING=bonjour")
        after = await until(mw, phase="Healthy", stable="2.0.0", revision=2)
        assert set(await calls.end()) == {200}
    assert revision >= 1
    assert after["target"] == "2.0.0"
    await back_to(mw, "1.0.0")
    await mw.kube("set", "env", "deployment/mw-user", "MESHWRIGHT_VERSION-", "GREETING-")


async def template(mw: Release) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await mw.kube("get", "deployment", "mw-user", "--output=json"))
    return found["spec"]["template"]


async def test_an_image_that_cannot_be_pulled_is_named(mw: Release) -> None:
    mine = await template(mw)
    mine["spec"]["containers"][0]["image"] = "registry.invalid/user:3.0.0"
    await mw.change(version="3.0.0", workloadRef=None, template=mine)
    await is_told(mw, "ErrImagePull", "user-3-0-0", "registry.invalid/user:3.0.0")


async def test_a_config_map_that_is_not_there_is_named(mw: Release) -> None:
    mine = await template(mw)
    mine["spec"]["containers"][0]["envFrom"] = [{"configMapRef": {"name": ABSENT}}]
    await mw.change(version="3.0.0", workloadRef=None, template=mine)
    await is_told(mw, "CreateContainerConfigError", "user-3-0-0", ABSENT)


async def test_a_quota_that_refuses_pods_is_named_and_the_rollout_goes_on_without_it(mw: Release) -> None:
    await mw.kube("create", "quota", "few", "--hard=pods=1")
    try:
        await mw.change(version="3.0.0", workloadRef={"name": "mw-user"}, template=None)
        await is_told(mw, "FailedCreate", "user-3-0-0", "exceeded quota: few", after=None)
    finally:
        await mw.kube("delete", "quota", "few")
    # The ReplicaSet tries again by itself, later and later.
    await until(mw, phase="Healthy", stable="3.0.0")
    await back_to(mw, "1.0.0")


async def test_a_deployment_that_is_not_there_is_named(mw: Release) -> None:
    await mw.change(version="3.0.0", workloadRef={"name": ABSENT})
    await is_told(mw, "WorkloadRefNotFound", f"there is no Deployment {ABSENT}")


async def is_told(mw: Release, reason: str, *words: str, after: str | None = "1.0.0") -> None:
    """Until condition and Event say so; then back to the version that serves, which answered all the while."""
    began = time.monotonic()

    async def told() -> str:
        status = (await mw.rollout())["status"]
        (ready,) = [one for one in status["conditions"] if one["type"] == "InstancesReady"]
        assert ready["reason"] == reason, status
        assert all(word in ready["message"] for word in words), ready
        return str(ready["message"])

    said = await eventually(told, 90, every=0.3)
    print(f"{reason} after {time.monotonic() - began:.0f} s: {said}")
    selector = f"--field-selector=involvedObject.name=user,reason={reason}"

    async def event() -> bool:
        events = json.loads(await mw.kube("get", "events", selector, "--output=json"))["items"]
        assert any(all(word in one["message"] for word in words) for one in events), events
        return True

    await eventually(event, 30)
    if after:
        await mw.change(version=after, workloadRef={"name": "mw-user"}, template=None)
        await until(mw, phase="Healthy", stable=after, retiring=None)


async def test_an_hpa_scales_the_rollout_up_and_down(mw: Release) -> None:
    # A pod with nothing to do takes up to half of the 50m CPU that it requests, one under this load four times as much.
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "user"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "meshwright.dev/v1alpha1", "kind": "VersionedRollout", "name": "user"},
            "minReplicas": 2,
            "maxReplicas": 4,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 150}},
                }
            ],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
        },
    }
    await mw.kube("apply", "--filename=-", given=json.dumps(scaler))

    async def asks_for(more: bool) -> int:
        found = await mw.rollout()
        replicas: int = found["spec"]["replicas"]
        assert (replicas > 2) == more, replicas
        assert found["status"]["phase"] == "Healthy"
        assert f"{replicas}/{replicas}" in await mw.kube("get", "deployment", "user-1-0-0")
        return replicas

    try:
        async with mw.load() as calls:
            began = time.monotonic()
            many = await eventually(lambda: asks_for(more=True), 180, every=1)
            print(f"an HPA asked for {many} instances, and they served, {time.monotonic() - began:.0f} s into the load")
            assert set(await calls.end()) == {200}
        began = time.monotonic()
        await eventually(lambda: asks_for(more=False), 240, every=1)
        print(f"two again {time.monotonic() - began:.0f} s after the load")
    finally:
        await mw.kube("delete", "hpa", "user", "--ignore-not-found")
