"""Which clusters and endpoints upstreams, policies and instances lead to."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from meshwright.controlplane.model.catalog import Target
from meshwright.controlplane.model.policy import Policy, parse_policy
from meshwright.controlplane.model.snapshot import NodeKind
from meshwright.controlplane.translation import validation
from meshwright.controlplane.translation.chain import Upstream
from meshwright.controlplane.translation.clusters import cluster
from meshwright.controlplane.translation.endpoints import assignment
from meshwright.messages import xds
from meshwright.model import Address, Health, Instance, InstanceId, ServiceName
from support.consul.chains import USER

TARGET = Target(USER)
RESERVE = Target(ServiceName("reserve"))
UPSTREAM = Upstream("user.default.dc1", TARGET, 2_500.0, (RESERVE,))


def policy(**document: Any) -> Policy:
    return parse_policy(USER, json.dumps(document).encode())


def instance(port: int, health: Health = Health.PASSING, host: str = "10.0.0.1", **changes: Any) -> Instance:
    made = Instance(InstanceId(f"i{port}"), USER, Address(host, port), health)
    return dataclasses.replace(made, **changes)


def ports(*members: tuple[Target, tuple[Instance, ...]]) -> list[list[int]]:
    """The ports at each priority."""
    message, _ = assignment(UPSTREAM, members)
    found: dict[int, list[int]] = {}
    for group in message.endpoints:
        for entry in group.lb_endpoints:
            found.setdefault(group.priority, []).append(entry.endpoint.address.socket_address.port_value)
    assert sorted(found) == list(range(len(found)))
    return [found[priority] for priority in sorted(found)]


@pytest.mark.parametrize("kind", NodeKind)
def test_a_cluster_without_policy_goes_round_without_limits(kind: NodeKind) -> None:
    message = cluster(UPSTREAM, Policy(), kind)
    assert message.lb_policy == xds.Cluster.ROUND_ROBIN
    assert message.type == xds.Cluster.EDS
    assert message.connect_timeout.ToMilliseconds() == 2_500
    assert message.circuit_breakers.thresholds[0].max_requests.value == 2**32 - 1
    assert not message.HasField("outlier_detection")


def test_only_envoy_is_told_about_http2() -> None:
    assert not cluster(UPSTREAM, Policy(), NodeKind.GRPC).typed_extension_protocol_options
    assert xds.HTTP_OPTIONS in cluster(UPSTREAM, Policy(), NodeKind.ENVOY).typed_extension_protocol_options


def test_envoy_neither_panics_nor_spills_over_early() -> None:
    assert cluster(UPSTREAM, Policy(), NodeKind.ENVOY).common_lb_config.HasField("healthy_panic_threshold")
    message, _ = assignment(UPSTREAM, ((TARGET, (instance(1),)), (RESERVE, (instance(2),))))
    assert message.policy.overprovisioning_factor.value == 100_000
    alone, _ = assignment(UPSTREAM, ((TARGET, (instance(1),)), (RESERVE, ())))
    assert not alone.HasField("policy")


def test_ring_hash_outliers_and_limits_reach_the_cluster() -> None:
    message = cluster(
        UPSTREAM,
        policy(
            load_balancing={"policy": "ring_hash", "hash_on_header": "x", "minimum_ring_size": 16},
            outlier_detection={"failure_percentage": 30, "request_volume": 7},
            max_concurrent_requests=9,
        ),
        NodeKind.GRPC,
    )
    assert message.lb_policy == xds.Cluster.RING_HASH
    assert message.ring_hash_lb_config.minimum_ring_size.value == 16
    assert message.circuit_breakers.thresholds[0].max_requests.value == 9
    outliers = message.outlier_detection
    assert outliers.failure_percentage_threshold.value == 30
    assert outliers.failure_percentage_request_volume.value == 7
    assert outliers.enforcing_failure_percentage.value == 100
    assert outliers.HasField("enforcing_success_rate")
    assert outliers.enforcing_success_rate.value == 0


def test_only_the_well_get_traffic() -> None:
    everyone = tuple(instance(number + 1, health) for number, health in enumerate(Health))
    assert ports((TARGET, everyone)) == [[1, 2]]
    strict = dataclasses.replace(TARGET, only_passing=True)
    assert ports((strict, everyone)) == [[1]]


def test_no_healthy_instance_is_an_empty_set() -> None:
    assert ports((TARGET, (instance(1, Health.CRITICAL),))) == []


def test_failover_is_the_next_priority_without_gaps() -> None:
    one, two = instance(1), instance(2)
    assert ports((TARGET, (one,)), (RESERVE, (two,))) == [[1], [2]]
    assert ports((TARGET, ()), (RESERVE, (two,))) == [[2]]
    assert ports((TARGET, (one,)), (RESERVE, (one, two))) == [[1], [2]]
    assert ports((TARGET, (one,)), (RESERVE, (one,))) == [[1]]


@pytest.mark.parametrize("ring", [False, True])
def test_no_two_priorities_share_a_locality(ring: bool) -> None:
    """gRPC's Java knows a locality by its name alone, and gives it the last priority that has it."""
    meta = {"region": "eu", "zone": "a"}
    lists = [
        (TARGET, (instance(1, meta=meta), instance(2))),
        (RESERVE, (instance(3, meta=meta), instance(4, weight=9), instance(5))),
        (dataclasses.replace(RESERVE, filter="x"), (instance(6),)),
    ]
    message, _ = assignment(UPSTREAM, lists, ring=ring)
    places = [(each.locality.region, each.locality.zone, each.locality.sub_zone) for each in message.endpoints]
    assert len(set(places)) == len(places)
    assert {each.priority for each in message.endpoints} == {0, 1, 2}
    assert validation.assignment(message) == []


