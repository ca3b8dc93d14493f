"""The services behind the gateway, over the mesh: proto <-> domain, and gRPC's statuses as failures."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

import meshwright
from services.gateway.domain import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshwright.client import MeshChannel

PROBE_SECONDS = 1.0
"""Timeout of a health check."""


@contextlib.contextmanager
def translate_grpc_errors() -> Iterator[None]:
    """Converts gRPC errors to ApiError."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        details = meshwright.error_details(error)
        raise ApiError(details.code, details.message, reason=details.reason, fields=details.fields) from error


class MeshUpstream:
    """Checks a service's health over the mesh, without routes and policies.

    Uses the bare connection: a probe each second needs neither traces nor metrics.
    """

    def __init__(self, name: str, channel: MeshChannel) -> None:
        self._name = name
        self._channel = channel

    @property
    def name(self) -> str:
        return self._name

    async def missing(self) -> str:
        check = health_pb2_grpc.HealthStub(self._channel.connection()).Check
        try:
            answer = await check(health_pb2.HealthCheckRequest(), timeout=PROBE_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                return f"does not answer within {PROBE_SECONDS:g} s"
            return f"cannot be reached over the mesh ({error.code().name})"
        return "" if answer.status == health_pb2.HealthCheckResponse.SERVING else "is not serving"
