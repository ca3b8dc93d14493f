"""What the control plane publishes: immutable, checked, versioned by content.

A snapshot is the answer to one catalog. Nodes do not all see the same: gRPC clients get API listeners and
timeouts corrected by their own skew, Envoy gets one ingress listener over everything, and endpoints may be ordered by
their nearness. What a node's view
depends on is its `NodeProfile`; nodes with equal profiles share one view, and views share every resource in
which they do not differ, as the same object, so that a sender of resources can encode each one once.
Versions are hashes of the content: equal on every replica, unchanged where nothing changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

from meshwright.controlplane.model.localities import NOWHERE, Place
from meshwright.controlplane.model.resource_table import ResourceTable, digest
from meshwright.messages.xds import AnyMessage
from meshwright.model import Address

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from google.protobuf.message import Message

    from meshwright.errors import Violation

    View: TypeAlias = Mapping["ResourceType", ResourceTable]


_MOST_VIEWS = 1024
"""Profiles of which a snapshot keeps the view. They are the nodes' choice, and nodes come and go."""


class ResourceType(StrEnum):
    """The four resource types of the mesh; the values are their type URLs."""

    LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"
    ROUTE = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
    CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
    ENDPOINTS = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"


@dataclass(frozen=True, slots=True)
class Resource:
    """One xDS resource, ready to send."""

    type: ResourceType
    name: str
    version: str
    """A hash of the content, equal across replicas."""
    body: bytes
    """A serialised `google.protobuf.Any`."""


class NodeKind(Enum):
    """Who asks: gRPC's own client, or an Envoy."""

    GRPC = "grpc"
    ENVOY = "envoy"


@dataclass(frozen=True, slots=True)
class NodeProfile:
    """What a node's view of the snapshot depends on."""

    kind: NodeKind
    timeout_skew_ms: int = 0
    """By how many milliseconds the node's gRPC fires route timeouts early; always 0 for Envoy."""
    ingress: Address = Address("127.0.0.1", 10000)
    """Where an Envoy listens; meaningless for gRPC."""
    caller: str = ""
    """The service that calls: what the node names as its cluster. It may have limits of its own."""
    place: Place = NOWHERE
    """Where the node is. It matters for services whose instances are used by their nearness."""
    hosts_unknown: bool = False
    """Whether an unknown name is answered with an empty virtual host, which Node's client needs."""


def pack(kind: ResourceType, name: str, message: Message) -> Resource:
    """Serialise a message deterministically and version it by its content."""
    value = message.SerializeToString(deterministic=True)
    body = AnyMessage(type_url=kind.value, value=value).SerializeToString(deterministic=True)
    return Resource(kind, name, digest(body), body)


def unpack(resource: Resource, message: Any) -> Any:
    """Read a resource back into `message`, which must be of its type. For debug pages and tests."""
    message.ParseFromString(AnyMessage.FromString(resource.body).value)
    return message


class Snapshot:
    """The published state. `problems` name what could not be honoured: `where` is the service, `what` a sentence."""

    def __init__(
        self,
        version: str,
        problems: tuple[Violation, ...],
        views: Callable[[NodeProfile], View],
    ) -> None:
        self.version = version
        self.problems = problems
        self._views = views
        self._cache: dict[NodeProfile, View] = {}

    def view(self, node_profile: NodeProfile) -> View:
        """All resources as a node sees them; for the same node_profile the same object, as long as they are few."""
        view = self._cache.get(node_profile)
        if view is None:
            if len(self._cache) >= _MOST_VIEWS:
                self._cache.clear()
            view = self._cache[node_profile] = self._views(node_profile)
        return view
