"""The rows of the catalog and how Consul writes them in JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

PASSING = "passing"
WARNING = "warning"
CRITICAL = "critical"
STATUSES = (PASSING, WARNING, CRITICAL)


@dataclass(frozen=True, slots=True)
class Node:
    """A machine, or what stands for one."""

    name: str
    address: str
    datacenter: str
    id: str = ""
    tagged_addresses: Mapping[str, str] | None = None
    meta: Mapping[str, str] | None = None
    create_index: int = 0
    modify_index: int = 0

    def json(self) -> dict[str, Any]:
        """As `/v1/catalog/nodes` shows it."""
        return {
            "ID": self.id,
            "Node": self.name,
            "Address": self.address,
            "Datacenter": self.datacenter,
            "TaggedAddresses": self.tagged_addresses,
            "Meta": self.meta,
            "CreateIndex": self.create_index,
            "ModifyIndex": self.modify_index,
        }


@dataclass(frozen=True, slots=True)
class Service:
    """An instance of a service, on a node."""

    node: str
    id: str
    name: str
    tags: tuple[str, ...] = ()
    address: str = ""
    tagged_addresses: Mapping[str, Any] | None = None
    meta: Mapping[str, str] | None = None
    port: int = 0
    weights: tuple[int, int] = (1, 1)
    enable_tag_override: bool = False
    native: bool = False
    create_index: int = 0
    modify_index: int = 0

    def json(self) -> dict[str, Any]:
        """As the object `Service` of `/v1/health/service` shows it."""
        tagged = {"TaggedAddresses": self.tagged_addresses} if self.tagged_addresses else {}
        return {
            "ID": self.id,
            "Service": self.name,
            "Tags": list(self.tags),
            "Address": self.address,
            **tagged,
            "Meta": self.meta or None,
            "Port": self.port,
            "Weights": self.weights_json(),
            "EnableTagOverride": self.enable_tag_override,
            "Proxy": {"MeshGateway": {}, "Expose": {}},
            "Connect": {"Native": True} if self.native else {},
            "CreateIndex": self.create_index,
            "ModifyIndex": self.modify_index,
        }

    def agent_json(self) -> dict[str, Any]:
        """As `/v1/agent/services` shows it."""
        tagged = {"TaggedAddresses": self.tagged_addresses} if self.tagged_addresses else {}
        return {
            "ID": self.id,
            "Service": self.name,
            "Tags": list(self.tags),
            "Meta": dict(self.meta or {}),
            "Port": self.port,
            "Address": self.address,
            **tagged,
            "Weights": self.weights_json(),
            "EnableTagOverride": self.enable_tag_override,
            **({"Connect": {"Native": True}} if self.native else {}),
        }

    def weights_json(self) -> dict[str, int]:
        """DNS weights, which the mesh reads as weights of endpoints."""
        return {"Passing": self.weights[0], "Warning": self.weights[1]}

    def catalog_json(self, node: Node) -> dict[str, Any]:
        """As `/v1/catalog/service` shows it: node and service in one flat object."""
        tagged = {"ServiceTaggedAddresses": self.tagged_addresses} if self.tagged_addresses else {}
        return {
            "ID": node.id,
            "Node": node.name,
            "Address": node.address,
            "Datacenter": node.datacenter,
            "TaggedAddresses": node.tagged_addresses,
            "NodeMeta": node.meta,
            "ServiceKind": "",
            "ServiceID": self.id,
            "ServiceName": self.name,
            "ServiceTags": list(self.tags),
            "ServiceAddress": self.address,
            **tagged,
            "ServiceWeights": self.weights_json(),
            "ServiceMeta": dict(self.meta or {}),
            "ServicePort": self.port,
            "ServiceEnableTagOverride": self.enable_tag_override,
            "ServiceProxy": {"MeshGateway": {}, "Expose": {}},
            "ServiceConnect": {"Native": True} if self.native else {},
            "CreateIndex": self.create_index,
            "ModifyIndex": self.modify_index,
        }


@dataclass(frozen=True, slots=True)
class Check:
    """The state of one health check of a node, or of a service on it."""

    node: str
    id: str
    name: str
    status: str = CRITICAL
    notes: str = ""
    output: str = ""
    service_id: str = ""
    service_name: str = ""
    service_tags: tuple[str, ...] = ()
    type: str = ""
    definition: Mapping[str, Any] = field(default_factory=dict)
    create_index: int = 0
    modify_index: int = 0

    def json(self) -> dict[str, Any]:
        """As every endpoint but `/v1/agent/health` shows it."""
        return {
            "Node": self.node,
            "CheckID": self.id,
            "Name": self.name,
            "Status": self.status,
            "Notes": self.notes,
            "Output": self.output,
            "ServiceID": self.service_id,
            "ServiceName": self.service_name,
            "ServiceTags": list(self.service_tags),
            "Type": self.type,
            "Definition": dict(self.definition),
            "CreateIndex": self.create_index,
            "ModifyIndex": self.modify_index,
        }
