"""Clusters: how calls to one target are balanced, limited, and kept away from instances that fail.

Both kinds of node get the same policy. Envoy also needs to be told that its upstreams speak HTTP/2, and that
the ejection rules which gRPC does not have are off, so that the two behave alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshwright.controlplane.model.snapshot import NodeKind
from meshwright.controlplane.model.upstream_config import UpstreamRule
from meshwright.controlplane.translation import balancing
from meshwright.messages import xds

if TYPE_CHECKING:
    from meshwright.controlplane.model.policy import OutlierDetection, Policy
    from meshwright.controlplane.model.upstream_config import PassiveHealthCheck
    from meshwright.controlplane.translation.balancing import LoadBalancer
    from meshwright.controlplane.translation.chain import Upstream

NO_RULE = UpstreamRule()

_UNLIMITED = 4_294_967_295
_ALL_FAILED = 99
"""Per cent: gRPC ejects above it, and nothing is above 100 (gRFC A50)."""
_MAX_EJECTION_MS = 300_000
"""Envoy's and gRPC's own default."""


def cluster(upstream: Upstream, policy: Policy, kind: NodeKind, rule: UpstreamRule = NO_RULE) -> Any:
    """The cluster of one upstream, as a caller with that rule needs it; its endpoints are a resource of its name."""
    message = xds.Cluster(
        name=upstream.id,
        type="EDS",
        eds_cluster_config=xds.Cluster.EdsClusterConfig(eds_config=xds.over_ads()),
        connect_timeout=xds.duration(upstream.connect_timeout_ms or 5_000),
    )
    _balance(message, balancing.chosen(policy, upstream.load_balancer, kind))
    _limit(message, policy.max_concurrent_requests, kind, rule)
    if policy.outlier_detection:
        message.outlier_detection.CopyFrom(_outliers(policy.outlier_detection, kind))
    elif rule.passive:
        message.outlier_detection.CopyFrom(_passive(rule.passive, kind))
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


def _limit(message: Any, limit: int | None, kind: NodeKind, rule: UpstreamRule) -> None:
    """Both kinds limit to 1024 concurrent requests when nothing is said; a default that no config entry asks for."""
    thresholds = message.circuit_breakers.thresholds.add()
    thresholds.max_requests.value = limit or rule.concurrent_requests or _UNLIMITED
    if kind is NodeKind.ENVOY:
        thresholds.max_pending_requests.value = limit or rule.pending_requests or _UNLIMITED
        thresholds.max_connections.value = rule.connections or _UNLIMITED
        thresholds.max_retries.value = _UNLIMITED


def _passive(check: PassiveHealthCheck, kind: NodeKind) -> Any:
    """Failures in a row: as written for an Envoy; for gRPC an interval in which all calls failed, and as many."""
    message = xds.OutlierDetection(
        interval=xds.duration(check.interval_ms),
        base_ejection_time=xds.duration(check.base_ejection_time_ms),
        max_ejection_time=xds.duration(max(check.base_ejection_time_ms, _MAX_EJECTION_MS)),
    )
    message.max_ejection_percent.value = check.maximum_ejection_percent
    message.enforcing_success_rate.value = 0
    if kind is NodeKind.ENVOY:
        message.consecutive_5xx.value = check.maximum_failures
        message.enforcing_consecutive_5xx.value = check.enforcing
        return message
    message.failure_percentage_threshold.value = _ALL_FAILED
    message.enforcing_failure_percentage.value = check.enforcing
    message.failure_percentage_minimum_hosts.value = 1
    message.failure_percentage_request_volume.value = check.maximum_failures
    return message


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
