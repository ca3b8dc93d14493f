"""The plan of an `up`, made before anything starts: local components, ports, environments.

Only this module combines the three inputs: the topology file, the command line and the environment. The command line
has precedence over the topology, and the topology over the environment, with one exception: `auto` leaves the choice to
the environment. `choose_registry` (component_source) returns the source of Consul; where it returns None, `up` probes
for one and passes the result to `make`. `make` is a function of its arguments (free ports come from a callable), and
rejects conflicting inputs before any process starts.
"""

from __future__ import annotations

import difflib
import sys
import sysconfig
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from meshwright.errors import ValidationError, Violation
from meshwright.free_ports import distinct_ports
from meshwright.local.planner import component_addresses
from meshwright.local.planner.component_source import TOPOLOGY, choose_traces, mesh_environment, parse_source
from meshwright.local.planner.network_addresses import in_url
from meshwright.local.topology.placeholders import UnknownNameError, expand
from meshwright.local.topology.spec import COMPONENTS, CONTROLPLANE, DEFAULT_PORTS, HOST, REGISTRY, TRACES, ProcessSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from pathlib import Path

    from meshwright.local.planner.component_source import ComponentSource, UpOptions
    from meshwright.local.planner.resumed_versions import ResumedVersion
    from meshwright.local.topology.spec import Hint, Topology

RUN_MARK = "MESHWRIGHT_RUN"
"""The variable that identifies a process and its descendants as part of one run of `up`."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a whole system."""

    topology: Topology
    registry: ComponentSource
    controlplane: ComponentSource
    traces: ComponentSource
    """The destination of spans."""
    traces_url: str
    """The URL at which traces are queried; empty: none."""
    processes: tuple[ProcessSpec, ...]
    """The local components, then the processes of the topology; fixed ports filled in."""
    ports: Mapping[str, int]
    """Every port known before the start, by its name."""
    addresses: Mapping[str, str]
    """The address of each port: `host:port`."""
    values: Mapping[str, str]
    """The values of placeholders."""
    environment: Mapping[str, str]
    """The environment of every process."""
    mesh: frozenset[str] = frozenset()
    """The names of the variables by which a process finds the mesh."""
    hints: tuple[Hint, ...] = ()
    resumed: Mapping[str, tuple[ResumedVersion, ...]] = field(default_factory=dict)
    """By service: the versions of an earlier run's rollout, instead of the topology's."""
    lone: frozenset[str] = frozenset()
    """Processes without a configured port: their ports are those of the first instance, and others get their own."""

    host: str = ""
    """The IP address on which public processes listen; empty: loopback, as for all others."""
    reachable: tuple[str, ...] = ()
    """The addresses at which other machines reach public processes, the best one first."""

    @property
    def public(self) -> frozenset[str]:
        """The processes reachable from other machines."""
        return frozenset(process.name for process in self.processes if process.public and self.host)

    @property
    def own(self) -> tuple[ProcessSpec, ...]:
        """The processes of the topology, without the mesh's components."""
        return tuple(process for process in self.processes if process.name not in COMPONENTS)

    def process(self, name: str) -> ProcessSpec:
        return next(process for process in self.processes if process.name == name)

    def needs(self, process: ProcessSpec) -> tuple[str, ...]:
        """The processes that must be ready before this one starts: those of `wait_for` that run here."""
        wanted = (REGISTRY,) if process.wait_for is None else process.wait_for
        here = {process.name for process in self.processes}
        return tuple(name for name in wanted if name in here)

    def readiness(self, process: ProcessSpec) -> str:
        if process.ready:
            return process.ready
        return "consul" if self.registry.dev or self.registry.address else "grpc"


def registry_port(topology: Topology, options: UpOptions) -> int:
    """The port of the local registry, and of the probe for a Consul."""
    default = topology.mesh.ports.get("registry", DEFAULT_PORTS["registry"])
    return options.ports.get("registry", default)


