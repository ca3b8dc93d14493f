"""The dev Consul: Consul's HTTP API in one process, for laptops and tests.

It speaks as far as the mesh, py-consul and curl users need it, and holds everything in memory: agent and catalog,
health checks that really run, blocking queries, keys and sessions, config entries and the discovery chains compiled
from them. A conformance suite (tests/conformance) holds it to the real Consul; where they differ this one is wrong.

Underneath is a pure core that knows neither sockets nor clocks: `catalog` (one index, topics, wake-ups; nodes,
services, the agent), `kv`, `config_entries` and the chains compiled from them, `filters`. `state` wires it together.
`api` and `query` speak HTTP, `health_checks` runs the checks, `server` is the process.
"""

from meshwright import optional_imports

with optional_imports.explaining("the dev Consul", "standard"):
    from meshwright.dev.consul.server import RegistryConfig, run, serving

__all__ = ["RegistryConfig", "run", "serving"]
