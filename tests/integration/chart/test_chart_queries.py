"""Each query of the chart's rules and dashboards, on a real Prometheus that scrapes a mesh as the monitors say.

The demo's processes stand for its pods, and an operator has a rollout under way.
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from integration.chart.prometheus import MESH, Target, of_kind, prometheus, rules, without_data
from meshwright.rollout.api.spec import version_label
from support.demo.up import TOPOLOGY, first_answer, starting
from support.kubernetes.operator import operating
from support.processes import promised_port
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from integration.chart.prometheus import Prometheus
    from support.demo.up import DemoUp
    from support.kubernetes.operator import World

PATIENCE = 120.0
MEMBERS = ("calculator", "user", "inventory", "payment", "order", "userview", "notification", "chat")


def pod(name: str, **more: str) -> dict[str, str]:
    return {"app.kubernetes.io/name": name, "app.kubernetes.io/instance": "mw", **more}


async def listed(consul: httpx.AsyncClient, service: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await consul.get(f"/v1/catalog/service/{service}")).json()
    return found


async def targets(demo: DemoUp, world: World) -> list[Target]:
    """The demo's processes and the operator's world, as Kubernetes would list them."""
    found = [
        Target(
            f"127.0.0.1:{demo.ports['controlplane']}", "mesh", "cp", "debug", pod("controlplane"), "mw-controlplane"
        ),
        Target(f"127.0.0.1:{world.port}", "mesh", "operator", "http", pod("operator"), "mw-operator"),
        # Its headless twin is another Service of the same endpoints, and is not scraped.
        Target(f"127.0.0.1:{world.port}", "mesh", "operator", "http", pod("operator"), "mw-operator-headless"),
    ]
    async with httpx.AsyncClient(base_url=demo.url("registry"), trust_env=False) as consul:
        for service in MEMBERS:
            for each in await eventually(partial(listed, consul, service), PATIENCE, every=0.2):
                address = f"127.0.0.1:{each['ServiceMeta']['metrics_port']}"
                found.append(Target(address, "mesh", each["ServiceID"], "metrics", pod(service)))
    for registrations in world.pods.instances.values():
        for one in registrations:
            labels = {"meshwright.dev/rollout": "user", "meshwright.dev/version": version_label(one.meta["version"])}
            address = f"127.0.0.1:{one.meta['metrics_port']}"
            found.append(Target(address, "mesh", str(one.id), "metrics", pod("user", **labels)))
    return found


async def calling(demo: DemoUp) -> None:
    """Calls and an order now and again."""
    async with httpx.AsyncClient(base_url=demo.url("gateway"), trust_env=False) as client:
        while True:
            with contextlib.suppress(httpx.TransportError):
                await client.post("/api/v1/calculator/add", json={"a": 1, "b": 2})
                await client.get("/api/v1/users")
            await asyncio.sleep(0.2)


@contextlib.asynccontextmanager
async def measured(folder: Path) -> AsyncIterator[Prometheus]:
    """A Prometheus on a mesh in which a rollout is under way."""
    (folder / "demo").mkdir()
    (folder / "world").mkdir()
    async with operating(folder / "world", MESHWRIGHT_OPERATOR_NAMESPACES="demo") as world:
        await world.apply("1.0.0")
        await world.until(lambda status: status.get("stable") == "1.0.0", PATIENCE)
        for version in ("1.0.0", "2.0.0"):
            world.pods.traffic[version].rate = 20
        await world.cluster.patch("user", {"spec": {"version": "2.0.0"}})
        await world.until(lambda status: status.get("phase") == "Paused", PATIENCE)
        port = promised_port()
        async with (
            starting(folder / "demo", topology=topology(folder, port)) as demo,
            scraping(folder, demo, world, port) as made,
        ):
            yield made


def topology(folder: Path, port: int) -> Path:
    """The demo's, with the metrics of the gateway, which registers nowhere, at a known port."""
    heading = "[processes.gateway.environment]\n"
    text = TOPOLOGY.read_text("utf-8")
    assert heading in text
    path = folder / "demo.toml"
    path.write_text(text.replace(heading, f'{heading}MESHWRIGHT_METRICS_PORT = "{port}"\n'), "utf-8")
    return path


@contextlib.asynccontextmanager
async def scraping(folder: Path, demo: DemoUp, world: World, gateway: int) -> AsyncIterator[Prometheus]:
    """A Prometheus on both, while the demo is called."""
    monitors = [*of_kind("ServiceMonitor"), *of_kind("PodMonitor")]
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        await eventually(lambda: "is up after" in demo.process.log.read_text(), PATIENCE, every=0.2)
        await first_answer(demo, client)
        load = asyncio.create_task(calling(demo))
        try:
            found = await targets(demo, world)
            found.append(Target(f"127.0.0.1:{gateway}", "mesh", "gateway", "metrics", pod("gateway")))
            async with prometheus(folder, monitors, rules(), found) as made:
                yield made
        finally:
            load.cancel()
            await asyncio.gather(load, return_exceptions=True)


@pytest.mark.timeout(600)
async def test_each_query_of_rules_and_dashboards_has_data_and_targets_are_labelled_as_they_are_meant(
    tmp_path: Path,
) -> None:
    async with measured(tmp_path) as made:

        async def all_read() -> bool:
            found = await made.targets()
            assert found
            assert {one["health"] for one in found} == {"up"}, [one["lastError"] for one in found]
            return True

        await eventually(all_read, 60, every=0.5)
        found = [one["labels"] for one in await made.targets()]
        assert {labels["mesh"] for labels in found} == {MESH}
        by_service: dict[str, list[dict[str, Any]]] = {}
        for labels in found:
            by_service.setdefault(labels["service"], []).append(labels)
        assert by_service.keys() == {"controlplane", "operator", "gateway", *MEMBERS}
        assert len(by_service["operator"]) == 1
        versions = {labels.get("version") for labels in by_service["user"] if labels["job"] == "mesh/mw-rollouts"}
        assert versions == {"1.0.0", "2.0.0"}

        async def all_answered() -> bool:
            lacking = await without_data(made, rules(), service="user|gateway", namespace=".*", rollout=".*")
            assert not lacking, "\n".join(lacking)
            return True

        await eventually(all_answered, 120, every=2)
        states = (await made.ask("rules"))["groups"]
        assert [rule["name"] for group in states for rule in group["rules"] if rule["health"] != "ok"] == []