def make(
    topology: Topology,
    options: UpOptions,
    registry: ComponentSource,
    state: Path,
    free_port: Callable[[], int],
    *,
    carried: Mapping[str, int] | None = None,
) -> Plan:
    """Makes the plan. Raises `ValidationError` for unknown or colliding ports, and unknown placeholders.

    `carried`: ports by name that a running `up` has chosen for single instances, and keeps.
    """
    carried = carried or {}
    traces = choose_traces(topology, options)
    controlplane = parse_source(topology.mesh.controlplane, TOPOLOGY)
    components = _components(registry, controlplane, traces)
    unused = distinct_ports(free_port, _fixed(topology, options) | set(carried.values()))
    own = [_with_ports(process, options.ports, carried, unused) for process in topology.processes]
    ports = _ports(topology, options, components, own)
    public = _public(options, own)
    addresses = {
        name: f"{in_url(_near(options.host) if name in public else HOST)}:{port}" for name, port in ports.items()
    }
    traces_url = component_addresses.traces_url(traces, addresses, options.environment)
    values = {
        **component_addresses.placeholders(registry, controlplane, traces, traces_url, options.environment),
        **_values(topology, options, ports, addresses, state),
        **_urls(options, ports, own, public),
    }
    mesh = mesh_environment(registry, controlplane, traces, addresses, options.environment)
    mesh[component_addresses.UI_VARIABLE] = traces_url
    plan = Plan(
        topology=topology,
        registry=registry if registry.address or not registry.dev else replace(registry, address=addresses[REGISTRY]),
        controlplane=controlplane if not controlplane.dev else replace(controlplane, address=addresses["xds"]),
        traces=traces if not traces.dev else replace(traces, address=f"http://{addresses['otlp-grpc']}"),
        traces_url=traces_url,
        processes=(*(_component(name, ports) for name in components), *own),
        ports=ports,
        addresses=addresses,
        host=options.host,
        reachable=options.reachable,
        values=values,
        environment={**options.environment, "PYTHONUNBUFFERED": "1", **mesh},
        mesh=frozenset(mesh),
        lone=frozenset(process.name for process in topology.processes if not _asked(process, options.ports)),
    )
    return replace(plan, hints=_checked(plan))


def resolve(plan: Plan, spec: ProcessSpec, free_port: Callable[[], int], run: str) -> ProcessSpec:
    """One start of an instance: command, ports, environment. `run` marks the process as part of this run of `up`."""
    own = spec.number > 1 and spec.name in plan.lone
    unused = distinct_ports(free_port, plan.ports.values())
    port = (0 if own else spec.port) or unused()
    ports = {name: (0 if own else number) or unused() for name, number in spec.ports.items()}
    host = plan.host if spec.public and plan.host else HOST
    values = {
        **plan.values,
        "host": host,
        "port": str(port),
        "instance": spec.instance,
        "version": spec.version,
        **{f"ports.{name}": str(number) for name, number in ports.items()},
    }
    outer = plan.environment

    def fill(text: str) -> str:
        return expand(text, values, outer)

    written = {**plan.topology.environment, **spec.environment}
    identity = {
        "MESHWRIGHT_SERVICE": spec.service,
        "MESHWRIGHT_VERSION": spec.version,
        "MESHWRIGHT_INSTANCE": spec.instance,
        "MESHWRIGHT_PORT": str(port),
        RUN_MARK: run,
    }
    return replace(
        spec,
        port=port,
        ports=ports,
        command=tuple(fill(part) for part in spec.command or (sys.executable, "-m", spec.module)),
        environment={
            **outer,
            **{name: text for name, text in spec.variables if name not in plan.mesh},
            **identity,
            **{name: fill(text) for name, text in written.items()},
        },
        host=_near(host),
    )


def _near(host: str) -> str:
    """The local address of a listener on that host."""
    return {"": HOST, "0.0.0.0": HOST, "::": "::1"}.get(host, host)  # noqa: S104 - compared with, not bound


def stop_stages(plan: Plan) -> list[list[str]]:
    """Process names in the order of stopping: dependencies stop after their dependents, components last."""
    depth: dict[str, int] = {}

    def measure(name: str) -> int:
        process = plan.process(name)
        if name not in depth:
            depth[name] = 1 + max((measure(need) for need in plan.needs(process)), default=0)
        return depth[name]

    own = [process.name for process in plan.topology.processes]
    deepest = max((measure(name) for name in own), default=0)
    stages = [[name for name in own if depth[name] == level] for level in range(deepest, 0, -1)]
    components = [process.name for process in plan.processes if process.name not in own]
    ends = [[CONTROLPLANE] if CONTROLPLANE in components else [], [name for name in components if name != CONTROLPLANE]]
    return [stage for stage in [*stages, *ends] if stage]


def _components(registry: ComponentSource, controlplane: ComponentSource, traces: ComponentSource) -> list[str]:
    sources = {REGISTRY: registry, CONTROLPLANE: controlplane, TRACES: traces}
    return [name for name, source in sources.items() if source.dev]


_COMPONENT_PORTS: Mapping[str, Mapping[str, str]] = {
    REGISTRY: {"port": "registry"},
    CONTROLPLANE: {"port": "xds", "debug_port": "controlplane"},
    TRACES: {"query_port": "traces", "otlp_grpc_port": "otlp-grpc", "otlp_http_port": "otlp-http"},
}
"""By component: the named port of each port field of its configuration."""

_COMPONENT_READY = {REGISTRY: "http:/v1/status/leader", CONTROLPLANE: "http:/readyz", TRACES: "http:/"}


def _component(name: str, ports: Mapping[str, int]) -> ProcessSpec:
    settings = [f"{field}={ports[port]}" for field, port in _COMPONENT_PORTS[name].items()]
    return ProcessSpec(
        name=name,
        service=name,
        command=(sys.executable, "-m", "meshwright.local.components", name, *settings),
        port=ports[name],
        wait_for=(),
        ready=_COMPONENT_READY[name],
    )


