"""The samples with header routes, tried as their comments say: with curl, through the gateway, over two hops."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml

from support.demo.up import DemoUp, first_answer, starting
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SAMPLES = Path(__file__).parents[2] / "k8s" / "samples"
MARK = "#   "

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not on the PATH")


def commands(sample: Path) -> list[str]:
    """The curl commands of a sample's comments."""
    lines = sample.read_text("utf-8").splitlines()
    return [line.removeprefix(MARK) for line in lines if line.startswith(f"{MARK}curl")]


@pytest.fixture
async def demo(tmp_path: Path) -> AsyncIterator[DemoUp]:
    async with starting(tmp_path) as started:
        async with httpx.AsyncClient(timeout=20, trust_env=False) as client:
            await first_answer(started, client)
        yield started


async def shell(demo: DemoUp, command: str) -> Any:
    """What the command prints, as JSON; the gateway is where this demo has it."""
    place = f"127.0.0.1:{demo.ports['gateway']}"
    assert "localhost:8080" in command
    child = await asyncio.create_subprocess_shell(
        command.replace("localhost:8080", place), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, errors = await child.communicate()
    assert child.returncode == 0, errors.decode()
    return json.loads(out)


async def avatars(demo: DemoUp, command: str, times: int = 10) -> set[bool]:
    """Whether the answers knew avatars: those of 2.0.0 do."""
    found = set()
    for _ in range(times):
        (user,) = (await shell(demo, command))["users"]
        found.add(user["avatar"] is not None)
    return found


async def status(demo: DemoUp, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await demo.do("rollout", "get", name, "--json")).get("status", {})
    return found


async def until(demo: DemoUp, name: str, **wanted: Any) -> None:
    async def reached() -> bool:
        found = await status(demo, name)
        assert wanted.items() <= found.items(), found
        return True

    await eventually(reached, timeout=60, every=0.2)


async def test_only_previewers_of_the_blue_green_sample_see_the_new_version(demo: DemoUp) -> None:
    sample = SAMPLES / "user-bluegreen.yaml"
    everybody, previewers = commands(sample)
    assert await avatars(demo, previewers) == {False}, "there is no rollout yet"
    await put_under_a_rollout(demo)
    await demo.do("rollout", "apply", str(sample))
    await until(demo, "user", phase="Paused")
    assert await avatars(demo, previewers) == {True}
    assert await avatars(demo, everybody) == {False}
    other = previewers.replace("x-preview: yes", "x-preview: no")
    assert await avatars(demo, other) == {False}
    await demo.do("rollout", "promote", "user")

    async def promoted() -> bool:
        return await avatars(demo, everybody, times=3) == {True}

    await eventually(promoted, timeout=60)


async def test_testers_of_the_canary_sample_see_it_from_the_first_step_on(demo: DemoUp) -> None:
    (testers,) = commands(SAMPLES / "user-canary.yaml")
    document = yaml.safe_load((SAMPLES / "user-canary.yaml").read_text("utf-8"))
    # The sample as it is, but that it stands still at its first weight for as long as the test looks.
    document["spec"]["strategy"]["canary"]["steps"][2] = {"pause": {}}
    path = demo.folder / "canary.yaml"
    path.write_text(yaml.safe_dump(document))
    await put_under_a_rollout(demo)
    await demo.do("rollout", "apply", str(path))
    await until(demo, "user", phase="Paused", weight=10)
    assert await avatars(demo, testers, times=20) == {True}
    assert False in await avatars(demo, testers.replace("-H 'x-tester: yes' ", ""), times=20)


async def test_the_second_hop_is_routed_by_the_header_that_the_first_one_came_with(demo: DemoUp) -> None:
    await put_under_a_rollout(demo, "calculator")
    preview = {"match": [{"header": "x-preview", "exact": "yes"}]}
    await demo.do("rollout", "apply", str(rollout(demo, "calculator", "2.0.0", preview)))
    await until(demo, "calculator", phase="Paused")
    async with httpx.AsyncClient(base_url=demo.url("gateway"), timeout=20, trust_env=False) as client:
        user_id = (await client.get("/api/v1/users")).json()["users"][0]["id"]

        async def answered_by(headers: dict[str, str]) -> dict[str, str]:
            answer = await client.get(f"/api/v1/users/{user_id}/summary", headers=headers)
            assert answer.status_code == httpx.codes.OK, answer.text
            return await versions(demo, client, answer.headers["X-Trace-Id"])

        assert await answered_by({"x-preview": "yes"}) == {"user": "1.0.0", "calculator": "2.0.0"}
        assert await answered_by({}) == {"user": "1.0.0", "calculator": "1.0.0"}


async def versions(demo: DemoUp, client: httpx.AsyncClient, trace_id: str) -> dict[str, str]:
    """Which version of each service answered, by the trace."""

    async def whole() -> dict[str, str] | None:
        answer = await client.get(f"{demo.url('traces')}/api/traces/{trace_id}")
        if answer.status_code != httpx.codes.OK:
            return None
        (trace,) = answer.json()["data"]
        tags = [{tag["key"]: tag["value"] for tag in span["tags"]} for span in trace["spans"]]
        found = {
            tag["service.peer.name"]: tag.get("meshwright.peer.version", "")
            for tag in tags
            if "service.peer.name" in tag
        }
        return found if {"user", "calculator"} <= set(found) else None

    found = await eventually(whole, timeout=20)
    assert found is not None
    return found


def rollout(demo: DemoUp, service: str, version: str, preview: dict[str, Any] | None = None) -> Path:
    strategy: dict[str, Any] = {"autoPromotion": False} | ({"previewHeaderRoute": preview} if preview else {})
    document = {
        "apiVersion": "meshwright.dev/v1alpha1",
        "kind": "VersionedRollout",
        "metadata": {"name": service},
        "spec": {"service": service, "version": version, "replicas": 2, "strategy": {"blueGreen": strategy}},
    }
    path = demo.folder / f"{service}-{version}.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


async def put_under_a_rollout(demo: DemoUp, service: str = "user") -> None:
    """At the version that runs, as the tutorial does with k8s/samples/user.yaml."""
    sample = SAMPLES / "user.yaml" if service == "user" else rollout(demo, service, "1.0.0")
    await demo.do("rollout", "apply", str(sample))
    await until(demo, service, phase="Healthy")
