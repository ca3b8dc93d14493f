"""Compiled chains, as the real Consul gave them, are read into routes, branches and upstreams."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwright.controlplane.model.catalog import Target, targets
from meshwright.controlplane.translation.chain import TOTAL_WEIGHT, Branch, parse_chain
from meshwright.errors import ValidationError
from meshwright.model import ServiceName
from support.consul.chains import ALL, USER, V1, V2, names, recorded

V1_ID, V2_ID = "v1.user.default.dc1", "v2.user.default.dc1"


def branches(name: str, route: int = 0) -> dict[str, int]:
    parsed = parse_chain(USER, recorded(name))
    return {branch.upstream: branch.weight for branch in parsed.routes[route].branches}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plain", {"user.default.dc1": 10_000}),
        ("grpc", {"user.default.dc1": 10_000}),
        ("default_subset", {V1_ID: 10_000}),
        ("split", {V1_ID: 9_995, V2_ID: 5}),
        ("nested_split", {V1_ID: 9_000, V2_ID: 750, "user-next.default.dc1": 250}),
        ("zero_split", {V1_ID: 10_000}),
        ("redirect", {"accounts.default.dc1": 10_000}),
    ],
)
def test_a_route_has_the_branches_that_consul_compiled(name: str, expected: dict[str, int]) -> None:
    assert branches(name) == expected


@pytest.mark.parametrize("name", names())
def test_every_recorded_chain_is_read(name: str) -> None:
    document = recorded(name)
    parsed = parse_chain(USER, document)
    assert parsed.routes
    for route in parsed.routes:
        assert {branch.upstream for branch in route.branches} <= parsed.upstreams.keys()
        assert sum(branch.weight for branch in route.branches) == TOTAL_WEIGHT
    wanted = {target for upstream in parsed.upstreams.values() for target in (upstream.target, *upstream.failover)}
    assert wanted <= targets(document)


def test_a_target_without_weight_keeps_its_cluster_ready() -> None:
    assert parse_chain(USER, recorded("zero_split")).upstreams.keys() == {V1_ID, V2_ID}


def test_failover_names_the_lists_behind_an_upstream() -> None:
    (upstream,) = parse_chain(USER, recorded("failover")).upstreams.values()
    assert upstream.target == V1
    assert upstream.failover == (Target(ServiceName("user-reserve")),)
    assert upstream.connect_timeout_ms == 2_000


def test_another_datacenter_is_left_out_and_said() -> None:
    document = recorded("failover_datacenter")
    parsed = parse_chain(USER, document)
    assert parsed.upstreams["user.default.dc1"].failover == ()
    assert parsed.problems == (
        "failover from user.default.dc1 to user.default.dc2 is left out: it is in another datacenter",
    )
    assert targets(document) == {ALL}


def test_targets_are_the_instance_lists_of_a_chain() -> None:
    assert targets(recorded("split")) == {V1, V2}


def test_router_options_are_read() -> None:
    routes = parse_chain(USER, recorded("router")).routes
    assert [route.where for route in routes] == [f"Routes[{number}]" for number in range(6)]
    assert routes[0].match.headers[0].name == "x-version"
    assert (routes[1].options.timeout_ms, routes[1].options.retries) == (1_500, 2)
    assert routes[2].options.retry_on_connect_failure
    assert routes[3].options.retry_on_status_codes == (418, 429, 503)
    assert routes[4].match.headers[3].invert


def broken(**changes: Any) -> dict[str, Any]:
    return {**recorded("grpc"), **changes}


@pytest.mark.parametrize(
    ("document", "what"),
    [
        (broken(StartNode="resolver:gone"), "names 'resolver:gone', which is not in it"),
        (broken(Nodes=None), "names 'resolver:user.default.dc1', which is not in it"),
        (broken(Targets={}), "names 'user.default.dc1', which is not in it"),
        ({}, "names 'StartNode', which is not in it"),
        (broken(StartNode="x", Nodes={"x": {"Type": "oracle"}}), "node x is of the unknown type 'oracle'"),
        (broken(StartNode="x", Nodes={"x": {"Type": "splitter", "Splits": []}}), "a split gives no weight to anything"),
        (
            broken(StartNode="x", Nodes={"x": {"Type": "splitter", "Splits": [{"Weight": 100, "NextNode": "x"}]}}),
            "x is more than 32 nodes deep",
        ),
    ],
)
def test_a_chain_that_cannot_be_walked_is_refused(document: dict[str, Any], what: str) -> None:
    with pytest.raises(ValidationError) as caught:
        parse_chain(USER, document)
    assert what in str(caught.value)


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=12))
def test_weights_sum_to_the_total_whatever_the_shares(shares: list[int]) -> None:
    found = split_into([share / 100 for share in shares])
    assert sum(branch.weight for branch in found) == TOTAL_WEIGHT
    assert all(branch.weight >= 1 for branch in found)


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=8).filter(any))
def test_hundredths_of_a_per_cent_survive_exactly(parts: list[int]) -> None:
    total = sum(parts)
    hundredths = [part * 10_000 // total for part in parts]
    hundredths[hundredths.index(max(hundredths))] += 10_000 - sum(hundredths)
    found = {branch.upstream: branch.weight for branch in split_into([each / 100 for each in hundredths])}
    assert found == {f"t{number}": each for number, each in enumerate(hundredths) if each}


def split_into(weights: list[float]) -> tuple[Branch, ...]:
    nodes: dict[str, Any] = {
        "s": {
            "Type": "splitter",
            "Splits": [{"Weight": weight, "NextNode": f"r{number}"} for number, weight in enumerate(weights)],
        }
    }
    for number in range(len(weights)):
        nodes[f"r{number}"] = {"Type": "resolver", "Resolver": {"Target": f"t{number}"}}
    all_targets = {f"t{number}": {"Service": f"t{number}"} for number in range(len(weights))}
    return parse_chain(USER, {"StartNode": "s", "Nodes": nodes, "Targets": all_targets}).routes[0].branches