def _with_ports(
    process: ProcessSpec, chosen: Mapping[str, int], carried: Mapping[str, int], free_port: Callable[[], int]
) -> ProcessSpec:
    """The process with the ports of the command line; a single instance gets its free ports now, for placeholders."""
    port = chosen.get(process.name, process.port)
    ports = {name: chosen.get(f"{process.name}.{name}", port) for name, port in process.ports.items()}
    if process.replicas == 1:
        port = port or carried.get(process.name) or free_port()
        ports = {name: port or carried.get(f"{process.name}.{name}") or free_port() for name, port in ports.items()}
    return replace(process, port=port, ports=ports)


def _fixed(topology: Topology, options: UpOptions) -> set[int]:
    """The ports fixed by the topology, the command line or a default."""
    found = {*DEFAULT_PORTS.values(), *topology.mesh.ports.values(), *options.ports.values()}
    for process in topology.processes:
        found |= {process.port, *process.ports.values()}
    return found - {0}


def _asked(process: ProcessSpec, chosen: Mapping[str, int]) -> bool:
    """Whether the topology or the command line sets a port of the process."""
    named = (chosen.get(f"{process.name}.{name}", port) for name, port in process.ports.items())
    return any((chosen.get(process.name, process.port), *named))


def _ports(
    topology: Topology, options: UpOptions, components: Iterable[str], own: Iterable[ProcessSpec]
) -> dict[str, int]:
    wanted = {**DEFAULT_PORTS, **topology.mesh.ports}
    ports = {
        name: options.ports.get(name, wanted[name]) for part in components for name in _COMPONENT_PORTS[part].values()
    }
    for process in own:
        if process.port:
            ports[process.name] = process.port
        ports.update({f"{process.name}.{name}": port for name, port in process.ports.items() if port})
    known = {*DEFAULT_PORTS, *ports, *(process.name for process in own)}
    problems = [Violation(f"--port {name}", _unknown_port(name, known)) for name in options.ports if name not in known]
    owners: dict[int, str] = {}
    for name, port in ports.items():
        if port in owners:
            problems.append(Violation(f"port {port}", f"is wanted by {owners[port]} and by {name}"))
        owners.setdefault(port, name)
    problems += [
        Violation(f"--port {process.name}", f"{process.replicas} instances cannot share one port")
        for process in own
        if process.port and process.replicas > 1
    ]
    if problems:
        raise ValidationError("the choice of ports", problems)
    return ports


def _public(options: UpOptions, own: Iterable[ProcessSpec]) -> set[str]:
    """The processes that `--host` makes public. Raises `ValidationError` without one."""
    found = {process.name for process in own if process.public} if options.host else set()
    if options.host and not found:
        what = "opens public processes, and this topology has none; mark one with `public = true`, to listen on ${host}"
        raise ValidationError("the command", [Violation(f"--host {options.host}", what)])
    return found


def _urls(
    options: UpOptions, ports: Mapping[str, int], own: Iterable[ProcessSpec], public: Collection[str]
) -> dict[str, str]:
    """The processes' URLs for browsers: from other machines for public processes."""
    found = {}
    for process in own:
        if process.name in ports:
            host = next(iter(options.reachable), "localhost") if process.name in public else "localhost"
            found[f"{process.name}.url"] = f"http://{in_url(host)}:{ports[process.name]}"
    return found


def _unknown_port(name: str, known: set[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"no such port; did you mean {near[0]}?" if near else f"no such port; known are {', '.join(sorted(known))}"


def _values(
    topology: Topology, options: UpOptions, ports: Mapping[str, int], addresses: Mapping[str, str], state: Path
) -> dict[str, str]:
    values = {f"{name}.port": str(port) for name, port in ports.items()}
    values |= {f"{name}.address": address for name, address in addresses.items()}
    values |= {f"{name}.url": f"http://{addresses[name]}" for name in (REGISTRY, TRACES) if name in addresses}
    return {
        **values,
        "state": str(state),
        "scripts": sysconfig.get_path("scripts"),
        "postgres": options.postgres or topology.mesh.postgres,
    }


def _checked(plan: Plan) -> tuple[Hint, ...]:
    """Expands everything once, so that an unknown placeholder is found before the first start; returns the hints.

    A hint that needs a missing component, such as the page of traces, is left out.
    """
    problems: list[Violation] = []
    for process in plan.topology.processes:
        try:
            resolve(plan, process.numbered(1), lambda: 0, "")
        except UnknownNameError as error:
            problems.append(Violation(f"processes.{process.name}", str(error)))
    present = {name: value for name, value in plan.values.items() if value or name == "postgres"}
    hints: list[Hint] = []
    for index, hint in enumerate(plan.topology.hints):
        try:
            hints.append(replace(hint, run=expand(hint.run, present, plan.environment)))
        except UnknownNameError as error:
            if error.name not in plan.values:
                problems.append(Violation(f"try[{index}].run", str(error)))
    if problems:
        raise ValidationError(f"topology {plan.topology.source}", problems)
    return tuple(hints)
