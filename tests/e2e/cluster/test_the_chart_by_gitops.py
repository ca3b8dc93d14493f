"""A release by `helm template | kubectl apply`, as GitOps tools do it, and by Helm; PostgreSQL killed under load.

The first has volumes, the second none: the figures of docs/how-to/kubernetes-operations.md come from here (`-s` prints
them).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from support.kubernetes.cluster import CHART, Release, given, kubectl, needs_cluster, release
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [needs_cluster, pytest.mark.asyncio, pytest.mark.timeout(600)]
SMALL = (
    *("--set", "demo.services=basic", "--set", "components.controlplane.replicas=1"),
    *("--set", "components.calculator.replicas=1", "--set", "components.user.replicas=2"),
)
KINDS = "deployment,statefulset,service,configmap,secret,networkpolicy,job,serviceaccount,role,rolebinding"
UNAVAILABLE = 500


@contextlib.asynccontextmanager
async def applied(namespace: str, *values: str) -> AsyncIterator[Release]:
    """The chart rendered without a cluster and applied, ready; gone with its namespace."""
    made = Release(namespace)
    await made.gone()
    await kubectl("create", "namespace", namespace)
    try:
        await apply(made, *values)
        yield made
    finally:
        text = await rendered(made, *values)
        await made.kube("delete", "--ignore-not-found", "--filename=-", given=text, timeout=180, check=False)
        await made.gone()


async def rendered(made: Release, *values: str) -> str:
    return (await made.helm("template", "mw", CHART, "--skip-tests", *given(), *SMALL, *values))[1]


async def apply(made: Release, *values: str) -> float:
    """Render and apply; how many seconds until all is ready."""
    began = time.monotonic()
    text = await rendered(made, *values)
    await made.kube("apply", "--server-side", "--filename=-", given=text)
    for kind in ("deployment", "statefulset"):
        for name in (await made.kube("get", kind, "--output=name")).split():
            await made.kube("rollout", "status", name, "--timeout=180s", timeout=200)
    return time.monotonic() - began


async def objects(made: Release) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await made.kube("get", KINDS, "--output=json"))
    return {
        f"{each['kind']}/{each['metadata']['name']}": (
            each["metadata"]["uid"],
            each["metadata"].get("generation") or each["metadata"]["resourceVersion"],
        )
        for each in found["items"]
    }


async def pods(made: Release) -> dict[str, tuple[str, int]]:
    """Of pods that run: uid and how often they were restarted."""
    found: dict[str, Any] = json.loads(
        await made.kube("get", "pods", "--field-selector=status.phase=Running", "--output=json")
    )
    return {
        each["metadata"]["name"]: (each["metadata"]["uid"], each["status"]["containerStatuses"][0]["restartCount"])
        for each in found["items"]
    }


@dataclass
class Calls:
    """Reads and writes through the gateway without pause, each with its time and status (599: no answer)."""

    client: httpx.AsyncClient
    reads: list[tuple[float, int]] = field(default_factory=list)
    writes: list[tuple[float, int]] = field(default_factory=list)
    path: str = ""

    async def _call(
        self, kept: list[tuple[float, int]], method: str, path: str, **options: Any
    ) -> httpx.Response | None:
        try:
            answer = await self.client.request(method, path, **options)
        except httpx.TransportError:
            kept.append((time.monotonic(), 599))
            return None
        kept.append((time.monotonic(), answer.status_code))
        return answer

    async def write(self) -> None:
        body = {"name": "Ada", "email": f"ada-{time.monotonic_ns()}@example.org"}
        answer = await self._call(self.writes, "POST", "/api/v1/users", json=body)
        if answer is not None and answer.status_code < UNAVAILABLE and not self.path:
            self.path = f"/api/v1/users/{answer.json()['id']}"

    async def read_on(self) -> None:
        while True:
            await self._call(self.reads, "GET", self.path)
            await asyncio.sleep(0.02)

    async def write_on(self) -> None:
        while True:
            await self.write()
            await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def load(made: Release) -> AsyncIterator[Calls]:
    async with made.forwarded("mw-gateway", 8080) as client:
        calls = Calls(client)

        async def first() -> bool:
            await calls.write()
            return bool(calls.path)

        await eventually(first, 60, every=1)
        tasks = [asyncio.create_task(calls.read_on()) for _ in range(4)] + [asyncio.create_task(calls.write_on())]
        try:
            yield calls
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def since(kept: list[tuple[float, int]], moment: float) -> list[tuple[float, int]]:
    return [(at - moment, status) for at, status in kept if at >= moment]


async def killed(made: Release, calls: Calls) -> str:
    """PostgreSQL's pod is killed; what that cost, when all has been well for ten seconds again."""
    await eventually(lambda: len(calls.reads) > 100 and len(calls.writes) > 10, 60)
    moment = time.monotonic()
    await made.kube("delete", "pod", "mw-postgresql-0", "--force", "--grace-period=0")

    def well() -> bool:
        late = [status for at, status in calls.writes if at > time.monotonic() - 10]
        return time.monotonic() > moment + 15 and len(late) > 20 and all(status < UNAVAILABLE for status in late)

    await eventually(well, 180, every=0.5)
    reads, writes = since(calls.reads, moment), since(calls.writes, moment)
    failed = [at for at, status in (*reads, *writes) if status >= UNAVAILABLE]
    lost = sum(status == 404 for _, status in reads)
    last = max((at for at, status in writes if status >= UNAVAILABLE), default=0.0)
    first = next(at for at, status in writes if status < UNAVAILABLE and at > last)
    return (
        f"{len(failed)} of {len(reads) + len(writes)} calls failed, {lost} reads found nothing, "
        f"writes work again after {first:.1f} s"
    )


