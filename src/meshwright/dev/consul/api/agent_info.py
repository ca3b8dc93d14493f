"""What the registry says about itself: `/v1/agent/self`, members, the page at `/`."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

from meshwright import durations
from meshwright.dev.consul.state import VERSION

if TYPE_CHECKING:
    from meshwright.dev.consul.state import State


def agent_self(state: State) -> dict[str, Any]:
    """The parts of Consul's answer that clients read."""
    who = state.identity
    return {
        "Config": {
            "Datacenter": who.datacenter,
            "NodeName": who.node,
            "NodeID": who.node_id,
            "Revision": "",
            "Server": True,
            "Version": VERSION,
        },
        "DebugConfig": {
            "Datacenter": who.datacenter,
            "NodeName": who.node,
            "NodeID": who.node_id,
            "HTTPPort": who.port,
            "HTTPAddrs": [f"tcp://{state.server_address}"],
            "BindAddr": who.host,
            "ServerMode": True,
            "Version": VERSION,
            "CheckDeregisterIntervalMin": durations.of_seconds(state.min_deregister),
        },
        "Coord": {"Vec": [0] * 8, "Error": 1.5, "Adjustment": 0, "Height": 0.00001},
        "Member": members(state)[0],
        "Stats": {
            "agent": {
                "check_monitors": "0",
                "check_ttls": str(sum(bool(item.spec and item.spec.ttl) for item in state.agent.checks.values())),
                "checks": str(len(state.agent.checks)),
                "services": str(len(state.agent.services)),
            },
            "build": {"prerelease": "meshwright-registry", "revision": "", "version": VERSION},
            "consul": {
                "bootstrap": "true",
                "known_datacenters": "1",
                "leader": "true",
                "leader_addr": state.server_address,
                "server": "true",
            },
            "raft": {"applied_index": str(state.store.index), "state": "Leader"},
            "runtime": {"arch": platform.machine(), "os": platform.system().lower()},
        },
        "Meta": {"consul-network-segment": ""},
    }


def members(state: State) -> list[dict[str, Any]]:
    """The one member."""
    who = state.identity
    tags = {
        "acls": "0",
        "build": f"{VERSION}:",
        "dc": who.datacenter,
        "id": who.node_id,
        "port": str(who.port),
        "role": "consul",
        "segment": "",
        "vsn": "2",
    }
    versions = {
        "ProtocolMin": 1,
        "ProtocolMax": 5,
        "ProtocolCur": 2,
        "DelegateMin": 2,
        "DelegateMax": 5,
        "DelegateCur": 4,
    }
    return [{"Name": who.node, "Addr": who.host, "Port": who.port, "Tags": tags, "Status": 1, **versions}]


PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Meshwright dev Consul</title>
<body style="font-family: sans-serif; max-width: 40em; margin: 2em auto">
<h1>Meshwright dev Consul</h1>
<p>This speaks Consul's HTTP API for a laptop. It holds everything in memory and has no user interface.</p>
<ul>
<li><a href="/v1/catalog/services?pretty">/v1/catalog/services</a></li>
<li><a href="/v1/agent/services?pretty">/v1/agent/services</a></li>
<li><a href="/v1/health/state/any?pretty">/v1/health/state/any</a></li>
<li><a href="/v1/kv/?recurse&amp;pretty">/v1/kv/?recurse</a></li>
<li><a href="/v1/config/service-splitter?pretty">/v1/config/service-splitter</a></li>
</ul></body></html>
"""
