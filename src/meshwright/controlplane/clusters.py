"""Clusters: how calls to one target are balanced, limited, and kept away from instances that fail.

Both kinds of node get the same policy. Envoy also needs to be told that its upstreams speak HTTP/2, and that
the ejection rules which gRPC does not have are off, so that the two behave alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshwright.controlplane import balancing, xds
from meshwright.controlplane.snapshot import NodeKind

if TYPE_CHECKING:
    from meshwright.controlplane.balancing import LoadBalancer
    from meshwright.controlplane.chain import Upstream
    from meshwright.controlplane.policy import OutlierDetection, Policy

_UNLIMITED = 4_294_967_295


def cluster(upstream: Upstream, policy: Policy, kind: NodeKind) -> Any:
    """The cluster of one upstream; its endpoints are a resource of the same name."""
    message = xds.Cluster(
        name=upstream.id,
        type="EDS",
        eds_cluster_config=xds.Cluster.EdsClusterConfig(eds_config=xds.over_ads()),
        connect_timeout=xds.duration(upstream.connect_timeout_ms or 5_000),
    )
    _balance(message, balancing.chosen(policy, upstream.load_balancer, kind))
    _limit(message, policy.max_concurrent_requests, kind)
    if policy.outlier_detection:
        message.outlier_detection.CopyFrom(_outliers(policy.outlier_detection, kind))
    if kind is NodeKind.ENVOY:
        message.common_lb_config.healthy_panic_threshold.value = 0  # decision 0021
        options = xds.HttpProtocolOptions(
            explicit_http_config=xds.HttpProtocolOptions.ExplicitHttpConfig(
                http2_protocol_options=xds.Http2ProtocolOptions()
            )
        )
        message.typed_extension_protocol_options[xds.HTTP_OPTIONS].CopyFrom(xds.any_of(options))
    return message


def _balance(message: Any, load_balancer: LoadBalancer) -> None:
    message.lb_policy = load_balancer.policy.upper()
    if load_balancer.policy == "ring_hash":
        message.ring_hash_lb_config.minimum_ring_size.value = load_balancer.minimum_ring_size
        message.ring_hash_lb_config.maximum_ring_size.value = load_balancer.maximum_ring_size
        message.ring_hash_lb_config.hash_function = xds.Cluster.RingHashLbConfig.XX_HASH
    elif load_balancer.policy == "least_request":
        message.least_request_lb_config.choice_count.value = max(2, load_balancer.choices)


def _limit(message: Any, limit: int | None, kind: NodeKind) -> None:
    """Both kinds limit to 1024 concurrent requests when nothing is said; a default that nobody asked for."""
    thresholds = message.circuit_breakers.thresholds.add()
    thresholds.max_requests.value = limit or _UNLIMITED
    if kind is NodeKind.ENVOY:
        thresholds.max_pending_requests.value = limit or _UNLIMITED
        thresholds.max_connections.value = _UNLIMITED
        thresholds.max_retries.value = _UNLIMITED


def _outliers(outliers: OutlierDetection, kind: NodeKind) -> Any:
    message = xds.OutlierDetection(
        interval=xds.duration(outliers.interval_ms),
        base_ejection_time=xds.duration(outliers.base_ejection_time_ms),
        max_ejection_time=xds.duration(outliers.maximum_ejection_time_ms),
    )
    message.max_ejection_percent.value = outliers.maximum_ejection_percent
    message.failure_percentage_threshold.value = outliers.failure_percentage
    message.enforcing_failure_percentage.value = 100
    message.failure_percentage_minimum_hosts.value = outliers.minimum_hosts
    message.failure_percentage_request_volume.value = outliers.request_volume
    message.enforcing_success_rate.value = 0
    if kind is NodeKind.ENVOY:
        message.enforcing_consecutive_5xx.value = 0
        message.enforcing_consecutive_gateway_failure.value = 0
    return message