def test_a_reserve_that_becomes_the_first_keeps_its_locality() -> None:
    before, _ = assignment(UPSTREAM, ((TARGET, (instance(1),)), (RESERVE, (instance(2),))))
    after, _ = assignment(UPSTREAM, ((TARGET, ()), (RESERVE, (instance(2),))))
    assert [(each.priority, each.locality.sub_zone) for each in before.endpoints] == [(0, ""), (1, "failover-1")]
    assert [(each.priority, each.locality.sub_zone) for each in after.endpoints] == [(0, "failover-1")]


def test_an_address_counts_once_though_a_ghost_has_it_too() -> None:
    ghost = instance(1, id=InstanceId("ghost"))
    assert ports((TARGET, (ghost, instance(1), instance(2)))) == [[1, 2]]
    critical = instance(1, Health.CRITICAL, id=InstanceId("a-ghost"))
    assert ports((TARGET, (critical, instance(1)))) == [[1]]


def test_a_host_name_is_left_out_aloud() -> None:
    message, problems = assignment(UPSTREAM, ((TARGET, (instance(1, host="db.local"), instance(2, host="::1"))),))
    assert len(message.endpoints[0].lb_endpoints) == 1
    assert problems == ["instance i1 is left out: db.local:1 is not an IP address and a port"]


def test_a_zone_that_is_no_text_costs_its_instance_alone() -> None:
    message, problems = assignment(UPSTREAM, ((TARGET, (instance(1, meta={"zone": "\ud800"}), instance(2))),))
    assert len(message.endpoints[0].lb_endpoints) == 1
    assert problems == ["instance i1 is left out: its region or zone is no text"]


def test_localities_come_from_meta_and_weigh_what_their_instances_weigh() -> None:
    members = (
        instance(1, meta={"region": "eu", "zone": "b"}),
        instance(2, meta={"region": "eu", "zone": "a"}),
        instance(3, meta={"region": "eu", "zone": "a"}),
    )
    message, _ = assignment(UPSTREAM, ((TARGET, members),))
    found = [(group.locality.zone, group.load_balancing_weight.value) for group in message.endpoints]
    assert found == [("a", 2), ("b", 1)]


def test_unequal_weights_become_localities_which_grpc_honours() -> None:
    members = (instance(1, weight=9), instance(2, weight=1), instance(3, weight=1), instance(4, weight=0))
    message, _ = assignment(UPSTREAM, ((TARGET, members),))
    found = [(group.locality.sub_zone, group.load_balancing_weight.value) for group in message.endpoints]
    assert found == [("weight-1", 2), ("weight-9", 9)]


def test_a_ring_is_one_locality_whatever_the_zones() -> None:
    members = (instance(1, meta={"zone": "a"}), instance(2, meta={"zone": "b"}, weight=3))
    message, _ = assignment(UPSTREAM, ((TARGET, members), (RESERVE, (instance(3),))), ring=True)
    found = [
        (
            group.priority,
            group.load_balancing_weight.value,
            [each.load_balancing_weight.value for each in group.lb_endpoints],
        )
        for group in message.endpoints
    ]
    assert found == [(0, 1, [1, 3]), (1, 1, [1])]
