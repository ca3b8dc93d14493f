"""The endpoints of the mesh for the command line: those of a running `up`, or from the environment."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from meshwright.config import ConsulConfig, ServiceConfig, adopt, environment, load_config
from meshwright.errors import UnreachableError
from meshwright.local import http_client
from meshwright.local.control_api import client
from meshwright.model import folded
from meshwright.name_suggestions import NoSuchNameError, no_such_service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from meshwright.consul import Consul
    from meshwright.model import Address

NAMING_KINDS = ("service-resolver", "service-splitter", "service-router")
"""Kinds of config entries that define a callable name, even without instances."""
_TIMEOUT = 2.0


@dataclass(frozen=True, slots=True)
class MeshEndpoints:
    """The addresses and variables of a mesh."""

    environment: Mapping[str, str]
    debug: str = ""
    """`host:port` of the control plane's pages; empty if unknown."""
    up: bool = True
    """Whether it is that of a running `up`."""

    @property
    def consul(self) -> ConsulConfig:
        return load_config(ConsulConfig, self.environment)

    @property
    def control_plane(self) -> Address:
        """The first control plane."""
        return load_config(ServiceConfig, self.environment, service="meshwright-cli").control_planes[0]


def locate(topology: str = "") -> MeshEndpoints:
    """The mesh of the running `up`; without one, that of the environment, with default addresses.

    A missing `up` is an error only if `topology` names one.
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
    """The mesh's Consul. Without a running `up`, the error of an unreachable one explains how to start a mesh."""
    from meshwright.consul import Consul  # noqa: PLC0415 - `meshwright tour` and others do without

    try:
        async with Consul(mesh.consul) as consul:
            yield consul
    except UnreachableError as error:
        raise UnreachableError(how_to_start(mesh, str(error))) from error


def how_to_start(mesh: MeshEndpoints, error: str) -> str:
    """The error of an unreachable mesh, with the remedy."""
    if mesh.up:
        return error
    return f"{error}\nNo `meshwright up` runs here. {client.HOW_TO_START}"


async def service_names(consul: Consul) -> set[str]:
    """Every callable name: registered services, and names defined by config entries."""
    found = {str(name) for name in (await consul.services()).value}
    for kind in NAMING_KINDS:
        found |= {str(entry["Name"]) for entry in (await consul.config_entries(kind)).value}
    return found - {"consul"}


async def resolve_service(consul: Consul, name: str) -> str:
    """The name in its registered case. Raises `NoSuchNameError` with the closest name."""
    names = await service_names(consul)
    found = next((known for known in sorted(names) if folded(known) == folded(name)), None)
    if found is None:
        raise NoSuchNameError(no_such_service(name, names))
    return name if name in names else found


def silence_grpc_log() -> None:
    """Disables gRPC's own log on standard error. To be called before gRPC is imported."""
    if not environment(("GRPC_VERBOSITY",)):
        adopt({"GRPC_VERBOSITY": "NONE"})


def configure_client(mesh: MeshEndpoints) -> ServiceConfig:
    """Configures this process as a client of the mesh; it exports spans only if the mesh's collector is known."""
    spans_known = any(name.startswith("OTEL_") for name in mesh.environment)
    quiet = {} if spans_known else {"OTEL_TRACES_EXPORTER": "none"}
    adopt({**mesh.environment, **quiet})
    return load_config(ServiceConfig, service="meshwright-cli", version="", register=False)


def effective_config(mesh: MeshEndpoints, service: str) -> dict[str, Any] | None:
    """The control plane's configuration of a service, from its debug pages; None if they do not answer."""
    if not mesh.debug:
        return None
    try:
        answer = http_client.get(f"http://{mesh.debug}/debug/service?name={quote(service)}", _TIMEOUT)
        found: dict[str, Any] | None = json.loads(answer.body) if answer.status == HTTPStatus.OK else None
    except (OSError, http_client.HTTPException, ValueError):
        return None
    return found
