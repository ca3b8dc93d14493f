"""The operator as a process, between an API emulator with made-up pods and a Consul."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from meshwright.consul import Consul
from support.consul.proxy import Proxy, proxied
from support.consul.servers import dev_consul, find_consul, real_consul
from support.kubernetes.emulator import NAMESPACE, ROLLOUTS, Kube, Pods, kube, pods
from support.processes import Process, promised_port, python, running
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


STEPS = [{"setWeight": 20}, {"pause": {}}, {"setWeight": 60}, {"pause": {"duration": "1s"}}]


@dataclass
class World:
    """A cluster, a Consul, and the operator between them."""

    cluster: Kube
    pods: Pods
    consul: Consul
    proxy: Proxy
    """The way from the operator to Consul."""
    folder: Path
    stack: contextlib.AsyncExitStack
    port: int = 0
    operator: Process | None = None
    environ: dict[str, str] = field(default_factory=dict)
    """More of the operator's environment."""

    async def start(self) -> None:
        """Start the operator, or another one after its end."""
        self.port = promised_port()
        environ = {
            "KUBECONFIG": str(self.cluster.kubeconfig),
            "CONSUL_HTTP_ADDR": self.proxy.config.address,
            "MESHWRIGHT_OPERATOR_PORT": str(self.port),
            "POD_NAME": "operator-0",
            **self.environ,
        }
        argv = python("-m", "meshwright_operator")
        self.operator = await self.stack.enter_async_context(running(argv, self.folder / "operator.log", environ))

    async def apply(self, version: str | None, **spec: Any) -> None:
        template = {"spec": {"containers": [{"name": "user", "image": f"user:{version}"}]}}
        canary = {"steps": STEPS, "scaleDownDelay": "1s"}
        document: dict[str, Any] = {
            "apiVersion": "meshwright.dev/v1alpha1",
            "kind": "VersionedRollout",
            "metadata": {"name": "user", "namespace": NAMESPACE},
            "spec": {
                "service": "user",
                "version": version,
                "replicas": 2,
                "template": template,
                "strategy": {"canary": canary},
                **spec,
            },
        }
        document["spec"] = {key: value for key, value in document["spec"].items() if value is not None}
        await self.cluster.create(document)

    async def until(self, holds: Callable[[dict[str, Any]], bool], timeout: float = 30) -> dict[str, Any]:
        def reached() -> bool:
            status = self.cluster.status("user")
            assert self.operator
            assert holds(status), json.dumps(status, indent=1) + self.operator.tail(30)
            return True

        await eventually(reached, timeout)
        return self.cluster.status("user")

    async def until_phase(self, phase: str, **more: Any) -> dict[str, Any]:
        wanted = {"phase": phase, **more}
        return await self.until(lambda status: wanted.items() <= status.items())

    async def weights(self) -> dict[str, float]:
        """What Consul's service-splitter says, by subset."""
        entry = await self.consul.config_entry("service-splitter", "user")
        return {split.get("ServiceSubset", ""): split["Weight"] for split in (entry or {}).get("Splits", ())}

    async def until_weights(self, **weights: float) -> None:
        async def so() -> bool:
            assert await self.weights() == weights
            return True

        await eventually(so, 20)

    async def page(self, path: str) -> str:
        async with httpx.AsyncClient(trust_env=False) as client:
            return (await client.get(f"http://127.0.0.1:{self.port}{path}")).text

    def replicas(self) -> dict[str, int]:
        return {name: item["spec"]["replicas"] for name, item in self.cluster.deployments().items()}

    async def until_replicas(self, **replicas: int) -> None:
        wanted = {name.replace("_", "-"): count for name, count in replicas.items()}
        await self.until(lambda _: self.replicas() == wanted)

    async def until_gone(self) -> None:
        await self.until(lambda _: not self.cluster.exists(ROLLOUTS, "user"))


@contextlib.asynccontextmanager
async def operating(folder: Path, **environ: str) -> AsyncIterator[World]:
    """An operator that is running, with `environ` in its environment.

    What it asks of Consul is held to both kinds elsewhere: the real one, where there is one, will do.
    """
    async with (
        real_consul() if find_consul() else dev_consul() as server,
        proxied(server) as proxy,
        kube(folder) as cluster,
        Consul(server.config) as consul,
        pods(cluster, consul, "user") as made,
        contextlib.AsyncExitStack() as processes,
    ):
        cluster.emulator.namespaced = "MESHWRIGHT_OPERATOR_CLUSTERWIDE" not in environ
        one = World(cluster, made, consul, proxy, folder, processes, environ=environ)
        await one.start()
        yield one


async def first(world: World, version: str = "1.0.0", **spec: Any) -> None:
    """A rollout whose first version serves."""
    await world.apply(version, **spec)
    await world.until_phase("Healthy", stable=version)
