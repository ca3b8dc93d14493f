"""Where the mesh is, for commands that look at it or change it: that of the `up` here, or the environment's."""

from __future__ import annotations

import contextlib
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from meshwright.config import ConsulConfig, ServiceConfig, adopt, environment, load
from meshwright.errors import UnreachableError
from meshwright.local.control_api import client
from meshwright.model import folded
from meshwright.names import NoSuchNameError, no_such_service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from meshwright.consul import Consul
    from meshwright.model import Address

NAMING_KINDS = ("service-resolver", "service-splitter", "service-router")
"""Kinds of config entries that make a name that clients can call, even where no instance has it."""
_PATIENCE = 2.0


@dataclass(frozen=True, slots=True)
class MeshEndpoints:
    """How to reach the mesh."""

    environment: Mapping[str, str]
    debug: str = ""
    """`host:port` of the control plane's pages; empty if not known."""
    up: bool = True
    """Whether it is that of an `up` that runs here."""

    @property
    def consul(self) -> ConsulConfig:
        return load(ConsulConfig, self.environment)

    @property
    def control_plane(self) -> Address:
        """The first control plane."""
        return load(ServiceConfig, self.environment, service="meshwright-cli").control_planes[0]


def locate(topology: str = "") -> MeshEndpoints:
    """The mesh of the `up` that runs here; without one, what the environment says, and the default addresses.

    Several topologies without a name are an error only where there is nothing else to go by.
    """
    own = environment()
    try:
        record = client.find(topology).record
    except client.NothingUpError:
        if topology:
            raise
        return MeshEndpoints(own, "127.0.0.1:18001", up=False)
    return MeshEndpoints({**own, **record.environment}, record.addresses.get("controlplane", ""))


@contextlib.asynccontextmanager
async def open_consul(mesh: MeshEndpoints) -> AsyncIterator[Consul]:
    """Its Consul. The error of an unreachable one says how to start a mesh, where none runs here."""
    from meshwright.consul import Consul  # noqa: PLC0415 - `meshwright tour` and others do without

    try:
        async with Consul(mesh.consul) as consul:
            yield consul
    except UnreachableError as error:
        raise UnreachableError(how_to_start(mesh, str(error))) from error


def how_to_start(mesh: MeshEndpoints, error: str) -> str:
    """An error of a mesh that does not answer, and what to do about it."""
    if mesh.up:
        return error
    return f"{error}\nNo `meshwright up` runs here. {client.HOW_TO_START}"


async def service_names(consul: Consul) -> set[str]:
    """Every name that calls can go to: services that have registered, and those that config entries make."""
    found = {str(name) for name in (await consul.services()).value}
    for kind in NAMING_KINDS:
        found |= {str(entry["Name"]) for entry in (await consul.config_entries(kind)).value}
    return found - {"consul"}


async def known_service(consul: Consul, name: str) -> str:
    """The name as it is registered; raises `NoSuchNameError` where there is none, with the closest one."""
    names = await service_names(consul)
    found = next((known for known in sorted(names) if folded(known) == folded(name)), None)
    if found is None:
        raise NoSuchNameError(no_such_service(name, names))
    return name if name in names else found


def hush() -> None:
    """Keep gRPC's own log off standard error, where errors are told in words; before gRPC is imported."""
    if not environment(("GRPC_VERBOSITY",)):
        adopt({"GRPC_VERBOSITY": "NONE"})


def join(mesh: MeshEndpoints) -> ServiceConfig:
    """Make this process one that calls over the mesh: its spans go where those of the mesh go, if that is known."""
    spans_known = any(name.startswith("OTEL_") for name in mesh.environment)
    quiet = {} if spans_known else {"OTEL_TRACES_EXPORTER": "none"}
    adopt({**mesh.environment, **quiet})
    return load(ServiceConfig, service="meshwright-cli", version="", register=False)


def in_force(mesh: MeshEndpoints, service: str) -> dict[str, Any] | None:
    """What the control plane has in force for a service, by its debug pages; None if they do not answer."""
    if not mesh.debug:
        return None
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"http://{mesh.debug}/debug/service?name={quote(service)}", timeout=_PATIENCE) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except (urllib.error.URLError, ValueError, OSError):
        return None
