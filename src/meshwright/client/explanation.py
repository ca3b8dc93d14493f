"""Why a channel reaches no server: the name is wrong, or what knows the names does not answer.

Asked only once a call has failed before any server has answered. The names come from where the channel gets its
addresses: from the control plane, as the listeners it has (one request of the xDS protocol, on a stream of its own), or
from Consul's catalog.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import grpc

from meshwright.client.bootstrap import control_planes_asked, server_uris
from meshwright.consul import Consul
from meshwright.errors import MeshwrightError
from meshwright.name_suggestions import no_such_service

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from meshwright.calls.client.explained import Explain
    from meshwright.config import ConsulConfig
    from meshwright.model import Address

_ADS = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
_LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"
_KEPT_SECONDS = 1.0


def remembered(ask: Callable[[], Awaitable[str | None]]) -> Explain:
    """`ask`, bounded in time; an answer holds for a second, so that many failing calls ask once."""
    lock = asyncio.Lock()
    known: tuple[float, str | None] = (float("-inf"), None)

    async def explain(seconds: float) -> str | None:
        nonlocal known
        try:
            async with asyncio.timeout(seconds), lock:
                if time.monotonic() - known[0] > _KEPT_SECONDS:
                    known = time.monotonic(), await ask()
        except TimeoutError:
            return None
        return known[1]

    return explain


def of_control_plane(name: str) -> Explain:
    """For a channel whose addresses come from the control plane."""

    async def ask() -> str | None:
        addresses = control_planes_asked()
        if not addresses:
            return None
        try:
            names = await _listeners(addresses)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                return None
            return (
                f"no control plane answers at {', '.join(map(str, addresses))} (MESHWRIGHT_XDS): `meshwright up` "
                f"starts a mesh, `meshwright controlplane` a control plane for the Consul in CONSUL_HTTP_ADDR"
            )
        return None if name in names else no_such_service(name, names)

    return remembered(ask)


def of_consul(name: str, config: ConsulConfig) -> Explain:
    """For a channel whose addresses come from Consul."""

    async def ask() -> str | None:
        async with Consul(config) as consul:
            try:
                names = {str(known) for known in (await consul.services()).value} - {"consul"}
            except MeshwrightError as error:
                return f"{error}; `meshwright up` starts a mesh with a Consul for development"
        return f"no instance of {name} is healthy" if name in names else no_such_service(name, names)

    return remembered(ask)


async def _listeners(addresses: Sequence[Address]) -> set[str]:
    """The names of the services that the control plane knows."""
    from meshwright.messages.xds import (  # noqa: PLC0415
        DiscoveryRequest,
        DiscoveryResponse,
        Listener,
    )

    request: Any = DiscoveryRequest(type_url=_LISTENER)
    request.node.id = request.node.user_agent_name = "meshwright-explanation"
    async with grpc.aio.insecure_channel(server_uris(addresses)[0]) as channel:
        call: Any = channel.stream_stream(_ADS)()
        await call.write(request.SerializeToString())
        answer = await call.read()
        call.cancel()
    response: Any = DiscoveryResponse.FromString(answer) if isinstance(answer, bytes) else DiscoveryResponse()
    return {str(Listener.FromString(resource.value).name) for resource in response.resources}
