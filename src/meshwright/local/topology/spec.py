"""The topology: the processes of a system, defined in a TOML file.

    name = "shop"                        # default: the file's name; of a meshwright.toml, its folder's

    [mesh]                               # every line of this table is optional
    registry = "auto"                    # auto | dev | none | the address of a Consul
    controlplane = "dev"                 # dev | none | host:port[,host:port]
    traces = "auto"                      # auto | dev | none | the endpoint of an OTLP collector
    postgres = "postgresql://..."        # only passed on, as ${postgres}
    ports = { registry = 8501 }          # of registry, xds, controlplane, traces, otlp-grpc, otlp-http

    [environment]                        # for every process
    MESHWRIGHT_LOG_LEVEL = "info"

    [processes.cart]
    module = "shop.cart"                 # python -m shop.cart; or: command = ["node", "cart.js"]
    folder = "."                         # working directory, relative to this file; default: where `up` was called
    service = "cart"                     # the name in Consul; default: the process's name
    replicas = 2                         # instances cart-1, cart-2; default 1
    version = "1.0.0"                    # default "0.0.0"
    port = 8080                          # default: a free port from 20000 up for each instance
    ports = { admin = 8081 }             # further named ports; 0: a free one
    public = true                        # `up --host` opens it to other machines; it listens on ${host}; default false
    environment = { DATABASE_URL = "${postgres:-sqlite:///${state}/cart.db}" }
    wait_for = ["registry", "price"]     # processes and components that must be ready first; default: ["registry"]
    ready = "consul"                     # when it counts as ready; default: consul with a registry, grpc without one
    ready_timeout = 30                   # seconds
    stop_timeout = 15                    # seconds between SIGTERM and SIGKILL
    restart = true                       # whether it is started again after a crash

    [[try]]                              # printed when all is ready
    say = "see what is in the cart"
    run = "curl -s ${cart.address}/items"

`ready` is one of `consul` (the instance is registered, and passing), `grpc` (`grpc.health.v1` returns SERVING on its
port), `tcp` (its port accepts connections), `http:/path` (its port answers below 400 there), the URL of anything
else that answers below 400, or `started` (the process runs).

`auto` means: for the registry, the Consul that `CONSUL_HTTP_ADDR` names, or one that is found running at the
registry's address, or else the dev Consul; for traces, the collector that `OTEL_EXPORTER_OTLP_ENDPOINT` names, or
else the dev trace store. Components are named `registry`, `controlplane` and `traces` in `wait_for`.

Each process has in its environment the variables of the runtime (`MESHWRIGHT_SERVICE`, `MESHWRIGHT_VERSION`,
`MESHWRIGHT_INSTANCE`, `MESHWRIGHT_PORT`, `MESHWRIGHT_XDS`), `CONSUL_HTTP_ADDR`, `OTEL_EXPORTER_OTLP_ENDPOINT`, and
beneath that the environment of `up` itself. Values of `environment`, `command` and `try` may hold placeholders
(meshwright.local.topology.placeholders): `${port}`, `${ports.admin}`, `${instance}`, `${version}`, `${host}` (where the
process listens: 127.0.0.1, and for a public one the address of `--host`), `${state}` (a persistent folder),
`${scripts}` (the folder of the programs installed with this Python's packages), `${postgres}`, `${<name>.address}` and
`.port` of a process or component (of a process with one instance), `${<process>.url}` (its URL for browsers:
http://localhost:8080, and for a public one with `--host` the address on the network), `${registry.url}`,
`${traces.url}`, or a variable of the environment of `up`; `${x:-y}` is y where x is unset or empty. Those of an
external component are its address, those of a missing component are empty, and a `try` that needs one is left out.
`traces` is the query side: with a collector, the URL in `JAEGER_UI_URL`, or port 16686 on the collector's host.

This module has the values; `meshwright.local.topology.parsing` parses and validates the text.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HOST = "127.0.0.1"
"""Where everything listens that is not public."""

REGISTRY = "registry"
CONTROLPLANE = "controlplane"
TRACES = "traces"
COMPONENTS = (REGISTRY, CONTROLPLANE, TRACES)
"""The names of the mesh's own processes; reserved in a topology."""

DEFAULT_PORTS: Mapping[str, int] = {
    "registry": 8500,
    "xds": 18000,
    "controlplane": 18001,
    "traces": 16686,
    "otlp-grpc": 4317,
    "otlp-http": 4318,
}
"""The default ports of the mesh's components."""

MAX_REPLICAS = 100
"""The maximum number of instances of one process."""

AUTO = "auto"
DEV = "dev"
NONE = "none"


@dataclass(frozen=True, slots=True)
class MeshSpec:
    """The source of each component: `auto`, `dev`, `none`, or an address."""

    registry: str = AUTO
    controlplane: str = DEV
    traces: str = AUTO
    postgres: str = ""
    ports: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """What is to run: a process of the topology, one instance of it, or that instance with all values filled in.

    `numbered` makes the second of the first. `meshwright.local.planner.plan.resolve` makes the third of the second, for
    one start: command and environment without placeholders, and the ports that it gets.
    """

    name: str
    service: str
    module: str = ""
    """Exactly one of `module` and `command` is set."""
    command: tuple[str, ...] = ()
    folder: Path | None = None
    replicas: int = 1
    version: str = "0.0.0"
    port: int = 0
    """0: a free port for each instance."""
    ports: Mapping[str, int] = field(default_factory=dict)
    public: bool = False
    """Whether `--host` opens it to other machines."""
    environment: Mapping[str, str] = field(default_factory=dict)
    wait_for: tuple[str, ...] | None = None
    """None: the registry, if there is one."""
    ready: str = ""
    """Empty: `consul` with a registry, else `grpc`."""
    ready_timeout: float = 30.0
    stop_timeout: float = 15.0
    restart: bool = True
    number: int = 0
    """The instance's number, from 1; 0: the process of the topology."""
    variables: tuple[tuple[str, str], ...] = ()
    """Variables of this version only; those of the topology and of `up` itself have precedence."""
    host: str = HOST
    """The host at which `up` reaches it."""

    @property
    def instance(self) -> str:
        """`cart-1`; a component of the mesh has one instance, with its own name."""
        return self.name if self.name in COMPONENTS else f"{self.name}-{self.number}"

    @property
    def address(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def numbered(
        self, number: int, version: str | None = None, variables: tuple[tuple[str, str], ...] = ()
    ) -> ProcessSpec:
        """One instance. It may crash and be replaced; its number, and so its name, stay. `version`: if another."""
        return replace(self, number=number, version=self.version if version is None else version, variables=variables)


@dataclass(frozen=True, slots=True)
class Hint:
    """A suggestion printed when all is ready: a sentence and a command."""

    say: str
    run: str


@dataclass(frozen=True, slots=True)
class Topology:
    """The topology of a system."""

    name: str
    source: Path
    mesh: MeshSpec = field(default_factory=MeshSpec)
    environment: Mapping[str, str] = field(default_factory=dict)
    processes: tuple[ProcessSpec, ...] = ()
    hints: tuple[Hint, ...] = ()
