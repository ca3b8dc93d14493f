"""Small snapshots and a conversation with the ADS state machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from meshwright.controlplane.metrics import RequestKind
from meshwright.controlplane.model.resource_table import ResourceTable, digest
from meshwright.controlplane.model.snapshot import NodeKind, NodeProfile, Resource, ResourceType, Snapshot
from meshwright.controlplane.xds.codec import Request
from meshwright.controlplane.xds.nodes import NodeInfo
from meshwright.messages.xds import (
    Cluster,
    ClusterLoadAssignment,
    DiscoveryRequest,
    DiscoveryResponse,
    Node,
    RouteConfiguration,
    any_of,
)

if TYPE_CHECKING:
    from meshwright.controlplane.xds.snapshot_cache import SnapshotCache
    from meshwright.controlplane.xds.stream import Stream


LISTENER, ROUTE, CLUSTER, ENDPOINTS = (
    ResourceType.LISTENER,
    ResourceType.ROUTE,
    ResourceType.CLUSTER,
    ResourceType.ENDPOINTS,
)
Contents = Mapping[ResourceType, Mapping[str, str]]


def resource(kind: ResourceType, name: str, content: str) -> Resource:
    """A resource of some content; that it is no real listener does not matter to the protocol."""
    message = {
        ROUTE: RouteConfiguration(name=name, vhds=None),
        CLUSTER: Cluster(name=name, alt_stat_name=content),
        ENDPOINTS: ClusterLoadAssignment(cluster_name=name),
    }.get(kind, Cluster(name=name, alt_stat_name=content))
    body = any_of(message).SerializeToString()
    return Resource(kind, name, digest(content.encode()), body)


class Mesh:
    """Builds snapshots that share what did not change, as a `Translator` does."""

    def __init__(self) -> None:
        self._made: dict[tuple[ResourceType, str, str], Resource] = {}
        self._tables: dict[ResourceType, ResourceTable] = {}

    def snapshot(self, contents: Contents) -> Snapshot:
        view = {kind: self._table(kind, contents.get(kind, {})) for kind in ResourceType}
        version = digest(repr(sorted((k, sorted(v.items())) for k, v in contents.items())).encode())
        return Snapshot(version, (), lambda _: view)

    def _table(self, kind: ResourceType, names: Mapping[str, str]) -> ResourceTable:
        made = {
            name: self._made.setdefault((kind, name, content), resource(kind, name, content))
            for name, content in names.items()
        }
        if kind not in self._tables or dict(self._tables[kind]) != made:
            self._tables[kind] = ResourceTable(made)
        return self._tables[kind]


class Talk:
    """One stream, as its client sees it."""

    def __init__(self, hub: SnapshotCache, kind: NodeKind = NodeKind.GRPC, skew: int = 0) -> None:
        self.cache = hub
        node_profile = NodeProfile(kind, timeout_skew_ms=skew)
        self.stream: Stream = hub.open(NodeInfo("node-1", "cluster", "test", node_profile), 0.0)

    def ask(
        self,
        kind: ResourceType,
        names: Iterable[str],
        nonce: str = "",
        version: str = "",
        error: str | None = None,
    ) -> RequestKind:
        return self.cache.receive(self.stream, Request(kind, frozenset(names), nonce, version, error), 1.0)

    def hear(self) -> list[DiscoveryResponse]:
        """All that there is to be sent now."""
        responses = []
        while (response := self.cache.next(self.stream)) is not None:
            responses.append(DiscoveryResponse.FromString(response.data))
        return responses

    def one(self) -> DiscoveryResponse:
        responses = self.hear()
        assert len(responses) == 1, responses
        return responses[0]

    def asked_and_acked(self, kind: ResourceType, names: Iterable[str]) -> DiscoveryResponse:
        """Subscribe, take the answer, acknowledge it."""
        names = list(names)
        self.ask(kind, names)
        answer = self.one()
        assert self.ask(kind, names, answer.nonce, answer.version_info) is RequestKind.ACK
        assert self.hear() == []
        return answer


def names_in(response: DiscoveryResponse) -> list[str]:
    """The names of the resources in a response."""
    kinds = {"Cluster": Cluster, "RouteConfiguration": RouteConfiguration, "Listener": Cluster}
    found = []
    for packed in response.resources:
        message = kinds.get(packed.type_url.rpartition(".")[2])
        found.append(
            message.FromString(packed.value).name
            if message
            else ClusterLoadAssignment.FromString(packed.value).cluster_name
        )
    return found


def kinds_in(responses: Iterable[DiscoveryResponse]) -> list[ResourceType]:
    return [ResourceType(response.type_url) for response in responses]


def raw(kind: str, names: Iterable[str] = (), *, node: str | None = None, **metadata: object) -> bytes:
    """An encoded request."""
    request = DiscoveryRequest(type_url=kind, resource_names=names)
    if node is not None:
        request.node.CopyFrom(Node(id=node, user_agent_name="test"))
        request.node.metadata.update(metadata)
    return request.SerializeToString()
