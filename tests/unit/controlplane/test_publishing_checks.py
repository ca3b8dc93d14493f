"""The last look before publishing finds what gRPC would refuse or ignore."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from meshwright.controlplane.model.policy import Balancing, LoadBalancing, OutlierDetection, Policy
from meshwright.controlplane.model.snapshot import NodeKind
from meshwright.controlplane.translation import validation
from meshwright.controlplane.translation.chain import Upstream
from meshwright.controlplane.translation.clusters import cluster
from meshwright.controlplane.translation.endpoints import assignment
from meshwright.messages import xds
from meshwright.model import Address, Instance, InstanceId
from support.consul.chains import ALL, USER

UPSTREAM = Upstream("user", ALL, 5_000.0)
POLICY = Policy(load_balancing=LoadBalancing(Balancing.RING_HASH, "x-user"), outlier_detection=OutlierDetection())

Change = Callable[[Any], object]


def good_route() -> Any:
    route = xds.Route(match=xds.RouteMatch(prefix="/"), route=xds.RouteAction(cluster="user"))
    route.match.headers.add(name="x", string_match=xds.StringMatcher(exact="y"))
    route.route.retry_policy.retry_on = "unavailable"
    route.route.retry_policy.num_retries.value = 1
    route.route.retry_policy.retry_back_off.base_interval.FromMilliseconds(25)
    route.route.retry_policy.retry_back_off.max_interval.FromMilliseconds(250)
    return route


def split(*weights: int) -> Change:
    def change(route: Any) -> None:
        for number, weight in enumerate(weights):
            route.route.weighted_clusters.clusters.add(name=("user", "other")[number % 2]).weight.value = weight

    return change


def test_what_is_right_passes() -> None:
    instances = tuple(Instance(InstanceId(f"i{n}"), USER, Address("10.0.0.1", n), weight=n) for n in (1, 2, 3))
    assert validation.routes([good_route()], {"user"}) == []
    assert validation.cluster(cluster(UPSTREAM, POLICY, NodeKind.GRPC)) == []
    assert validation.assignment(assignment(UPSTREAM, ((ALL, instances),))[0]) == []


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda route: route.ClearField("route"), "has no action"),
        (lambda route: route.match.ClearField("prefix"), "matches no path"),
        (lambda route: setattr(route.route, "cluster", "gone"), "names the cluster 'gone', which does not exist"),
        (lambda route: setattr(route.route, "cluster_header", "x"), "names no cluster"),
        (split(0, 0), "splits with weights that sum to 0"),
        (split(2**32 - 1, 1), "splits with weights that sum to 4294967296"),
        (split(1, 1, 1), "splits to the same cluster twice"),
        (lambda route: setattr(route.match.safe_regex, "regex", "(?=x)"), "uses what RE2 does not have"),
        (lambda route: setattr(route.match.safe_regex, "regex", "(x"), "is not valid"),
        (lambda route: setattr(route.match.headers[0], "name", "X"), "is not a lower-case name"),
        (lambda route: setattr(route.match.headers[0], "name", ":path"), "the pseudo header :path"),
        (lambda route: route.match.headers[0].ClearField("string_match"), "says nothing about the header x"),
        (lambda route: route.match.query_parameters.add(name="q"), "matches query parameters"),
        (lambda route: setattr(route.route.retry_policy, "retry_on", "5xx"), "retries on '5xx'"),
        (lambda route: route.route.retry_policy.ClearField("num_retries"), "retries less than once"),
        (lambda route: route.route.retry_policy.ClearField("retry_back_off"), "a retry backoff that is not positive"),
        (lambda route: route.route.hash_policy.add(), "hashes on a header without a name"),
    ],
)
def test_a_wrong_route_is_found(change: Change, what: str) -> None:
    route = good_route()
    change(route)
    found = validation.routes([good_route(), route], {"user", "other"})
    assert found
    assert found[0].startswith("route 1: ")
    assert what in found[0]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda message: setattr(message, "lb_policy", xds.Cluster.LEAST_REQUEST), "balances by LEAST_REQUEST"),
        (lambda message: setattr(message, "type", xds.Cluster.STATIC), "is not fed by EDS over ADS"),
        (lambda message: message.eds_cluster_config.Clear(), "is not fed by EDS over ADS"),
        (lambda message: setattr(message.ring_hash_lb_config.minimum_ring_size, "value", 5_000), "has a ring of 5000"),
        (
            lambda message: setattr(message.ring_hash_lb_config, "hash_function", 1),
            "hashes with a function that gRPC refuses",
        ),
        (
            lambda message: setattr(message.outlier_detection.max_ejection_percent, "value", 101),
            "has max_ejection_percent above 100",
        ),
        (lambda message: message.outlier_detection.interval.FromSeconds(0), "has interval that is not positive"),
    ],
)
def test_a_wrong_cluster_is_found(change: Change, what: str) -> None:
    message = cluster(UPSTREAM, POLICY, NodeKind.GRPC)
    change(message)
    assert any(what in each for each in validation.cluster(message))


def first(message: Any) -> Any:
    return message.endpoints[0]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda message: setattr(first(message), "priority", 1), "has gaps in its priorities: [1]"),
        (lambda message: first(message).ClearField("load_balancing_weight"), "without a weight"),
        (lambda message: message.endpoints.add().CopyFrom(first(message)), "twice"),
        (
            lambda message: setattr(first(message).lb_endpoints[0].endpoint.address.socket_address, "address", "x"),
            "is not an IP address",
        ),
        (lambda message: first(message).lb_endpoints[0].ClearField("load_balancing_weight"), "without a weight"),
    ],
)
def test_a_wrong_assignment_is_found(change: Change, what: str) -> None:
    message, _ = assignment(UPSTREAM, ((ALL, (Instance(InstanceId("a"), USER, Address("10.0.0.1", 1)),)),))
    change(message)
    assert any(what in each for each in validation.assignment(message))
