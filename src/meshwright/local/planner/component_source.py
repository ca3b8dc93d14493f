"""The source of each component of the mesh: a local dev component, an external one, or none."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from meshwright.local.topology.spec import AUTO, DEV, NONE, REGISTRY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshwright.local.topology.spec import Topology

TOPOLOGY = "the topology"
_OTLP = re.compile(r"OTEL_EXPORTER_OTLP_(TRACES_)?(?P<what>[A-Z_]+)")
_HOW = frozenset({"TIMEOUT", "COMPRESSION"})
"""Variables of OTLP's exporters that are independent of the collector. The SDK fails where they are empty."""


@dataclass(frozen=True, slots=True)
class UpOptions:
    """The options of the command line, and the environment of `up`."""

    consul: str = ""
    """`auto`, `dev`, `none` or an address; empty: the topology's."""
    postgres: str = ""
    ports: Mapping[str, int] = field(default_factory=dict)
    host: str = ""
    """The IP address on which public processes listen; empty: loopback."""
    reachable: tuple[str, ...] = ()
    """The addresses at which other machines reach public processes, the best one first."""
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ComponentSource:
    """The source of a component. `dev`: it runs here; else `address` is its address, or empty without one."""

    dev: bool
    address: str = ""
    why: str = ""
    """The origin of the choice, for the table that `up` prints."""


def choose_registry(topology: Topology, options: UpOptions) -> ComponentSource | None:
    """The source of Consul; None: one running at the registry's address, else the dev Consul."""
    wanted = options.consul or topology.mesh.registry
    who = "--consul" if options.consul else TOPOLOGY
    if wanted == AUTO:
        told = options.environment.get("CONSUL_HTTP_ADDR", "")
        return ComponentSource(dev=False, address=told, why="CONSUL_HTTP_ADDR") if told else None
    return parse_source(wanted, who)


def choose_traces(topology: Topology, options: UpOptions) -> ComponentSource:
    """The destination of spans."""
    wanted = topology.mesh.traces
    if wanted != AUTO:
        return parse_source(wanted, TOPOLOGY)
    if options.environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return ComponentSource(dev=False, why="OTEL_SDK_DISABLED")
    if options.environment.get("OTEL_TRACES_EXPORTER", "") == NONE:
        return ComponentSource(dev=False, why="OTEL_TRACES_EXPORTER")
    for variable in ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        if told := options.environment.get(variable):
            return ComponentSource(dev=False, address=told, why=variable)
    return ComponentSource(dev=True, why=TOPOLOGY)


def parse_source(wanted: str, who: str) -> ComponentSource:
    """The source of a component that the option or the topology (`who`) wants: `dev`, `none` or an address."""
    if wanted == NONE:
        return ComponentSource(dev=False, why=who)
    return ComponentSource(dev=wanted == DEV, address="" if wanted == DEV else wanted, why=who)


def mesh_environment(
    registry: ComponentSource,
    controlplane: ComponentSource,
    traces: ComponentSource,
    addresses: Mapping[str, str],
    outer: Mapping[str, str],
) -> dict[str, str]:
    """The variables by which a process finds the mesh. Those of an unused external component are set to empty."""
    found: dict[str, str] = {}
    if registry.dev:
        found |= dict.fromkeys((name for name in outer if name.startswith("CONSUL_")), "")
        found["CONSUL_HTTP_ADDR"] = addresses[REGISTRY]
    elif registry.address:
        found["CONSUL_HTTP_ADDR"] = registry.address
    else:
        found["MESHWRIGHT_REGISTER"] = "false"
    if controlplane.dev or controlplane.address:
        found["MESHWRIGHT_XDS"] = addresses["xds"] if controlplane.dev else controlplane.address
    else:
        found["MESHWRIGHT_DISCOVERY"] = "consul"
    if traces.dev:
        found |= dict.fromkeys((name for name in outer if _says_where(name)), "")
        found["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://{addresses['otlp-grpc']}"
    elif not traces.address:
        found["OTEL_TRACES_EXPORTER"] = NONE
    elif traces.why == TOPOLOGY:
        found["OTEL_EXPORTER_OTLP_ENDPOINT"] = traces.address
        found["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = ""
    return found


def _says_where(variable: str) -> bool:
    """Whether the variable configures a certain collector: its address, protocol, credentials."""
    match = _OTLP.fullmatch(variable)
    return match is not None and match["what"] not in _HOW
