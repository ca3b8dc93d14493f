"""The chart on a real cluster, as a person uses it: install, test, call, roll out, abort, break things, upgrade, leave.

Runs where KUBECONFIG names a cluster that has the image. MESHWRIGHT_E2E_VALUES may name a values file, for images that
the cluster has under other names. Everything happens in a namespace of its own, which goes in the end; one installation
serves all tests, in their order.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import pytest_asyncio

from meshwright.ports import find_free
from support.helm import find_helm
from support.kubectl import KUBECTL, ROOT, kubectl, needs_cluster
from support.processes import running
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [needs_cluster, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]
NAMESPACE = "meshwright-e2e"
CHART = str(ROOT / "helm/meshwright")
ROLLOUT: dict[str, Any] = {
    "apiVersion": "meshwright.dev/v1alpha1",
    "kind": "VersionedRollout",
    "metadata": {"name": "user", "namespace": NAMESPACE},
    "spec": {
        "service": "user",
        "version": "1.0.0",
        "replicas": 2,
        "workloadRef": {"name": "mw-user"},
        "strategy": {
            "canary": {
                "scaleDownDelay": "5s",
                "steps": [{"setWeight": 20}, {"pause": {"duration": "5s"}}, {"setWeight": 50}],
            }
        },
    },
}


async def helm(*arguments: str, check: bool = True) -> tuple[int, str]:
    binary = find_helm()
    if binary is None:
        pytest.skip("no helm on PATH or in .tools: run scripts/tools.d/helm.sh")
    argv = [str(binary), *arguments, "--namespace", NAMESPACE]
    child = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await asyncio.wait_for(child.communicate(), 400)
    assert child.returncode is not None
    assert not (check and child.returncode), out.decode()
    return child.returncode, out.decode()


def given() -> list[str]:
    """The values that fit the cluster's images."""
    path = os.environ.get("MESHWRIGHT_E2E_VALUES")
    return ["--values", path] if path else []


async def kube(*arguments: str, **options: Any) -> str:
    return (await kubectl("--namespace", NAMESPACE, *arguments, **options))[1]


async def rollout() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await kube("get", "vro", "user", "--output=json"))
    return found


async def until_phase(phase: str, version: str, timeout: float = 120) -> dict[str, Any]:
    async def reached() -> dict[str, Any]:
        found = await rollout()
        status = found.get("status", {})
        assert (status.get("phase"), found["spec"]["version"], status.get("observedGeneration")) == (
            *(phase, version, found["metadata"]["generation"]),
        ), status.get("message")
        return status

    return await eventually(reached, timeout, every=0.3)


async def ask_for(version: str) -> None:
    await kube("patch", "vro", "user", "--type=merge", f"--patch={json.dumps({'spec': {'version': version}})}")


@contextlib.asynccontextmanager
async def forwarded(service: str, port: int) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a Service, by `kubectl port-forward` as the chart's notes say."""
    mine = find_free()
    argv = [str(KUBECTL), "--namespace", NAMESPACE, "port-forward", f"service/{service}", f"{mine}:{port}"]
    log = Path(tempfile.gettempdir()) / f"port-forward-{mine}.log"
    async with (
        running(argv, log),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{mine}", trust_env=False, timeout=20) as client,
    ):

        async def answers() -> bool:
            return (await client.get("/")).status_code < 500

        await eventually(answers, timeout=30, ignore=(httpx.TransportError,))
        yield client
    log.unlink()


class Load:
    """Calls without pause; what came of them."""

    def __init__(self, client: httpx.AsyncClient, user: str) -> None:
        self.statuses: Counter[int] = Counter()
        self._client = client
        self._path = f"/api/v1/users/{user}"
        self._workers = [asyncio.create_task(self._call()) for _ in range(6)]

    async def _call(self) -> None:
        while True:
            self.statuses[(await self._client.get(self._path)).status_code] += 1
            await asyncio.sleep(0.02)

    async def made(self, more: int) -> None:
        goal = self.statuses.total() + more
        await eventually(lambda: self.statuses.total() >= goal, timeout=60)

    async def end(self) -> Counter[int]:
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        return self.statuses


@contextlib.asynccontextmanager
async def load() -> AsyncIterator[Load]:
    async with forwarded("mw-gateway", 8080) as client:
        body = {"name": "Ada", "email": f"ada-{os.urandom(4).hex()}@example.org"}
        user = (await client.post("/api/v1/users", json=body)).json()["id"]
        running = Load(client, user)
        try:
            await running.made(50)
            yield running
        finally:
            await running.end()


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def installed() -> AsyncIterator[None]:
    """The chart's release `mw`, installed and ready; gone with its namespace afterwards."""
    await kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait", timeout=180)
    began = time.monotonic()
    await helm("install", "mw", CHART, "--create-namespace", "--wait", "--timeout", "5m", *given())
    print(f"installed in {time.monotonic() - began:.0f} s")
    yield
    await helm("uninstall", "mw", "--wait", "--ignore-not-found")
    await kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait", timeout=180)


