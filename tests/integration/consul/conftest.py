"""Fixtures of the tests that talk to Consul: a client, and a gRPC server whose health can be switched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from meshwright.consul import Consul, Registration
from meshwright.model import Address, InstanceId, ServiceName

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.consul.servers import ConsulServer

SERVICE = "demo.user.v1.UserService"


class Served:
    """A gRPC server with nothing but a health service."""

    def __init__(self, address: Address, servicer: health.aio.HealthServicer) -> None:
        self.address = address
        self._servicer = servicer

    async def set_healthy(self, healthy: bool) -> None:
        status = health_pb2.HealthCheckResponse.SERVING if healthy else health_pb2.HealthCheckResponse.NOT_SERVING
        await self._servicer.set(SERVICE, status)

    def registration(self, number: int = 1, **changes: object) -> Registration:
        values: dict[str, object] = {
            "id": InstanceId(f"user-{number}"),
            "service": ServiceName("user"),
            "address": self.address,
            "tags": ("grpc", "blue"),
            "meta": {"version": "1.2.0", "api": "v1", "metrics_port": "20001"},
            "grpc_check": SERVICE,
        }
        return Registration(**{**values, **changes})


@pytest.fixture
async def consul(any_consul: ConsulServer) -> AsyncIterator[Consul]:
    async with Consul(any_consul.config) as client:
        yield client


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    built = Served(Address("127.0.0.1", port), servicer)
    await built.set_healthy(True)
    yield built
    await server.stop(0)
