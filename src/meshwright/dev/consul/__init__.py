"""The dev registry: Consul's HTTP API in one process, for laptops and tests.

It speaks as far as the mesh, py-consul and curl users need it, and holds everything in memory: agent and catalog,
health checks that really run, blocking queries, keys and sessions, config entries and the discovery chains compiled
from them. A conformance suite (tests/conformance) holds it to the real Consul; where they differ this one is wrong.

Underneath is a pure core: `store` (one index, topics, wake-ups), `catalog`, `agent`, `kv`, `entries`, `graph` and
`chains` know neither sockets nor clocks. `routes_*` and `query` speak HTTP, `runner` and `probes` run the checks,
`server` puts them together.
"""

from meshwright.dev.consul.server import RegistryConfig, run, serving

__all__ = ["RegistryConfig", "run", "serving"]
