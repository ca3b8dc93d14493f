"""Upgrades of a release with a service under a rollout: what they change reaches its pods; rollback needs no force."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from support.kubernetes.cluster import CHART, SMALL, Release, given, needs_cluster, rolled_out
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NAMESPACE = "meshwright-e2e-upgrades"
GREETING = "GREETING"
"""A variable that the service does not know: what an upgrade changes in the template, and nothing else."""

pytestmark = [needs_cluster, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mw() -> AsyncIterator[Release]:
    async with rolled_out(NAMESPACE) as made:
        yield made


async def upgrade(mw: Release, *values: str) -> None:
    await mw.helm("upgrade", "mw", CHART, "--wait", "--timeout", "4m", *given(), *SMALL, *values)


async def greetings(mw: Release) -> set[str | None]:
    """What the variable is in the rollout's pods that are not on their way out."""
    selector = "--selector=meshwright.dev/rollout=user"
    pods: list[dict[str, Any]] = json.loads(await mw.kube("get", "pods", selector, "--output=json"))["items"]
    alive = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    found = [
        {each["name"]: each.get("value") for each in container["env"]}.get(GREETING)
        for pod in alive
        for container in pod["spec"]["containers"]
    ]
    assert found, "no pods"
    return set(found)


async def until_greeting(mw: Release, greeting: str | None, timeout: float = 120) -> None:
    async def reached() -> bool:
        found = await greetings(mw)
        assert found == {greeting}, found
        return True

    await eventually(reached, timeout, every=0.3)


async def test_an_upgrade_that_changes_a_variable_reaches_the_running_version_without_a_failed_call(
    mw: Release,
) -> None:
    before = (await mw.rollout())["status"]
    async with mw.load() as calls:
        began = time.monotonic()
        await upgrade(mw, "--set", f"components.user.env.{GREETING}=bonjour")
        await until_greeting(mw, "bonjour")
        status = await mw.until_phase("Healthy", "1.0.0")
        await mw.kube("rollout", "status", "deployment/user-1-0-0", "--timeout=90s")
        print(f"in all pods {time.monotonic() - began:.0f} s after `helm upgrade` began")
        await calls.made(200)
        assert set(await calls.end()) == {200}
    assert status["stable"] == "1.0.0"
    assert status["revision"] == before.get("revision", 1) + 1


async def test_a_manual_change_of_the_versions_deployment_is_put_back(mw: Release) -> None:
    began = time.monotonic()
    await mw.kube("set", "env", "deployment/user-1-0-0", f"{GREETING}=salut")

    async def back() -> bool:
        spec = json.loads(await mw.kube("get", "deployment", "user-1-0-0", "--output=json"))["spec"]
        (container,) = spec["template"]["spec"]["containers"]
        return {"name": GREETING, "value": "bonjour"} in container["env"]

    await eventually(back, 60, every=0.2)
    print(f"put back after {time.monotonic() - began:.1f} s")
    await until_greeting(mw, "bonjour")
    # A pod may have begun with the other value: then it is Updating until that one is replaced.
    await mw.until_phase("Healthy", "1.0.0")


async def test_a_rollback_needs_no_force_and_takes_along_what_the_upgrade_had_made(mw: Release) -> None:
    await upgrade(mw, "--set", f"components.user.env.{GREETING}=hej", "--set", "components.calculator.replicas=2")
    await until_greeting(mw, "hej")
    assert "mw-calculator" in await mw.kube("get", "pdb", "--output=name")
    async with mw.load() as calls:
        began = time.monotonic()
        await mw.helm("rollback", "mw", "1", "--wait", "--timeout", "4m")
        print(f"rolled back in {time.monotonic() - began:.0f} s")
        await until_greeting(mw, None)
        await eventually(mw.idle, 60)
        await mw.kube("rollout", "status", "deployment/user-1-0-0", "--timeout=90s")
        await calls.made(200)
        assert set(await calls.end()) == {200}
    assert "mw-calculator" not in await mw.kube("get", "pdb", "--output=name")
    managers = json.loads(await mw.kube("get", "deployment", "mw-user", "--show-managed-fields", "--output=json"))
    assert "meshwright-operator" in {each["manager"] for each in managers["metadata"]["managedFields"]}


async def test_uninstalling_takes_along_what_an_upgrade_had_made(mw: Release) -> None:
    await upgrade(mw, "--set", "components.calculator.replicas=2")
    await mw.kube("delete", "vro", "user", "--wait", "--timeout=60s")
    began = time.monotonic()
    await mw.helm("uninstall", "mw", "--wait")
    print(f"uninstalled in {time.monotonic() - began:.0f} s")

    async def nothing_left() -> bool:
        kinds = "all,configmap,serviceaccount,role,rolebinding,pdb,lease,networkpolicy"
        left = (await mw.kube("get", kinds, "--output=name")).split()
        assert [name for name in left if "/mw" in name or "/user" in name] == []
        return True

    await eventually(nothing_left, 90)
