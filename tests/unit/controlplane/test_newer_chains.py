"""What newer Consuls compile: each is honoured as far as gRPC can, and the rest is reported."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meshwright.controlplane.consul_source.change_tracker import references
from meshwright.controlplane.model.catalog import Catalog, Target, targets
from meshwright.controlplane.model.policy import parse_policy
from meshwright.controlplane.model.snapshot import NodeKind, NodeProfile, ResourceType, Snapshot, unpack
from meshwright.controlplane.translation.chain import parse_chain
from meshwright.controlplane.translation.translator import Translator
from meshwright.messages import xds
from meshwright.model import Address, Instance, InstanceId, ServiceName
from support.consul.chains import FOLDER, USER, newer

GRPC, ENVOY = NodeProfile(NodeKind.GRPC), NodeProfile(NodeKind.ENVOY)
NAMES = sorted(path.stem for path in (FOLDER / "newer").glob("*.json"))


def snapshot(name: str | dict[str, Any], **policies: dict[str, Any]) -> Snapshot:
    chain = newer(name) if isinstance(name, str) else name
    here = Instance(InstanceId("one"), USER, Address("10.0.0.1", 1))
    lists = dict.fromkeys(targets(chain), (here,))
    parsed = {
        ServiceName(service): parse_policy(ServiceName(service), json.dumps(document).encode())
        for service, document in policies.items()
    }
    return Translator().translate(Catalog({USER: chain}, lists, parsed))


def problems(made: Snapshot) -> list[str]:
    return [problem.message for problem in made.problems]


def routes(made: Snapshot, node_profile: NodeProfile = GRPC) -> list[Any]:
    name = "user" if node_profile is GRPC else "ingress"
    table = unpack(made.view(node_profile)[ResourceType.ROUTE][name], xds.RouteConfiguration())
    return list(table.virtual_hosts[0].routes)


def cluster(made: Snapshot, node_profile: NodeProfile = GRPC, name: str = "user.default.default.dc1") -> Any:
    return unpack(made.view(node_profile)[ResourceType.CLUSTER][name], xds.Cluster())


def policy_of(message: Any) -> str:
    return str(xds.Cluster.LbPolicy.Name(message.lb_policy))


def retry_of(route: Any) -> tuple[str, int] | None:
    policy = route.route.retry_policy
    return (policy.retry_on, policy.num_retries.value) if route.route.HasField("retry_policy") else None


@pytest.mark.parametrize("name", NAMES)
def test_every_chain_is_published(name: str) -> None:
    made = snapshot(name)
    assert "user" in made.view(GRPC)[ResourceType.ROUTE]
    assert not [what for what in problems(made) if "not published" in what]


def test_failover_to_a_peer_or_elsewhere_is_left_out_and_the_rest_keeps_its_order() -> None:
    chain = parse_chain(USER, newer("failover"))
    upstream = chain.upstreams["v1.user.default.default.dc1"]
    v2 = Target(USER, "Service.Meta.version == v2", only_passing=True)
    assert upstream.failover == (Target(ServiceName("reserve")), v2)
    begin = "failover from v1.user.default.default.dc1 to "
    assert chain.problems == (
        f"{begin}user.default.default.external.cluster-02 is left out: it is in the peer cluster-02",
        f"{begin}v1.user.default.default.dc2 is left out: it is in another datacenter",
    )
    assert len(targets(newer("failover"))) == 3


def test_failover_to_another_partition_is_left_out() -> None:
    chain = parse_chain(USER, newer("partition"))
    assert chain.upstreams["user.default.default.dc1"].failover == ()
    assert chain.problems == (
        "failover from user.default.default.dc1 to user.default.other.dc1 is left out: it is in another partition",
    )


def test_a_redirect_to_a_peer_gets_no_instance_of_the_same_name_here() -> None:
    made = snapshot("redirect_peer")
    name = "accounts.default.default.external.cluster-02"
    assert targets(newer("redirect_peer")) == frozenset()
    message = unpack(made.view(GRPC)[ResourceType.ENDPOINTS][name], xds.ClusterLoadAssignment())
    assert list(message.endpoints) == []
    assert problems(made) == [f"target {name} is in the peer cluster-02, where Meshwright does not look: it is empty"]


def test_what_is_in_another_namespace_is_not_ours_of_the_same_name() -> None:
    chain = newer("failover")
    chain["Targets"]["reserve.default.default.dc1"]["Namespace"] = "other"
    found = parse_chain(USER, chain)
    assert [target.service for target in found.upstreams["v1.user.default.default.dc1"].failover] == [USER]
    assert any("reserve.default.default.dc1 is left out: it is in another namespace" in what for what in found.problems)


def test_retry_on_is_honoured_where_grpc_can() -> None:
    found = routes(snapshot("router"))
    assert retry_of(found[0]) == ("cancelled,resource-exhausted", 2)
    assert retry_of(found[1]) == ("unavailable", 2)
    assert retry_of(found[2]) is None
    assert retry_of(found[3]) == ("deadline-exceeded,unavailable", 2)
    said = problems(snapshot("router"))
    assert "Routes[1]: RetryOn 5xx stands for unavailable alone: a gRPC answer has no HTTP status" in said
    assert "Routes[1]: RetryOn retriable-4xx is not gRPC's; it is ignored" in said
    assert "Routes[2]: RetryOn envoy-ratelimited is not gRPC's; it is ignored" in said
    assert not [what for what in said if "refused-stream" in what or "reset" in what]


def test_an_envoy_retries_on_what_was_written() -> None:
    found = routes(snapshot("router"), ENVOY)
    assert retry_of(found[1]) == ("5xx,reset,retriable-4xx", 2)
    assert retry_of(found[2]) == ("envoy-ratelimited,retriable-4xx", 2)
    on, _ = retry_of(found[3]) or ("", 0)
    assert set(on.split(",")) >= {"refused-stream", "unavailable", "retriable-status-codes"}
    assert list(found[3].route.retry_policy.retriable_status_codes) == [504]


def test_a_path_may_be_matched_whatever_its_case() -> None:
    for node_profile in (GRPC, ENVOY):
        found = routes(snapshot("router"), node_profile)
        assert found[0].match.prefix == "/Demo.User"
        assert found[0].match.HasField("case_sensitive")
        assert not found[0].match.case_sensitive.value
        assert not found[1].match.HasField("case_sensitive")


def test_a_negative_timeout_is_none_at_all() -> None:
    found = routes(snapshot("router", user={"timeout": "5s"}))
    assert not found[1].route.HasField("max_stream_duration")
    assert found[0].route.max_stream_duration.max_stream_duration.seconds == 5


def test_an_idle_timeout_is_an_envoy_s_alone() -> None:
    assert routes(snapshot("router"), ENVOY)[1].route.idle_timeout.seconds == 30
    assert any("IdleTimeout is ignored" in what for what in problems(snapshot("router")))


def test_a_resolver_s_timeout_counts_in_a_chain_that_starts_with_it_and_the_policy_wins() -> None:
    (route,) = routes(snapshot("round_robin"))
    assert route.route.max_stream_duration.max_stream_duration.seconds == 3
    (route,) = routes(snapshot("round_robin", user={"timeout": "9s"}))
    assert route.route.max_stream_duration.max_stream_duration.seconds == 9
    assert not routes(snapshot("router"))[4].route.HasField("max_stream_duration")
    what = "RequestTimeout of v1.user.default.default.dc1 is not applied behind a router or a splitter, as in Consul"
    assert what in problems(snapshot("router"))


def test_header_changes_are_an_envoy_s_alone_and_are_said_to_be() -> None:
    made = snapshot("router")
    plain = routes(made)[3]
    assert not plain.request_headers_to_add
    what = "Routes[3]: gRPC clients do not change headers; RequestHeaders and ResponseHeaders are ignored"
    assert what in problems(made)
    changed = routes(made, ENVOY)[3]
    added = [(each.header.key, each.header.value, each.append_action) for each in changed.request_headers_to_add]
    assert added == [("x-a", "1", 0), ("x-b", "2", 2)]
    assert list(changed.request_headers_to_remove) == ["x-c"]
    assert [each.header.key for each in changed.response_headers_to_add] == ["x-d"]


def test_header_changes_that_an_envoy_might_refuse_are_left_out() -> None:
    chain = newer("router")
    (router,) = (node for node in chain["Nodes"].values() if node["Type"] == "router")
    changes = {"Set": {":path": "/x", "x-ip": "%DOWNSTREAM_REMOTE_ADDRESS%", "x-fine": "y"}, "Remove": ["Host", "x y"]}
    router["Routes"][0]["Definition"]["Destination"]["RequestHeaders"] = changes
    made = snapshot(chain)
    changed = routes(made, ENVOY)[0]
    assert [each.header.key for each in changed.request_headers_to_add] == ["x-fine"]
    assert list(changed.request_headers_to_remove) == []
    assert sum("an Envoy might not take" in what for what in problems(made)) == 4


def test_splits_change_headers_at_an_envoy_alone() -> None:
    made = snapshot("split")
    (route,) = routes(made)
    weights = {each.name: each.weight.value for each in route.route.weighted_clusters.clusters}
    assert weights == {"v1.user.default.default.dc1": 9_000, "v2.user.default.default.dc1": 1_000}
    assert "the default route: gRPC clients do not change headers; those of the splits are ignored" in problems(made)
    first, second = routes(made, ENVOY)[0].route.weighted_clusters.clusters
    assert [each.header.key for each in first.request_headers_to_add] == ["x-branch"]
    assert list(second.response_headers_to_remove) == ["server"]


def test_two_splits_to_one_target_are_one_for_grpc() -> None:
    chain = newer("split")
    (splitter,) = (node for node in chain["Nodes"].values() if node["Type"] == "splitter")
    splitter["Splits"][1]["NextNode"] = splitter["Splits"][0]["NextNode"]
    made = snapshot(chain)
    assert routes(made)[0].route.cluster == "v1.user.default.default.dc1"
    entries = routes(made, ENVOY)[0].route.weighted_clusters.clusters
    assert sorted(each.weight.value for each in entries) == [1_000, 9_000]


def test_a_resolver_s_ring_hash_is_honoured_on_headers() -> None:
    made = snapshot("split")
    message = cluster(made, name="v1.user.default.default.dc1")
    assert policy_of(message) == "RING_HASH"
    ring = message.ring_hash_lb_config
    assert (ring.minimum_ring_size.value, ring.maximum_ring_size.value) == (128, 512)
    (route,) = routes(made)
    hashes = [(each.header.header_name, each.terminal) for each in route.route.hash_policy]
    assert hashes == [("x-user-id", True), ("x-tenant", False)]
    assert {what for what in problems(made) if "hash" in what} == {
        "gRPC clients cannot hash on the cookie session; it is left out",
        "gRPC clients cannot hash on the caller's address; it is left out",
    }
    kinds = [each.WhichOneof("policy_specifier") for each in routes(made, ENVOY)[0].route.hash_policy]
    assert kinds == ["header", "cookie", "header", "connection_properties"]


def test_a_ring_of_cookies_alone_is_none_for_grpc() -> None:
    made = snapshot("cookie_hash")
    assert policy_of(cluster(made)) == "ROUND_ROBIN"
    assert policy_of(cluster(made, ENVOY)) == "RING_HASH"
    assert "LoadBalancer ring_hash has no header to hash on; gRPC clients balance round robin" in problems(made)


@pytest.mark.parametrize(
    ("name", "for_grpc", "what"),
    [
        ("least_request", "ROUND_ROBIN", "LoadBalancer least_request is not gRPC's; gRPC clients balance round robin"),
        ("random", "ROUND_ROBIN", "LoadBalancer random is not gRPC's; gRPC clients balance round robin"),
        ("maglev", "RING_HASH", "LoadBalancer maglev is not gRPC's; gRPC clients use ring_hash on the same headers"),
        ("round_robin", "ROUND_ROBIN", None),
    ],
)
def test_other_balancers_are_an_envoy_s_and_what_grpc_does_is_said(name: str, for_grpc: str, what: str | None) -> None:
    made = snapshot(name)
    assert policy_of(cluster(made)) == for_grpc
    assert policy_of(cluster(made, ENVOY)) == name.upper()
    assert problems(made) == ([what] if what else [])


def test_the_policy_document_s_balancing_wins_and_nothing_is_wrong_then() -> None:
    made = snapshot("least_request", user={"load_balancing": {"policy": "round_robin"}})
    assert policy_of(cluster(made, ENVOY)) == "ROUND_ROBIN"
    assert problems(made) == []


def test_what_is_about_the_order_of_targets_or_other_proxies_is_said_to_be_ignored() -> None:
    (what,) = problems(snapshot("failover_policy"))
    target = "user.default.default.dc1"
    assert what == f"the failover Policy order-by-locality of {target} is ignored; its targets are tried in order"
    assert problems(snapshot("extensions")) == [
        "EnvoyExtensions builtin/lua is for Consul's own proxies; it is ignored"
    ]


def test_a_change_of_a_failover_target_concerns_those_that_fail_over_to_it() -> None:
    entry = {"Failover": {"*": {"Targets": [{"Service": "reserve"}, {"Peer": "p"}]}}}
    assert references("service-resolver", entry) == {"reserve"}
