"""One mesh for all clients: a control plane, a service in two versions, one with a failover, and one to be killed."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
import pytest_asyncio

from demo.calculator.v1 import calculator_pb2 as pb
from demo.calculator.v1 import calculator_pb2_grpc as rpc
from foreign.foreign_clients import KINDS, foreign
from meshwright.consul import Registration
from meshwright.model import Address, InstanceId, ServiceName
from support.consul.servers import dev_consul, find_consul, real_consul
from support.mesh.mesh import Mesh, mesh

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

    from foreign.foreign_clients import ForeignCaller


class Backend(rpc.CalculatorServicer):
    """An instance in this process. `x-delay` in the metadata: seconds before the answer."""

    def __init__(self, instance: str, version: str) -> None:
        self.instance = instance
        self.version = version
        self.fail_next = 0

    async def Add(self, request: pb.Numbers, context: grpc.aio.ServicerContext) -> pb.Result:
        await asyncio.sleep(float(dict(context.invocation_metadata()).get("x-delay", 0)))
        if self.fail_next:
            self.fail_next -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "told to fail")
        context.set_trailing_metadata((("meshwright-instance", self.instance), ("meshwright-version", self.version)))
        return pb.Result(value=request.a + request.b)


@dataclass
class World:
    """The mesh and the instances in this process, by name: `v1`, `v2`, `first`, `spare`, `here` and `there`."""

    mesh: Mesh
    backends: dict[str, Backend]

    @property
    def control_plane(self) -> Address:
        return self.mesh.control_planes[0][0]

    async def add(self, service: str, instance: str, version: str = "1.0.0", **meta: str) -> None:
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        self.backends[instance] = Backend(instance, version)
        rpc.add_CalculatorServicer_to_server(self.backends[instance], server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        self.mesh.stack.push_async_callback(server.stop, 0)
        await self.mesh.consul.register(
            Registration(
                id=InstanceId(instance),
                service=ServiceName(service),
                address=Address("127.0.0.1", port),
                meta={"version": version, **meta},
                grpc_check=None,
            )
        )


def match(header: str, exact: str) -> dict[str, object]:
    return {"HTTP": {"Header": [{"Name": header, "Exact": exact}]}}


ENTRIES = [
    *({"Kind": "service-defaults", "Name": name, "Protocol": "grpc"} for name in ("calc", "primary", "spare")),
    {
        "Kind": "service-resolver",
        "Name": "calc",
        "DefaultSubset": "v1",
        "Subsets": {f"v{n}": {"Filter": f'Service.Meta.version == "{n}.0.0"'} for n in (1, 2)},
    },
    {
        "Kind": "service-splitter",
        "Name": "calc",
        "Splits": [{"Weight": 75, "ServiceSubset": "v1"}, {"Weight": 25, "ServiceSubset": "v2"}],
    },
    {
        "Kind": "service-router",
        "Name": "calc",
        "Routes": [
            {"Match": match("x-version", "2"), "Destination": {"ServiceSubset": "v2"}},
            {"Match": match("x-timeout", "on"), "Destination": {"RequestTimeout": "500ms"}},
        ],
    },
    {"Kind": "service-resolver", "Name": "primary", "Failover": {"*": {"Service": "spare"}}},
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """On the real Consul where there is one, else on the dev Consul."""
    folder = tmp_path_factory.mktemp("world")
    consul = real_consul() if find_consul() else dev_consul()
    async with contextlib.AsyncExitStack() as stack:
        made = World(await stack.enter_async_context(mesh(await stack.enter_async_context(consul), folder)), {})
        for entry in ENTRIES:
            assert await made.mesh.consul.put_config_entry(entry)
        await made.add("calc", "v1")
        await made.add("calc", "v2", "2.0.0")
        await made.add("primary", "first")
        await made.add("spare", "spare")
        await made.mesh.consul.kv_put("meshwright/policy/near", b'{"prioritize_by_locality": "failover"}')
        await made.add("near", "here", region="eu", zone="a")
        await made.add("near", "there", region="eu", zone="b")
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=KINDS)
async def client(
    request: pytest.FixtureRequest, world: World, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ForeignCaller]:
    """One process of each kind of client, for all tests."""
    folder = tmp_path_factory.mktemp(request.param)
    async with foreign(request.param, folder, [world.control_plane]) as caller:
        yield caller
