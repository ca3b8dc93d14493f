"""Which resources a resource refers to: what a client asks for next. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshwright.controlplane.model.snapshot import ResourceType
from meshwright.messages.xds import (
    Cluster,
    ClusterConfig,
    ClusterLoadAssignment,
    HttpConnectionManager,
    Listener,
    RouteConfiguration,
)

if TYPE_CHECKING:
    from meshwright.messages.xds import AnyMessage

References = dict[ResourceType, frozenset[str]]


def name_of(kind: ResourceType, packed: AnyMessage) -> str:
    """The name under which a packed resource is subscribed to."""
    match kind:
        case ResourceType.LISTENER:
            name = Listener.FromString(packed.value).name
        case ResourceType.ROUTE:
            name = RouteConfiguration.FromString(packed.value).name
        case ResourceType.CLUSTER:
            name = Cluster.FromString(packed.value).name
        case ResourceType.ENDPOINTS:
            name = ClusterLoadAssignment.FromString(packed.value).cluster_name
    return str(name)


def referenced(kind: ResourceType, packed: AnyMessage) -> References:
    """What a packed resource refers to, by type."""
    match kind:
        case ResourceType.LISTENER:
            return _of_listener(Listener.FromString(packed.value))
        case ResourceType.ROUTE:
            return {ResourceType.CLUSTER: _clusters(RouteConfiguration.FromString(packed.value))}
        case ResourceType.CLUSTER:
            return _of_cluster(Cluster.FromString(packed.value))
        case ResourceType.ENDPOINTS:
            return {}


def _of_listener(listener: Any) -> References:
    manager = HttpConnectionManager.FromString(listener.api_listener.api_listener.value)
    if manager.HasField("rds"):
        return {ResourceType.ROUTE: frozenset({manager.rds.route_config_name})}
    return {ResourceType.CLUSTER: _clusters(manager.route_config)}


def _clusters(table: Any) -> frozenset[str]:
    actions = [route.route for host in table.virtual_hosts for route in host.routes if route.HasField("route")]
    plain = {action.cluster for action in actions if action.cluster}
    return frozenset(plain.union(*({item.name for item in action.weighted_clusters.clusters} for action in actions)))


def _of_cluster(cluster: Any) -> References:
    if cluster.HasField("cluster_type"):
        children = ClusterConfig.FromString(cluster.cluster_type.typed_config.value).clusters
        return {ResourceType.CLUSTER: frozenset(children)}
    return {ResourceType.ENDPOINTS: frozenset({cluster.eds_cluster_config.service_name or cluster.name})}
