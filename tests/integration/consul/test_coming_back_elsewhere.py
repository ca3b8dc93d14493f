"""A process that was killed and started again has the same id and another port, and is checked there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from meshwright.consul import Consul, Registration
from meshwright.model import Address, Health, InstanceId, ServiceName
from support.waiting import eventually

if TYPE_CHECKING:
    from support.consul.servers import ConsulServer

SERVICE = ServiceName("calculator")


async def serve() -> tuple[grpc.aio.Server, Registration]:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    address = Address("127.0.0.1", port)
    made = Registration(
        id=InstanceId("calculator-1"), service=SERVICE, address=address, tags=(), meta={}, check_interval=0.2
    )
    return server, made


async def test_an_instance_that_comes_back_at_another_port_is_healthy_again(any_consul: ConsulServer) -> None:
    async with Consul(any_consul.config) as consul:

        async def states() -> list[tuple[Address, Health]]:
            return [(found.address, found.health) for found in (await consul.instances(SERVICE)).value]

        for _ in range(3):
            server, registration = await serve()
            await consul.register(registration)
            passing = [(registration.address, Health.PASSING)]

            async def is_passing(expected: list[tuple[Address, Health]] = passing) -> bool:
                return await states() == expected

            await eventually(is_passing)
            await server.stop(None)

            async def is_critical() -> bool:
                return [health for _, health in await states()] == [Health.CRITICAL]

            await eventually(is_critical)
