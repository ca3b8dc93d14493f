"""Every sample of k8s/samples on a real cluster, tried as its comments say, under load."""

from __future__ import annotations

import asyncio
import json
import shlex
import time
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from support.kubernetes.cluster import KUBECTL, SMALL, Release, needs_cluster, release
from support.processes import ROOT
from support.waiting import crowd, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

SAMPLES = ROOT / "k8s/samples"
MARK = "#   "
NAMESPACE = "meshwright-e2e-samples"
PLUGIN = f"{shlex.quote(str(ROOT / '.venv/bin/kubectl-meshwright'))} "

pytestmark = [needs_cluster, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]


def commands(sample: str, beginning: str) -> list[str]:
    """The commands of a sample's comments that begin so."""
    lines = (SAMPLES / sample).read_text("utf-8").splitlines()
    return [line.removeprefix(MARK) for line in lines if line.startswith(MARK + beginning)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mw() -> AsyncIterator[Release]:
    async with release(NAMESPACE, *SMALL) as made:
        yield made


async def typed(command: str) -> str:
    """What the command prints; the samples' namespace is `mesh`, and this one is of the tests."""
    here = command.replace("-n mesh", f"-n {NAMESPACE}").replace("kubectl meshwright ", PLUGIN)
    if here.startswith("kubectl "):
        here = f"{shlex.quote(str(KUBECTL))} {here.removeprefix('kubectl ')}"
    child = await asyncio.create_subprocess_shell(
        here, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await asyncio.wait_for(child.communicate(), 60)
    assert child.returncode == 0, f"{command}: {out.decode()}"
    return out.decode()


async def avatars(client: httpx.AsyncClient, command: str, times: int = 10) -> set[bool]:
    """Whether the users that curl shows have avatars, which 2.0.0 knows and 1.0.0 does not."""
    here = command.replace("http://", "").replace("localhost:8080", f"127.0.0.1:{client.base_url.port}")
    assert here != command
    pages: list[dict[str, Any]] = [json.loads(await typed(here)) for _ in range(times)]
    return {page["users"][0]["avatar"] is not None for page in pages}


async def at_1_0_0(mw: Release) -> None:
    await mw.kube("delete", "vro", "user", "--ignore-not-found", "--wait", "--timeout=60s")
    await mw.kube("apply", f"--filename={SAMPLES / 'user.yaml'}")
    await mw.kube("wait", "vro/user", "--for=condition=Promoted", "--timeout=90s")
    await mw.until_phase("Healthy", "1.0.0")


async def test_the_canary_is_seen_by_testers_first_and_then_by_all_callers(mw: Release) -> None:
    (testers,) = commands("user-canary.yaml", "curl")
    (apply,) = commands("user-canary.yaml", "kubectl apply")
    async with mw.load() as calls, mw.forwarded("mw-gateway", 8080) as client:
        await at_1_0_0(mw)
        began = time.monotonic()
        await typed(apply)

        async def routed() -> bool:
            return await avatars(client, testers, times=3) == {True}

        await eventually(routed, 60)
        weight = (await mw.rollout())["status"].get("weight", 0)
        print(f"testers are answered by 2.0.0 {time.monotonic() - began:.0f} s after the command, at weight {weight}")
        assert weight <= 10
        await mw.until_phase("Healthy", "2.0.0")
        print(f"everybody after {time.monotonic() - began:.0f} s")
        assert await avatars(client, testers.replace("-H 'x-tester: yes' ", "")) == {True}
        assert set(await calls.end()) == {200}


async def test_the_failing_one_has_a_tenth_of_the_calls_for_ten_seconds_at_most(mw: Release) -> None:
    async with mw.load() as calls:
        asked = calls.statuses.total()
        await mw.kube("apply", f"--filename={SAMPLES / 'user-failing.yaml'}")

        # By its calls and not by `status.weight`: clients follow the routes a moment later.
        await eventually(lambda: calls.statuses[500] > 0, 90)
        began = time.monotonic()
        status = await mw.until_phase("Aborted", "3.0.0")
        took = time.monotonic() - began
        failed = calls.statuses[500]
        share = failed / (calls.statuses.total() - asked)
        await calls.made(300)
        print(f"aborted {took:.0f} s after its first call; {failed} calls failed, {100 * share:.0f} %")
        assert calls.statuses[500] == failed
        assert status["weight"] == 0
        assert status["stable"] == "2.0.0"
        assert 0 < share < 0.15
        assert took < 10 * crowd()


async def test_the_blue_green_one_is_seen_by_previewers_until_it_is_promoted(mw: Release) -> None:
    everybody, previewers = commands("user-bluegreen.yaml", "curl")
    (apply,) = commands("user-bluegreen.yaml", "kubectl apply")
    (promote,) = commands("user-bluegreen.yaml", "kubectl meshwright")
    async with mw.load() as calls, mw.forwarded("mw-gateway", 8080) as client:
        await at_1_0_0(mw)
        await typed(apply)
        await mw.until_phase("Paused", "2.0.0")
        assert await avatars(client, previewers) == {True}
        assert await avatars(client, everybody) == {False}
        began = time.monotonic()
        await typed(promote)

        async def everywhere() -> bool:
            return await avatars(client, everybody, times=3) == {True}

        await eventually(everywhere, 60)
        print(f"everybody is answered by 2.0.0 {time.monotonic() - began:.0f} s after `promote`")
        await mw.until_phase("Healthy", "2.0.0", timeout=180)
        assert set(await calls.end()) == {200}


async def test_each_sample_is_tried_here() -> None:
    tried = {"user.yaml", "user-canary.yaml", "user-failing.yaml", "user-bluegreen.yaml"}
    assert {path.name for path in SAMPLES.glob("*.yaml")} == tried
