"""Parts around a control plane under test: backends in this process, callers in their own, an ADS server to feed."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from demo.calculator.v1 import calculator_pb2 as pb
from demo.calculator.v1 import calculator_pb2_grpc as rpc
from meshwright.config import load_config
from meshwright.consul import Consul, Registration
from meshwright.controlplane import ControlPlaneConfig
from meshwright.controlplane.metrics import Metrics
from meshwright.controlplane.model.catalog import Catalog, targets
from meshwright.controlplane.xds.server import Ads
from meshwright.model import Address, Instance, InstanceId, ServiceName
from support.mesh.mesh import CONTROL_PLANE, Caller
from support.processes import python, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from meshwright.config import ConsulConfig
    from support.processes import Process


_numbers = itertools.count(1)


class Backend(rpc.CalculatorServicer):
    """One instance of a service, in this process."""

    def __init__(self, instance: str) -> None:
        self.instance = instance
        self.calls = 0

    async def Add(self, request: pb.Numbers, context: grpc.aio.ServicerContext[Any, Any]) -> pb.Result:
        self.calls += 1
        context.set_trailing_metadata((("meshwright-instance", self.instance),))
        return pb.Result(value=request.a + request.b)


@contextlib.asynccontextmanager
async def backend(
    instance: str, service: str = "calc", meta: Mapping[str, str] | None = None
) -> AsyncIterator[Instance]:
    """A served backend, as Consul would describe it."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    rpc.add_CalculatorServicer_to_server(Backend(instance), server)
    health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield Instance(InstanceId(instance), ServiceName(service), Address("127.0.0.1", port), meta=dict(meta or {}))
    finally:
        await server.stop(0)


def registration(instance: Instance, *, check: bool = False) -> Registration:
    """How a backend registers: without a health check, unless told otherwise."""
    return Registration(
        id=instance.id,
        service=instance.service,
        address=instance.address,
        meta=instance.meta,
        grpc_check="" if check else None,
    )


async def health_of(address: Address, service: str = "") -> Any:
    """What a gRPC server says of its health."""
    async with grpc.aio.insecure_channel(str(address)) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        return (await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)).status


@contextlib.asynccontextmanager
async def caller(target: str, folder: Path, *addresses: Address) -> AsyncIterator[Caller]:
    """A gRPC client process that dials `target`, with these control planes."""
    command = python("-m", "programs.plain_caller", target, *map(str, addresses))
    async with running(command, folder / f"caller-{next(_numbers)}.log", pipes=True) as process:
        made = Caller(process)
        await made.answer()
        yield made


@dataclass
class Plane:
    """A control plane process."""

    xds: Address
    debug: Address
    process: Process

    async def page(self, path: str) -> tuple[int, Any]:
        """Status and content of a debug page."""
        return await page(self.debug, path)


async def page(address: Address, path: str) -> tuple[int, Any]:
    """Status and content of an HTTP page."""
    async with aiohttp.ClientSession() as session, session.get(f"http://{address}{path}") as response:
        json = response.content_type == "application/json"
        return response.status, await response.json() if json else await response.text()


@contextlib.asynccontextmanager
async def plane_process(
    folder: Path, consul: ConsulConfig, xds: Address, debug: Address, **environ: str
) -> AsyncIterator[Plane]:
    """A control plane in a process of its own."""
    settings = {
        "CONSUL_HTTP_ADDR": consul.address,
        "MESHWRIGHT_CONTROLPLANE_PORT": str(xds.port),
        "MESHWRIGHT_CONTROLPLANE_DEBUG_PORT": str(debug.port),
        **environ,
    }
    log = folder / f"plane-{next(_numbers)}.log"
    async with running(python("-c", CONTROL_PLANE), log, settings) as process:
        yield Plane(xds, debug, process)


def plane_config(consul: ConsulConfig, **overrides: Any) -> ControlPlaneConfig:
    """The configuration of a control plane in this process, on free ports."""
    return load_config(ControlPlaneConfig, {}, **{"port": 0, "debug_port": 0, "consul": consul, **overrides})


@dataclass
class FedAds:
    """An ADS server to which the test publishes."""

    ads: Ads
    metrics: Metrics
    address: Address


@contextlib.asynccontextmanager
async def fed_ads(port: int = 0) -> AsyncIterator[FedAds]:
    """An ADS server without Consul."""
    metrics = Metrics()
    ads = Ads(metrics)
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers(ads.handlers())
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield FedAds(ads, metrics, Address("127.0.0.1", port))
    finally:
        await asyncio.gather(server.stop(1), ads.stop())


def plain_chain(service: str) -> dict[str, Any]:
    """What Consul compiles for a service without config entries."""
    target = f"{service}.default.dc1"
    resolver = {"Default": True, "ConnectTimeout": "5s", "Target": target}
    return {
        "ServiceName": service,
        "Namespace": "default",
        "Datacenter": "dc1",
        "Protocol": "grpc",
        "StartNode": f"resolver:{target}",
        "Nodes": {f"resolver:{target}": {"Type": "resolver", "Name": target, "Resolver": resolver}},
        "Targets": {
            target: {"ID": target, "Service": service, "Namespace": "default", "Datacenter": "dc1", "Subset": {}}
        },
    }


@dataclass
class Services:
    """A catalog to which instances are added and from which they are removed."""

    instances: dict[str, dict[str, Instance]] = field(default_factory=dict)

    def add(self, *instances: Instance) -> Services:
        for instance in instances:
            self.instances.setdefault(instance.service, {})[instance.id] = instance
        return self

    def catalog(self) -> Catalog:
        chains = {ServiceName(name): plain_chain(name) for name in self.instances}
        lists = {
            target: tuple(self.instances[target.service].values())
            for chain in chains.values()
            for target in targets(chain)
        }
        return Catalog(chains, lists)


def answered_by(outcomes: Sequence[Any]) -> Counter[str]:
    """How many calls each instance answered."""
    return Counter(outcome.instance for outcome in outcomes)


@contextlib.asynccontextmanager
async def in_consul(consul: Consul, *instances: Instance) -> AsyncIterator[None]:
    """These instances registered."""
    for instance in instances:
        await consul.register(registration(instance))
    try:
        yield
    finally:
        for instance in instances:
            with contextlib.suppress(Exception):
                await consul.deregister(instance.id)