async def test_applied_twice_is_no_change_and_postgresql_killed_with_a_volume_loses_nothing() -> None:
    async with applied("meshwright-e2e-gitops") as mw:
        before, running = await objects(mw), await pods(mw)
        seconds = await apply(mw)
        assert await objects(mw) == before
        assert await pods(mw) == running
        print(f"applied again in {seconds:.1f} s: {len(before)} objects and {len(running)} pods as they were")
        secret = await mw.kube("get", "secret", "mw-database", "--output=jsonpath={.data.password}")
        assert len(secret) > 40
        async with load(mw) as calls:
            said = await killed(mw, calls)
            print("PostgreSQL killed, with a volume:", said)
            assert "0 reads found nothing" in said
            await eventually(lambda: calls.reads[-1][1] == 200, 30)
        await mw.kube("delete", "pvc", "--all", "--wait=false")


async def test_postgresql_killed_without_a_volume_loses_its_data_and_services_mend_themselves() -> None:
    values = ("--set", "persistence.enabled=false")
    async with release("meshwright-e2e-bare", *SMALL, *values) as mw:
        restarts = await pods(mw)
        async with load(mw) as calls:
            said = await killed(mw, calls)
            print("PostgreSQL killed, without a volume:", said)
            await eventually(lambda: calls.reads[-1][1] == 404, 30)
        after = await pods(mw)
        assert {name: after[name] for name in after if "postgresql" not in name} == {
            name: restarts[name] for name in restarts if "postgresql" not in name
        }, "no service is restarted for it"


async def test_a_release_that_is_uninstalled_and_installed_again_finds_its_data() -> None:
    namespace = "meshwright-e2e-again"
    async with release(namespace, *SMALL) as mw:
        async with load(mw) as calls:
            path = calls.path
        password = await mw.kube("get", "secret", "mw-database", "--output=jsonpath={.data.password}")
        await mw.helm("uninstall", "mw", "--wait")
        await mw.helm("install", "mw", CHART, "--wait", "--timeout", "5m", *given(), *SMALL)
        assert await mw.kube("get", "secret", "mw-database", "--output=jsonpath={.data.password}") == password
        async with mw.forwarded("mw-gateway", 8080) as client:
            assert (await client.get(path)).status_code == 200
