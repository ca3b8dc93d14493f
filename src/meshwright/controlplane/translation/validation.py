"""The last look before publishing: does every reference resolve, and will gRPC honour every field?

gRPC refuses some resources (a NACK, after which the client stays on its old configuration) and silently ignores
much of the rest. Both are worse than not publishing, so each message is held against the rules that gRPC's own
parser applies (src/core/xds/grpc in its source; gRFCs A27, A28, A42, A44, A50, A74). The functions return what is
wrong, in words; an empty list means the resource may go out. They look at messages, not at how these were
made, so that they also catch a mistake of the translation's own.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from meshwright.controlplane.model import expressions
from meshwright.controlplane.model.policy import RETRYABLE
from meshwright.messages import xds

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

_MAX_UINT32 = 4_294_967_295
_MAX_RING = 8_388_608


def routes(table: Iterable[Any], clusters: Collection[str]) -> list[str]:
    """What is wrong with gRPC routes that may name these clusters."""
    return [f"route {number}: {what}" for number, route in enumerate(table) for what in _route(route, clusters)]


def expressions_of(table: Iterable[Any]) -> list[str]:
    """What is wrong with the regular expressions of an Envoy's routes, those that gRPC's table leaves out included: an
    Envoy would refuse the table of all services over one of them."""
    found = []
    for number, route in enumerate(table):
        matchers = [header.string_match for header in route.match.headers]
        matchers += [query.string_match for query in route.match.query_parameters]
        patterns = [route.match.safe_regex.regex, *(matcher.safe_regex.regex for matcher in matchers)]
        found += [f"route {number}: {wrong}" for wrong in map(expressions.problem, patterns) if wrong]
    return found


def cluster(message: Any) -> list[str]:
    """What is wrong with a cluster."""
    return list(_cluster(message))


def assignment(message: Any) -> list[str]:
    """What is wrong with an endpoint assignment."""
    return list(_assignment(message))


def _route(route: Any, clusters: Collection[str]) -> Iterator[str]:
    yield from _match(route.match)
    if route.WhichOneof("action") != "route":
        yield "has no action"
        return
    yield from _references(route.route, clusters)
    for policy in route.route.hash_policy:
        if not policy.header.header_name:
            yield "hashes on a header without a name"
    if route.route.HasField("retry_policy"):
        yield from _retry(route.route.retry_policy)


def _match(match: Any) -> Iterator[str]:
    kind = match.WhichOneof("path_specifier")
    if kind is None:
        yield "matches no path"
    if kind == "safe_regex":
        yield from filter(None, [expressions.problem(match.safe_regex.regex)])
    if match.query_parameters:
        yield "matches query parameters, which gRPC ignores"
    for header in match.headers:
        if not header.name or header.name != header.name.lower():
            yield f"matches the header {header.name!r}, which is not a lower-case name"
        elif header.name.startswith(":"):
            yield f"matches the pseudo header {header.name}, which gRPC does not show to matchers"
        if header.WhichOneof("header_match_specifier") is None:
            yield f"says nothing about the header {header.name}"
        if header.string_match.WhichOneof("match_pattern") == "safe_regex":
            yield from filter(None, [expressions.problem(header.string_match.safe_regex.regex)])


def _references(action: Any, clusters: Collection[str]) -> Iterator[str]:
    kind = action.WhichOneof("cluster_specifier")
    if kind == "cluster":
        shares = {action.cluster: 1}
    elif kind == "weighted_clusters":
        shares = {entry.name: entry.weight.value for entry in action.weighted_clusters.clusters}
        if len(shares) != len(action.weighted_clusters.clusters):
            yield "splits to the same cluster twice"
    else:
        yield "names no cluster"
        return
    if not 0 < sum(shares.values()) <= _MAX_UINT32:
        yield f"splits with weights that sum to {sum(shares.values())}"
    for name in shares:
        if name not in clusters:
            yield f"names the cluster {name!r}, which does not exist"


def _retry(policy: Any) -> Iterator[str]:
    tokens = policy.retry_on.split(",")
    for token in tokens:
        if token not in RETRYABLE:
            yield f"retries on {token!r}, which gRPC ignores"
    if policy.num_retries.value < 1:
        yield "retries less than once"
    base, most = policy.retry_back_off.base_interval, policy.retry_back_off.max_interval
    if base.ToNanoseconds() <= 0 or most.ToNanoseconds() < base.ToNanoseconds():
        yield "has a retry backoff that is not positive, or ends below its start"


def _cluster(message: Any) -> Iterator[str]:
    if message.type != xds.Cluster.EDS or not message.eds_cluster_config.eds_config.HasField("ads"):
        yield "is not fed by EDS over ADS"
    if message.lb_policy == xds.Cluster.RING_HASH:
        ring = message.ring_hash_lb_config
        low, high = ring.minimum_ring_size.value, ring.maximum_ring_size.value
        if not 0 < low <= high <= _MAX_RING:
            yield f"has a ring of {low} to {high} entries"
        if ring.hash_function != xds.Cluster.RingHashLbConfig.XX_HASH:
            yield "hashes with a function that gRPC refuses"
    elif message.lb_policy != xds.Cluster.ROUND_ROBIN:
        yield f"balances by {xds.Cluster.LbPolicy.Name(message.lb_policy)}, which gRPC refuses"
    yield from _outliers(message.outlier_detection)


def _outliers(outliers: Any) -> Iterator[str]:
    percentages = ("max_ejection_percent", "failure_percentage_threshold", "enforcing_failure_percentage")
    for name in percentages:
        if getattr(outliers, name).value > 100:  # noqa: PLR2004
            yield f"has {name} above 100"
    for name in ("interval", "base_ejection_time", "max_ejection_time"):
        if outliers.HasField(name) and getattr(outliers, name).ToNanoseconds() <= 0:
            yield f"has {name} that is not positive"


def _assignment(message: Any) -> Iterator[str]:
    addresses: set[tuple[str, int]] = set()
    localities: set[tuple[str, str, str]] = set()
    weights: dict[int, int] = {}
    for group in message.endpoints:
        place = (group.locality.region, group.locality.zone, group.locality.sub_zone)
        if place in localities:  # gRPC's Java would believe the last one alone
            yield f"has the locality {place} twice"
        localities.add(place)
        weights[group.priority] = weights.get(group.priority, 0) + group.load_balancing_weight.value
        if not group.load_balancing_weight.value:
            yield f"has the locality {place} without a weight"
        yield from _endpoints(group, addresses)
    if sorted(weights) != list(range(len(weights))):
        yield f"has gaps in its priorities: {sorted(weights)}"
    if any(weight > _MAX_UINT32 for weight in weights.values()):
        yield "has weights that sum to more than 32 bits"


def _endpoints(group: Any, addresses: set[tuple[str, int]]) -> Iterator[str]:
    for entry in group.lb_endpoints:
        socket = entry.endpoint.address.socket_address
        address = (socket.address, socket.port_value)
        if address in addresses:
            yield f"has the address {address} twice"
        addresses.add(address)
        if not entry.load_balancing_weight.value:
            yield f"has the address {address} without a weight"
        try:
            ipaddress.ip_address(socket.address)
        except ValueError:
            yield f"has the address {address}, which is not an IP address"
