"""A release of the chart on a real cluster: installed, called, put under load, its rollouts watched.

The cluster is reached through kubectl as a user would. Which one: KUBECONFIG; nothing else is ever touched.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from support.kubernetes.chart import find_helm
from support.processes import ROOT, promised_port, running
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


KUBECTL = shutil.which("kubectl") or shutil.which(ROOT / ".tools/helm/kubectl")
NO_CLUSTER = "no cluster: KUBECONFIG names none, or there is no kubectl"

CRD = ROOT / "helm/meshwright/crds/versionedrollouts.yaml"

needs_cluster = pytest.mark.skipif(not (os.environ.get("KUBECONFIG") and KUBECTL), reason=NO_CLUSTER)


async def kubectl(
    *arguments: str, given: str | None = None, check: bool = True, timeout: float = 120
) -> tuple[int, str]:
    """Run kubectl; returns its exit code and all that it printed. With `check` it must succeed."""
    assert KUBECTL
    child = await asyncio.create_subprocess_exec(
        KUBECTL,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(child.communicate((given or "").encode()), timeout)
    assert child.returncode is not None
    text = out.decode()
    assert not (check and child.returncode), f"kubectl {' '.join(arguments)}: {text}"
    return child.returncode, text


async def apply_crd() -> None:
    """The CRD of this checkout. In Helm's name: Helm refuses to change what another manager has written."""
    as_helm = ("--server-side", "--force-conflicts", "--field-manager=helm")
    await kubectl("apply", *as_helm, "--filename", str(CRD))


CHART = str(ROOT / "helm/meshwright")


def given() -> list[str]:
    """The values that fit the cluster's images."""
    path = os.environ.get("MESHWRIGHT_E2E_VALUES")
    return ["--values", path] if path else []


SMALL = (
    *("--set", "demo.services=basic", "--set", "components.controlplane.replicas=1"),
    *("--set", "components.calculator.replicas=1", "--set", "components.user.replicas=1"),
)
"""The demo as small as it gets, for tests that need several releases at once."""


class Release:
    """The release `mw`, or one of another name, in a namespace of its own, with the rollout of a service."""

    def __init__(self, namespace: str, name: str = "mw", service: str = "user") -> None:
        self.namespace = namespace
        self.name = name
        self.service = service

    async def helm(self, *arguments: str, check: bool = True) -> tuple[int, str]:
        binary = find_helm()
        if binary is None:
            pytest.skip("no helm on PATH or in .tools: run scripts/tools.d/helm.sh")
        argv = [str(binary), *arguments, "--namespace", self.namespace]
        child = await asyncio.create_subprocess_exec(
            *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        out, _ = await asyncio.wait_for(child.communicate(), 400)
        assert child.returncode is not None
        assert not (check and child.returncode), out.decode()
        return child.returncode, out.decode()

    async def kube(self, *arguments: str, **options: Any) -> str:
        return (await kubectl("--namespace", self.namespace, *arguments, **options))[1]

    async def gone(self) -> None:
        await kubectl("delete", "namespace", self.namespace, "--ignore-not-found", "--wait", timeout=180)

    async def apply(self, version: str = "1.0.0") -> None:
        """A rollout of the demo's user service."""
        canary = {
            "scaleDownDelay": "5s",
            "steps": [{"setWeight": 20}, {"pause": {"duration": "5s"}}, {"setWeight": 50}],
        }
        document = {
            "apiVersion": "meshwright.dev/v1alpha1",
            "kind": "VersionedRollout",
            "metadata": {"name": "user", "namespace": self.namespace},
            "spec": {
                "service": "user",
                "version": version,
                "replicas": 2,
                "workloadRef": {"name": f"{self.name}-user"},
                "strategy": {"canary": canary},
            },
        }
        await self.kube("apply", "--filename=-", given=json.dumps(document))

    async def rollout(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(await self.kube("get", "vro", self.service, "--output=json"))
        return found

    async def until_phase(self, phase: str, version: str, timeout: float = 120) -> dict[str, Any]:
        async def reached() -> dict[str, Any]:
            found = await self.rollout()
            status = found.get("status", {})
            assert (status.get("phase"), found["spec"]["version"], status.get("observedGeneration")) == (
                *(phase, version, found["metadata"]["generation"]),
            ), status.get("message")
            return status

        return await eventually(reached, timeout, every=0.3)

    async def change(self, **spec: Any) -> None:
        """Change these fields of the rollout's spec; None takes one away."""
        patch = json.dumps({"spec": spec})
        await self.kube("patch", "vro", self.service, "--type=merge", f"--patch={patch}")

    async def ask_for(self, version: str) -> None:
        await self.change(version=version)

    async def idle(self) -> bool:
        """Whether the chart's Deployment of the service has no pods any more."""
        found = await self.kube("get", "deployment", f"{self.name}-user", "--output=jsonpath={.spec.replicas}")
        return found == "0"

    async def memory(self) -> dict[str, float]:
        """MiB of working set of each pod, as the kubelet tells it."""
        nodes = json.loads(await self.kube("get", "nodes", "--output=json"))["items"]
        found: dict[str, float] = {}
        for node in nodes:
            path = f"/api/v1/nodes/{node['metadata']['name']}/proxy/stats/summary"
            for pod in json.loads(await self.kube("get", "--raw", path))["pods"]:
                if pod["podRef"]["namespace"] == self.namespace and "memory" in pod:
                    found[pod["podRef"]["name"]] = pod["memory"].get("workingSetBytes", 0) / 2**20
        return found

    @contextlib.asynccontextmanager
    async def forwarded(self, service: str, port: int) -> AsyncIterator[httpx.AsyncClient]:
        """A client of a Service, by `kubectl port-forward` as the chart's notes say."""
        mine = promised_port()
        argv = [str(KUBECTL), "--namespace", self.namespace, "port-forward", f"service/{service}", f"{mine}:{port}"]
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

    @contextlib.asynccontextmanager
    async def load(self) -> AsyncIterator[Load]:
        async with self.forwarded(f"{self.name}-gateway", 8080) as client:
            body = {"name": "Ada", "email": f"ada-{os.urandom(4).hex()}@example.org"}
            user = (await client.post("/api/v1/users", json=body)).json()["id"]
            calls = Load(client, user)
            try:
                await calls.made(50)
                yield calls
            finally:
                await calls.end()


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
async def release(namespace: str, *values: str, name: str = "mw") -> AsyncIterator[Release]:
    """An installed release that is ready; gone with its namespace afterwards."""
    made = Release(namespace, name)
    await made.gone()
    began = time.monotonic()
    await made.helm("install", name, CHART, "--create-namespace", "--wait", "--timeout", "5m", *given(), *values)
    print(f"installed in {time.monotonic() - began:.0f} s")
    try:
        yield made
    finally:
        await made.helm("uninstall", name, "--wait", "--ignore-not-found")
        await made.gone()


@contextlib.asynccontextmanager
async def rolled_out(namespace: str) -> AsyncIterator[Release]:
    """A small release whose user service is under a rollout, at 1.0.0."""
    async with release(namespace, *SMALL) as made:
        await made.apply()
        await made.until_phase("Healthy", "1.0.0", 180)
        await eventually(made.idle, 120)
        yield made
