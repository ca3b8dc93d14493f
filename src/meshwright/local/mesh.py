"""Where the mesh is, for commands that look at it or change it: that of the `up` here, or the environment's."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meshwright.config import ConsulConfig, ServiceConfig, adopt, environment, load
from meshwright.local import client

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshwright.model import Address

_PATIENCE = 2.0


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """How to reach the mesh."""

    environment: Mapping[str, str]
    debug: str = ""
    """`host:port` of the control plane's pages; empty if not known."""

    @property
    def consul(self) -> ConsulConfig:
        return load(ConsulConfig, self.environment)

    @property
    def control_plane(self) -> Address:
        """The first control plane."""
        return load(ServiceConfig, self.environment, service="meshwright-cli").control_planes[0]


def locate(topology: str = "") -> Whereabouts:
    """The mesh of the `up` that runs here; without one, what the environment says, and the default addresses.

    Several topologies without a name are an error only where there is nothing else to go by.
    """
    own = environment()
    try:
        record = client.find(topology).record
    except client.NothingUpError:
        if topology:
            raise
        return Whereabouts(own, "127.0.0.1:18001")
    return Whereabouts({**own, **record.environment}, record.addresses.get("controlplane", ""))


def hush() -> None:
    """Keep gRPC's own log off standard error, where errors are told in words; before gRPC is imported."""
    if not environment(("GRPC_VERBOSITY",)):
        adopt({"GRPC_VERBOSITY": "NONE"})


def join(where: Whereabouts) -> ServiceConfig:
    """Make this process one that calls over the mesh: its spans go where those of the mesh go, if that is known."""
    spans_known = any(name.startswith("OTEL_") for name in where.environment)
    quiet = {} if spans_known else {"OTEL_TRACES_EXPORTER": "none"}
    adopt({**where.environment, **quiet})
    return load(ServiceConfig, service="meshwright-cli", version="", register=False)


def problems(where: Whereabouts) -> dict[str, Any] | None:
    """What the control plane could not honour, by its debug pages; None if they do not answer."""
    if not where.debug:
        return None
    try:
        with urllib.request.urlopen(f"http://{where.debug}/debug/problems", timeout=_PATIENCE) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except (urllib.error.URLError, ValueError, OSError):
        return None