async def idle() -> bool:
    """Whether the chart's Deployment of the service has no pods any more."""
    return (await kube("get", "deployment", "mw-user", "--output=jsonpath={.spec.replicas}")) == "0"


async def test_helm_test_makes_a_call_and_finds_its_trace() -> None:
    assert re.search(r"Phase:\s+Succeeded", (await helm("test", "mw"))[1])


async def test_a_service_comes_under_a_rollout_without_a_failed_call() -> None:
    async with load() as calls:
        await kube("apply", "--filename=-", given=json.dumps(ROLLOUT))
        await until_phase("Healthy", "1.0.0")
        await eventually(idle, timeout=60)
        await calls.made(300)
        assert set(await calls.end()) == {200}
    assert "2/2" in await kube("get", "deployment", "user-1-0-0")


async def test_a_canary_is_promoted_under_load_and_kubectl_can_wait_for_it() -> None:
    async with load() as calls:
        began = time.monotonic()
        await ask_for("2.0.0")
        await kube("wait", "vro/user", "--for=jsonpath={.status.stable}=2.0.0", "--timeout=120s")
        print(f"promoted in {time.monotonic() - began:.0f} s")
        await until_phase("Healthy", "2.0.0")
        await kube("wait", "vro/user", "--for=condition=Promoted", "--timeout=30s")
        await calls.made(200)
        assert set(await calls.end()) == {200}


async def test_a_canary_that_fails_is_aborted_though_the_operator_is_killed_meanwhile() -> None:
    async with load() as calls:
        began = time.monotonic()
        await ask_for("3.0.0")
        await until_phase("Progressing", "3.0.0")
        await kube("delete", "pod", "--selector=app.kubernetes.io/name=operator", "--force", "--grace-period=0")
        status = await until_phase("Aborted", "3.0.0")
        print(f"aborted in {time.monotonic() - began:.0f} s")
        assert (status["stable"], status["refused"]) == ("2.0.0", "3.0.0")
        assert "success-rate" in status["message"]
        await calls.made(100)
        before = calls.statuses[500]
        await calls.made(300)
        assert calls.statuses[500] == before
    reasons = set((await kube("get", "events", "--output=jsonpath={.items[*].reason}")).split())
    assert {"RolloutStarted", "WeightSet", "Promoted", "AnalysisFailed"} <= reasons


async def test_a_pod_killed_under_load_fails_no_call() -> None:
    await ask_for("2.0.0")
    await until_phase("Healthy", "2.0.0")
    async with load() as calls:
        pod = (await kube("get", "pods", "--output=name", "--selector=meshwright.dev/rollout=user")).split()[0]
        await kube("delete", pod, "--force", "--grace-period=0")
        await calls.made(500)
        await kube("rollout", "status", "deployment/user-2-0-0", "--timeout=60s")
        await calls.made(200)
        assert set(await calls.end()) == {200}


async def test_an_upgrade_and_a_rollback_leave_the_rollout_alone() -> None:
    await helm("upgrade", "mw", CHART, "--wait", "--timeout", "3m", *given())
    # Revision 1 had pods in mw-user, whose number is the operator's business since.
    force = ["--force-conflicts"] if "--force-conflicts" in (await helm("rollback", "--help"))[1] else []
    await helm("rollback", "mw", "1", "--wait", "--timeout", "3m", *force)
    await eventually(idle, timeout=60)
    await until_phase("Healthy", "2.0.0")
    assert "2/2" in await kube("get", "deployment", "user-2-0-0")
    async with forwarded("mw-gateway", 8080) as client:
        assert (await client.get("/readyz")).status_code == 200


async def test_deleting_the_rollout_takes_its_rules_and_pods_along() -> None:
    await kube("delete", "vro", "user", "--wait", "--timeout=60s")
    async with forwarded("mw-consul", 8500) as consul:
        assert (await consul.get("/v1/config/service-splitter/user")).status_code == 404

    async def gone() -> bool:
        return "user-2-0-0" not in await kube("get", "deployments", "--output=name")

    await eventually(gone, timeout=60)


async def test_uninstalling_leaves_the_definitions_only() -> None:
    await helm("uninstall", "mw", "--wait")

    async def nothing_left() -> bool:
        left = await kube("get", "all,configmap,secret,serviceaccount,role,rolebinding,pdb", "--output=name")
        # Clusters put things of their own into each namespace.
        assert [name for name in left.split() if "/mw" in name or "/user" in name] == []
        return True

    await eventually(nothing_left, timeout=90)
    cluster = await kube("get", "clusterrole,clusterrolebinding", "--output=name")
    assert "/mw-" not in cluster
    assert "versionedrollouts.meshwright.dev" in await kube("get", "crd", "--output=name")
