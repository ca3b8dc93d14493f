"""The messages of xDS version 3 that Meshwright speaks, and those of protobuf's own types that are used in them.

A message of another pool is of another class even where it has the same name, so `Any`, `Duration` and `Struct` inside
xDS messages are those of this module (`AnyMessage`, `Duration`, `Struct`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.json_format import MessageToDict

from meshwright import messages

if TYPE_CHECKING:
    from google.protobuf import any_pb2, duration_pb2, struct_pb2
    from google.protobuf.message import Message

_POOL = messages.load("xds")


def _class(name: str) -> Any:
    return messages.message(_POOL, name)


if TYPE_CHECKING:
    AnyMessage = any_pb2.Any
    Duration = duration_pb2.Duration
    Struct = struct_pb2.Struct
else:
    AnyMessage = _class("google.protobuf.Any")
    Duration = _class("google.protobuf.Duration")
    Struct = _class("google.protobuf.Struct")

DiscoveryRequest = _class("envoy.service.discovery.v3.DiscoveryRequest")
DiscoveryResponse = _class("envoy.service.discovery.v3.DiscoveryResponse")
Node = _class("envoy.config.core.v3.Node")
Listener = _class("envoy.config.listener.v3.Listener")
ApiListener = _class("envoy.config.listener.v3.ApiListener")
FilterChain = _class("envoy.config.listener.v3.FilterChain")
Filter = _class("envoy.config.listener.v3.Filter")
HttpConnectionManager = _class("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager")
HttpFilter = _class("envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter")
Rds = _class("envoy.extensions.filters.network.http_connection_manager.v3.Rds")
Router = _class("envoy.extensions.filters.http.router.v3.Router")
RouteConfiguration = _class("envoy.config.route.v3.RouteConfiguration")
VirtualHost = _class("envoy.config.route.v3.VirtualHost")
Route = _class("envoy.config.route.v3.Route")
RouteMatch = _class("envoy.config.route.v3.RouteMatch")
RouteAction = _class("envoy.config.route.v3.RouteAction")
RetryPolicy = _class("envoy.config.route.v3.RetryPolicy")
PreviousHostsPredicate = _class("envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate")
HeaderMatcher = _class("envoy.config.route.v3.HeaderMatcher")
QueryParameterMatcher = _class("envoy.config.route.v3.QueryParameterMatcher")
StringMatcher = _class("envoy.type.matcher.v3.StringMatcher")
RegexMatcher = _class("envoy.type.matcher.v3.RegexMatcher")
Cluster = _class("envoy.config.cluster.v3.Cluster")
OutlierDetection = _class("envoy.config.cluster.v3.OutlierDetection")
HttpProtocolOptions = _class("envoy.extensions.upstreams.http.v3.HttpProtocolOptions")
Http2ProtocolOptions = _class("envoy.config.core.v3.Http2ProtocolOptions")
ClusterLoadAssignment = _class("envoy.config.endpoint.v3.ClusterLoadAssignment")
Endpoint = _class("envoy.config.endpoint.v3.Endpoint")
Locality = _class("envoy.config.core.v3.Locality")
SocketAddress = _class("envoy.config.core.v3.SocketAddress")
XdsAddress = _class("envoy.config.core.v3.Address")
ConfigSource = _class("envoy.config.core.v3.ConfigSource")
HTTPFault = _class("envoy.extensions.filters.http.fault.v3.HTTPFault")
FractionalPercent = _class("envoy.type.v3.FractionalPercent")
ClusterConfig = _class("envoy.extensions.clusters.aggregate.v3.ClusterConfig")
"""Of an aggregate cluster."""

FAULT_FILTER = "envoy.filters.http.fault"
ROUTER_FILTER = "envoy.filters.http.router"
PREVIOUS_HOSTS = "envoy.retry_host_predicates.previous_hosts"
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def any_of(message: Message) -> AnyMessage:
    """The message inside an `Any`, serialised deterministically."""
    packed = AnyMessage()
    packed.Pack(message, deterministic=True)
    return packed


def to_json(message: Message) -> dict[str, Any]:
    """The message in protobuf's JSON mapping, by the proto files' field names; packed messages with their content.

    Raises TypeError or ValueError for a packed message of a type that is not here, or that is not of its type.
    """
    found: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True, descriptor_pool=_POOL)
    return found


def over_ads() -> Any:
    """The source of a resource that comes over the same stream."""
    return ConfigSource(ads={}, resource_api_version="V3")


def duration(milliseconds: float) -> Duration:
    """A protobuf duration."""
    nanoseconds = round(milliseconds * 1_000_000)
    return Duration(seconds=nanoseconds // 1_000_000_000, nanos=nanoseconds % 1_000_000_000)


def address(host: str, port: int) -> Any:
    """A TCP address."""
    return XdsAddress(socket_address=SocketAddress(address=host, port_value=port))
