"""Readiness: whether the gateway and the services behind it would answer now."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from meshwright.client import MeshChannel

PROBE_SECONDS = 1.0
"""Timeout of a health check."""


class Upstream(Protocol):
    """A service that the gateway requires."""

    @property
    def name(self) -> str: ...

    async def missing(self) -> str:
        """Why the service does not answer; empty if it does."""


class Readiness:
    """Readiness: whether requests would be answered now."""

    def __init__(
        self,
        upstreams: Sequence[Upstream],
        draining: Callable[[], bool],
        own: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        """`own`: reasons why the gateway itself is not ready, by cause, such as its database."""
        self._upstreams = upstreams
        self._draining = draining
        self._own = own

    async def missing(self) -> dict[str, str]:
        """The reason of each part that is not ready."""
        if self._draining():
            return {"gateway": "is stopping"}
        if own := self._own():
            return {"gateway": "; ".join(own.values())}
        found = await asyncio.gather(*(upstream.missing() for upstream in self._upstreams))
        return {upstream.name: what for upstream, what in zip(self._upstreams, found, strict=True) if what}


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
