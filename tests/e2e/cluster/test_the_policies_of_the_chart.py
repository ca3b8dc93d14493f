"""The chart's network policies where something enforces them: what the table of connections lacks is refused.

A stray pod finds out whether this cluster enforces policies at all; where it does not, these tests are skipped.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from support.kubernetes.cluster import SMALL, Release, needs_cluster, release

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [needs_cluster, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]
EVERYTHING = {
    "mw-postgresql:5432",
    "mw-nats:4222",
    "mw-controlplane:18000",
    "mw-controlplane:18001",
    "mw-consul:8500",
    "mw-consul:8300",
    "mw-jaeger:4317",
    "mw-jaeger:16686",
    "mw-gateway:8080",
    "kubernetes.default:443",
}
PROBE = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def reaches(target):
    host, _, port = target.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 3).close()
    except OSError:
        return False
    return True
targets = sys.argv[1:]
with ThreadPoolExecutor() as pool:
    print(json.dumps([target for target, is_open in zip(targets, pool.map(reaches, targets)) if is_open]))
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mw() -> AsyncIterator[Release]:
    async with release("meshwright-e2e-policies", *SMALL) as made:
        found: dict[str, Any] = json.loads(await made.kube("get", "deployment", "mw-calculator", "--output=json"))
        image = found["spec"]["template"]["spec"]["containers"][0]["image"]
        await made.kube("run", "stray", f"--image={image}", "--restart=Never", "--command", "--", "sleep", "3600")
        await made.kube("wait", "--for=condition=Ready", "pod/stray", "--timeout=60s")
        if "mw-postgresql:5432" in await reached(made, "stray"):
            await made.kube("delete", "pod", "stray", "--force", "--grace-period=0")
            pytest.skip("this cluster's network does not enforce policies")
        yield made
        await made.kube("delete", "pod", "stray", "--force", "--grace-period=0")


async def reached(mw: Release, pod: str) -> set[str]:
    said = await mw.kube("exec", pod, "--", "python", "-c", PROBE, *sorted(EVERYTHING))
    return set(json.loads(said.splitlines()[-1]))


async def pod(mw: Release, name: str) -> str:
    found = await mw.kube("get", "pods", f"--selector=app.kubernetes.io/name={name}", "--output=name")
    return found.split()[0]


MESH = {"mw-controlplane:18000", "mw-consul:8500", "mw-jaeger:4317", "mw-gateway:8080"}


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("calculator", MESH),
        ("user", MESH | {"mw-postgresql:5432", "mw-nats:4222"}),
        ("gateway", MESH | {"mw-postgresql:5432", "mw-nats:4222"}),
        ("controlplane", {"mw-consul:8500", "mw-jaeger:4317"}),
        ("operator", {"mw-consul:8500", "mw-jaeger:4317", "mw-jaeger:16686", "kubernetes.default:443"}),
    ],
)
async def test_a_component_reaches_what_it_has_to_and_nothing_else(mw: Release, name: str, wanted: set[str]) -> None:
    assert await reached(mw, await pod(mw, name)) == wanted


async def test_a_pod_that_is_not_of_the_release_reaches_the_gateway_alone(mw: Release) -> None:
    assert await reached(mw, "stray") == {"mw-gateway:8080", "kubernetes.default:443"}


async def test_a_rollout_goes_through_and_no_call_fails_under_the_policies(mw: Release) -> None:
    async with mw.load() as calls:
        await mw.apply()
        await mw.until_phase("Healthy", "1.0.0")
        await mw.ask_for("2.0.0")
        await mw.until_phase("Healthy", "2.0.0")
        version = (await mw.kube("get", "pods", "--output=name", "--selector=meshwright.dev/rollout=user")).split()[0]
        assert await reached(mw, version) == MESH | {"mw-postgresql:5432", "mw-nats:4222"}
        await calls.made(100)
        assert set(await calls.end()) == {200}


async def test_helm_test_passes_under_the_policies(mw: Release) -> None:
    assert re.search(r"Phase:\s+Succeeded", (await mw.helm("test", "mw"))[1])
