"""A release whose operator has two replicas and one namespace, and a cluster whose API server goes away.

The API server is stopped and continued by its process id (MESHWRIGHT_E2E_API_SERVER), where the cluster runs on this
machine. The load then comes from a pod: a forwarded port goes through the API server too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from support.kubernetes.cluster import Release, needs_cluster, release
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = [needs_cluster, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]
NAMESPACE = "meshwright-e2e-trouble"
API_SERVER = "MESHWRIGHT_E2E_API_SERVER"
AWAY_SECONDS = 30
LOAD = """
import collections, json, signal, time, urllib.error, urllib.request
base = "http://mw-gateway:8080/api/v1/users"
body = json.dumps({"name": "Ada", "email": "ada@example.org"}).encode()
headers = {"content-type": "application/json"}
made = json.load(urllib.request.urlopen(urllib.request.Request(base, data=body, headers=headers)))
seen, going = collections.Counter(), [True]
signal.signal(signal.SIGTERM, lambda *_: going.clear())
while going:
    try:
        seen[urllib.request.urlopen(base + "/" + made["id"], timeout=10).status] += 1
    except urllib.error.HTTPError as error:
        seen[error.code] += 1
    except OSError as error:
        seen[repr(error)] += 1
    if not seen.total() % 50:
        print(json.dumps(seen), flush=True)
    time.sleep(0.02)
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mw() -> AsyncIterator[Release]:
    values = ("--set", "operator.replicas=2", "--set", f"operator.namespaces={{{NAMESPACE}}}")
    async with release(NAMESPACE, *values) as made:
        yield made


async def working(mw: Release) -> str:
    """The operator's pod that works now: the one that has rollouts to look after."""
    names = (await mw.kube("get", "pods", "--output=name", "--selector=app.kubernetes.io/name=operator")).split()
    busy = []
    for name in names:
        page = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:18002/healthz').read().decode())"
        with contextlib.suppress(AssertionError):
            said = await mw.kube("exec", name, "--", "python", "-c", page)
            if json.loads(said.splitlines()[-1])["rollouts"]:
                busy.append(name)
    (one,) = busy
    return one


async def test_what_the_whole_release_takes(mw: Release) -> None:
    async def told() -> dict[str, float]:
        """The kubelet looks every ten seconds or so."""
        found = await mw.memory()
        assert len(found) >= 9
        assert all(found.values()), found
        return found

    memory = await eventually(told, 60, every=1)
    print(f"memory in all {sum(memory.values()):.0f} MiB:", {name: round(size) for name, size in memory.items()})
    assert sum(memory.values()) < 1536


async def test_of_two_operators_the_other_goes_on_when_the_one_that_works_is_killed(mw: Release) -> None:
    began = time.monotonic()
    await mw.apply()
    await mw.until_phase("Healthy", "1.0.0")
    print(f"healthy in {time.monotonic() - began:.0f} s")
    one = await eventually(lambda: working(mw), 30, ignore=(ValueError,))
    await mw.ask_for("2.0.0")
    await mw.until_phase("Progressing", "2.0.0")
    began = time.monotonic()
    await mw.kube("delete", one, "--force", "--grace-period=0")
    await mw.until_phase("Healthy", "2.0.0")
    print(f"promoted {time.monotonic() - began:.0f} s after the operator that worked was killed")
    assert await eventually(lambda: working(mw), 30, ignore=(ValueError,)) != one


async def test_a_rollout_can_be_scaled_by_kubectl(mw: Release) -> None:
    await mw.kube("scale", "vro/user", "--replicas=3")

    async def three() -> bool:
        return "3/3" in await mw.kube("get", "deployment", "user-2-0-0")

    await eventually(three, 60)
    await mw.kube("scale", "vro/user", "--replicas=2")


@contextlib.contextmanager
def away(server: int) -> Iterator[None]:
    """A stopped process keeps its connections and answers nothing: worse than one that is gone."""
    os.kill(server, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server, signal.SIGCONT)


async def load_from_inside(mw: Release) -> None:
    pod: dict[str, Any] = json.loads(await mw.kube("get", "deployment", "mw-calculator", "--output=json"))
    image = pod["spec"]["template"]["spec"]["containers"][0]["image"]
    overrides = {"spec": {"terminationGracePeriodSeconds": 5}}
    await mw.kube(
        *("run", "load", f"--image={image}", "--restart=Never", f"--overrides={json.dumps(overrides)}"),
        *("--command", "--", "python", "-c", LOAD),
    )


async def seen(mw: Release) -> dict[str, int]:
    lines = (await mw.kube("logs", "load", "--tail=1")).strip().splitlines()
    assert lines, "nothing yet"
    found: dict[str, int] = json.loads(lines[-1])
    return found


async def test_an_api_server_that_is_away_for_half_a_minute_costs_no_call_and_the_rollout_goes_on(mw: Release) -> None:
    if not os.environ.get(API_SERVER):
        pytest.skip(f"{API_SERVER} does not name the process of this cluster's API server")
    await load_from_inside(mw)
    await eventually(lambda: seen(mw), 60)
    await mw.ask_for("2.1.0")
    await mw.until_phase("Progressing", "2.1.0")
    with away(int(os.environ[API_SERVER])):
        await asyncio.sleep(AWAY_SECONDS)
    began = time.monotonic()
    await mw.until_phase("Healthy", "2.1.0", timeout=180)
    print(f"promoted {time.monotonic() - began:.0f} s after the API server was back")
    before = sum((await seen(mw)).values())
    found = await eventually(lambda: _more_than(mw, before + 100), 60)
    print(f"calls from inside: {found}")
    assert set(found) == {"200"}
    await mw.kube("delete", "pod", "load", "--wait", timeout=60)


async def _more_than(mw: Release, count: int) -> dict[str, int]:
    found = await seen(mw)
    assert sum(found.values()) > count
    return found


async def test_a_release_that_is_uninstalled_with_its_rollout_left_does_not_hold_the_namespace(mw: Release) -> None:
    await mw.helm("uninstall", "mw", "--wait")
    assert "user" in await mw.kube("get", "vro", "--output=name")
    await mw.kube("delete", "vro", "user", "--wait", "--timeout=30s")
