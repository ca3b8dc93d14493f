"""Everything that one registry holds, wired together."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshwright.dev.consul.catalog.agent import Agent
from meshwright.dev.consul.catalog.catalog import Catalog
from meshwright.dev.consul.catalog.models import PASSING, Check, Node, Service
from meshwright.dev.consul.catalog.store import Store
from meshwright.dev.consul.config_entries.graph import ConfigEntries
from meshwright.dev.consul.kv import KeyValues
from meshwright.dev.consul.query import Waiting

if TYPE_CHECKING:
    from meshwright.dev.consul.catalog.agent import Runner

VERSION = "1.8.7"
"""The version of Consul that this registry speaks like."""


@dataclass(frozen=True)
class Identity:
    """Who this registry says it is."""

    node: str
    datacenter: str
    host: str
    port: int
    node_id: str
    trust_domain: str


class State:
    """The store and all that lives on it."""

    def __init__(self, identity: Identity, runner: Runner, *, min_deregister: float) -> None:
        """`min_deregister`: the least seconds after which a critical instance is deregistered."""
        self.identity = identity
        self.node, self.datacenter = identity.node, identity.datacenter
        self.min_deregister = min_deregister
        self.store = Store()
        self.catalog = Catalog(self.store)
        self.agent = Agent(self.catalog, identity.node, runner)
        self.kv = KeyValues(self.store, self.catalog)
        self.entries = ConfigEntries(self.store, identity.datacenter)
        self.waiting = Waiting(self.store)
        self._introduce()

    @property
    def server_address(self) -> str:
        """What the status endpoints name as leader."""
        return f"{self.identity.host}:{self.identity.port}"

    def _introduce(self) -> None:
        """The registry's own node, service and check: Consul lists itself."""
        who = self.identity
        addresses = dict.fromkeys(("lan", "lan_ipv4", "wan", "wan_ipv4"), who.host)
        self.store.next()
        self.catalog.put_node(
            Node(who.node, who.host, who.datacenter, who.node_id, addresses, {"consul-network-segment": ""})
        )
        meta = {
            "non_voter": "false",
            "raft_version": "3",
            "serf_protocol_current": "2",
            "serf_protocol_max": "5",
            "serf_protocol_min": "1",
            "version": VERSION,
        }
        self.catalog.put_service(Service(who.node, "consul", "consul", meta=meta, port=who.port))
        self.catalog.put_check(
            Check(who.node, "serfHealth", "Serf Health Status", PASSING, output="Agent alive and reachable")
        )


def new_identity(node: str, datacenter: str, host: str, port: int) -> Identity:
    """An identity with a fresh node id and trust domain."""
    return Identity(node, datacenter, host, port, str(uuid.uuid4()), f"{uuid.uuid4()}.consul")
