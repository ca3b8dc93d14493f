"""Calling a service by its name: `channel("user")`."""

from __future__ import annotations

import sys
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshwright.client.bootstrap import prepare
from meshwright.client.connection import open_xds
from meshwright.client.mesh_channel import MeshChannel
from meshwright.client.resolution import ConsulChannel
from meshwright.client.skew import timeout_skew_ms
from meshwright.config import Discovery, ServiceConfig, environment, load
from meshwright.interceptors.client import ClientCalls
from meshwright.telemetry import acquire, current

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import grpc

    from meshwright.telemetry import Telemetry

    Connector = Callable[[str, Iterable[tuple[str, Any]]], grpc.aio.Channel]
    """Opens the connection to a service of that name, with channel arguments."""

__all__ = ["CONNECTOR", "MeshChannel", "channel"]

CONNECTOR: ContextVar[Callable[[str, Iterable[tuple[str, Any]]], grpc.aio.Channel] | None] = ContextVar(
    "meshwright_connector", default=None
)
"""The seam for tests and special transports: what opens the connection to a service instead of its discovery."""


def channel(
    name: str,
    config: ServiceConfig | None = None,
    *,
    timeout: float | None = None,
    authorization: bool = True,
    options: Iterable[tuple[str, Any]] = (),
    telemetry: Telemetry | None = None,
) -> MeshChannel:
    """A channel to the service `name`, for generated stubs. Close it, or use it as an async context manager.

    `config` is that of the process that calls; without it, that of the process's server, or the environment's.
    `timeout`: seconds for calls that give none. There is no default: whoever is called should not have to guess how
    long the caller's caller waits; calls made while answering a call end with that one in any case.
    `authorization`: whether the incoming call's is passed on. `options`: gRPC channel arguments. `telemetry`: instead
    of the process's.
    """
    ours = telemetry or acquire(config or _own_config())
    chosen = config or ours.config
    calls = ClientCalls(ours, name, timeout=timeout, authorization=authorization)
    on_close = ours.release if telemetry is None else _nothing
    connector = CONNECTOR.get()
    if connector is not None:
        return MeshChannel(calls, lambda: connector(name, options), on_close)
    if chosen.discovery is Discovery.CONSUL:
        return ConsulChannel(calls, chosen.consul, options, on_close)
    prepare(chosen, ours.identity, timeout_skew_ms)
    return MeshChannel(calls, lambda: open_xds(name, options), on_close)


async def _nothing() -> None:
    """Telemetry that was given is the giver's to close."""


def _own_config() -> ServiceConfig:
    """The configuration of this process where nobody gave one: a script may call without being a service."""
    running = current()
    if running is not None:
        return running.config
    if environment(("MESHWRIGHT_SERVICE",)).get("MESHWRIGHT_SERVICE"):
        return load(ServiceConfig)
    return load(ServiceConfig, service=Path(sys.argv[0]).stem or "client")
