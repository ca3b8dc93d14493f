"""The chart on a real cluster: install, test, call, roll out, abort, break, upgrade, leave.

Runs where KUBECONFIG names a cluster that has the image. Everything happens in a namespace of its own, which goes in
the end; one installation serves all tests, in their order.
"""

from __future__ import annotations

import base64
import re
import time
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from support.kubernetes.cluster import CHART, Release, given, needs_cluster, release
from support.mesh.up import command
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

AT_THE_GATEWAY = [
    "polling",
    "chat",
    "events",
    "json-rpc",
    "errors",
    "saga",
    "order-events",
    "versions",
    "deprecation",
    "tenants",
]
"""The other stops call services by name, or look at processes: those need what is up on a laptop."""

pytestmark = [needs_cluster, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mw() -> AsyncIterator[Release]:
    async with release("meshwright-e2e") as made:
        yield made


async def operator_password(mw: Release) -> str:
    found = await mw.kube("get", "secret", "mw-gateway", "--output=jsonpath={.data.operatorPassword}")
    return base64.b64decode(found).decode()


async def test_helm_test_makes_a_call_and_finds_its_trace(mw: Release) -> None:
    assert re.search(r"Phase:\s+Succeeded", (await mw.helm("test", "mw"))[1])


async def test_the_stops_of_the_tour_that_need_the_gateway_alone_see_what_their_slides_say(
    mw: Release, tmp_path: Path
) -> None:
    only = [text for name in AT_THE_GATEWAY for text in ("--only", name)]
    async with mw.forwarded("mw-gateway", 8080) as client:
        code, said = await command(tmp_path, "tour", "--gateway", str(client.base_url), *only, patience=120)
    assert code == 0, said
    assert f"{len(AT_THE_GATEWAY)} of {len(AT_THE_GATEWAY)} stops saw what the slides say" in said


async def test_the_operator_signs_in_with_the_password_that_the_chart_has_made_up(mw: Release) -> None:
    async with mw.forwarded("mw-gateway", 8080) as client:
        body = {"email": "operator", "password": await operator_password(mw)}
        answer = await client.post("/auth/sign-in", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["subject"] == "operator"
        body["password"] = "operate-the-demo"  # the one of `make up`
        assert (await client.post("/auth/sign-in", json=body)).status_code == 401


async def test_a_service_comes_under_a_rollout_without_a_failed_call(mw: Release) -> None:
    async with mw.load() as calls:
        await mw.apply()
        await mw.until_phase("Healthy", "1.0.0")
        await eventually(mw.idle, timeout=60)
        await calls.made(300)
        assert set(await calls.end()) == {200}
    assert "2/2" in await mw.kube("get", "deployment", "user-1-0-0")


async def test_a_canary_is_promoted_under_load_and_kubectl_can_wait_for_it(mw: Release) -> None:
    async with mw.load() as calls:
        began = time.monotonic()
        await mw.ask_for("2.0.0")
        await mw.kube("wait", "vro/user", "--for=jsonpath={.status.stable}=2.0.0", "--timeout=120s")
        print(f"promoted in {time.monotonic() - began:.0f} s")
        await mw.until_phase("Healthy", "2.0.0")
        await mw.kube("wait", "vro/user", "--for=condition=Promoted", "--timeout=30s")
        await calls.made(200)
        assert set(await calls.end()) == {200}


async def test_a_canary_that_fails_is_aborted_though_the_operator_is_killed_meanwhile(mw: Release) -> None:
    async with mw.load() as calls:
        began = time.monotonic()
        await mw.ask_for("3.0.0")
        await mw.until_phase("Progressing", "3.0.0")
        await mw.kube("delete", "pod", "--selector=app.kubernetes.io/name=operator", "--force", "--grace-period=0")
        status = await mw.until_phase("Aborted", "3.0.0")
        print(f"aborted in {time.monotonic() - began:.0f} s")
        assert (status["stable"], status["refused"]) == ("2.0.0", "3.0.0")
        assert "success-rate" in status["message"]
        await calls.made(100)
        before = calls.statuses[500]
        await calls.made(300)
        assert calls.statuses[500] == before
    reasons = set((await mw.kube("get", "events", "--output=jsonpath={.items[*].reason}")).split())
    assert {"RolloutStarted", "WeightSet", "Promoted", "AnalysisFailed"} <= reasons


async def test_a_pod_killed_under_load_fails_no_call(mw: Release) -> None:
    await mw.ask_for("2.0.0")
    await mw.until_phase("Healthy", "2.0.0")
    async with mw.load() as calls:
        pod = (await mw.kube("get", "pods", "--output=name", "--selector=meshwright.dev/rollout=user")).split()[0]
        await mw.kube("delete", pod, "--force", "--grace-period=0")
        await calls.made(500)
        await mw.kube("rollout", "status", "deployment/user-2-0-0", "--timeout=60s")
        await calls.made(200)
        assert set(await calls.end()) == {200}


async def test_an_upgrade_and_a_rollback_leave_the_rollout_alone(mw: Release) -> None:
    password = await operator_password(mw)
    await mw.helm("upgrade", "mw", CHART, "--wait", "--timeout", "3m", *given())
    assert await operator_password(mw) == password
    await mw.helm("rollback", "mw", "1", "--wait", "--timeout", "3m")
    await eventually(mw.idle, timeout=60)
    await mw.until_phase("Healthy", "2.0.0")
    assert "2/2" in await mw.kube("get", "deployment", "user-2-0-0")
    async with mw.forwarded("mw-gateway", 8080) as client:
        assert (await client.get("/readyz")).status_code == 200


async def test_deleting_the_rollout_takes_its_rules_and_pods_along(mw: Release) -> None:
    await mw.kube("delete", "vro", "user", "--wait", "--timeout=60s")
    async with mw.forwarded("mw-consul", 8500) as consul:
        assert (await consul.get("/v1/config/service-splitter/user")).status_code == 404

    async def gone() -> bool:
        return "user-2-0-0" not in await mw.kube("get", "deployments", "--output=name")

    await eventually(gone, timeout=60)


async def test_uninstalling_leaves_the_definitions_only(mw: Release) -> None:
    await mw.helm("uninstall", "mw", "--wait")

    async def nothing_left() -> bool:
        left = await mw.kube("get", "all,configmap,secret,serviceaccount,role,rolebinding,pdb", "--output=name")
        # Clusters put things of their own into each namespace.
        left_over = {name for name in left.split() if "/mw" in name or "/user" in name}
        assert left_over == {"secret/mw-database", "secret/mw-gateway"}, "passwords stay, as the volumes do"
        return True

    await eventually(nothing_left, timeout=90)
    cluster = await mw.kube("get", "clusterrole,clusterrolebinding", "--output=name")
    assert "/mw-" not in cluster
    assert "versionedrollouts.meshwright.dev" in await mw.kube("get", "crd", "--output=name")
