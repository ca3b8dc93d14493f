"""The messages of xDS version 3 that Meshwright speaks: the one door to the generated package `envoy`.

The generated modules carry no types, so everything here is `Any` to the type checker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from envoy.config.cluster.v3 import circuit_breaker_pb2, cluster_pb2, outlier_detection_pb2
from envoy.config.core.v3 import address_pb2, base_pb2, config_source_pb2, protocol_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from envoy.config.listener.v3 import api_listener_pb2, listener_components_pb2, listener_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.filters.common.fault.v3 import fault_pb2 as delay_pb2
from envoy.extensions.filters.http.fault.v3 import fault_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from envoy.type.matcher.v3 import regex_pb2, string_pb2
from envoy.type.v3 import percent_pb2
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration

if TYPE_CHECKING:
    from google.protobuf.message import Message

Listener: Any = listener_pb2.Listener
ApiListener: Any = api_listener_pb2.ApiListener
FilterChain: Any = listener_components_pb2.FilterChain
Filter: Any = listener_components_pb2.Filter
HttpConnectionManager: Any = http_connection_manager_pb2.HttpConnectionManager
HttpFilter: Any = http_connection_manager_pb2.HttpFilter
Rds: Any = http_connection_manager_pb2.Rds
Router: Any = router_pb2.Router
RouteConfiguration: Any = route_pb2.RouteConfiguration
VirtualHost: Any = route_components_pb2.VirtualHost
Route: Any = route_components_pb2.Route
RouteMatch: Any = route_components_pb2.RouteMatch
RouteAction: Any = route_components_pb2.RouteAction
WeightedCluster: Any = route_components_pb2.WeightedCluster
RetryPolicy: Any = route_components_pb2.RetryPolicy
PreviousHostsPredicate: Any = previous_hosts_pb2.PreviousHostsPredicate
HeaderMatcher: Any = route_components_pb2.HeaderMatcher
QueryParameterMatcher: Any = route_components_pb2.QueryParameterMatcher
StringMatcher: Any = string_pb2.StringMatcher
RegexMatcher: Any = regex_pb2.RegexMatcher
Cluster: Any = cluster_pb2.Cluster
CircuitBreakers: Any = circuit_breaker_pb2.CircuitBreakers
OutlierDetection: Any = outlier_detection_pb2.OutlierDetection
HttpProtocolOptions: Any = http_protocol_options_pb2.HttpProtocolOptions
Http2ProtocolOptions: Any = protocol_pb2.Http2ProtocolOptions
ClusterLoadAssignment: Any = endpoint_pb2.ClusterLoadAssignment
LocalityLbEndpoints: Any = endpoint_components_pb2.LocalityLbEndpoints
LbEndpoint: Any = endpoint_components_pb2.LbEndpoint
Endpoint: Any = endpoint_components_pb2.Endpoint
Locality: Any = base_pb2.Locality
SocketAddress: Any = address_pb2.SocketAddress
XdsAddress: Any = address_pb2.Address
ConfigSource: Any = config_source_pb2.ConfigSource
HTTPFault: Any = fault_pb2.HTTPFault
FaultAbort: Any = fault_pb2.FaultAbort
FaultDelay: Any = delay_pb2.FaultDelay
FractionalPercent: Any = percent_pb2.FractionalPercent

FAULT_FILTER = "envoy.filters.http.fault"
ROUTER_FILTER = "envoy.filters.http.router"
PREVIOUS_HOSTS = "envoy.retry_host_predicates.previous_hosts"
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def any_of(message: Message) -> AnyMessage:
    """The message inside an `Any`, serialised deterministically."""
    packed = AnyMessage()
    packed.Pack(message, deterministic=True)
    return packed


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
