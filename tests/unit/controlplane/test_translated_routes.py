"""Which xDS routes real chains and policies lead to, for gRPC clients and for Envoy."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meshwright.controlplane.model.catalog import Catalog
from meshwright.controlplane.model.policy import OutlierDetection, Policy, parse_policy
from meshwright.controlplane.model.snapshot import NodeKind, NodeProfile, ResourceType, Snapshot, unpack
from meshwright.controlplane.translation.listeners import unknown_listener
from meshwright.controlplane.translation.translator import Translator
from meshwright.messages import xds
from meshwright.model import ServiceName
from support.consul.chains import USER, recorded

GRPC = NodeProfile(NodeKind.GRPC)
ENVOY = NodeProfile(NodeKind.ENVOY)


def snapshot(chain: str | dict[str, Any], **policies: dict[str, Any]) -> Snapshot:
    document = recorded(chain) if isinstance(chain, str) else chain
    parsed = {
        ServiceName(name): parse_policy(ServiceName(name), json.dumps(policy).encode())
        for name, policy in policies.items()
    }
    return Translator().translate(Catalog({USER: document}, {}, parsed))


def routes(made: Snapshot, node_profile: NodeProfile = GRPC) -> list[Any]:
    if node_profile.kind is NodeKind.GRPC:
        table = unpack(made.view(node_profile)[ResourceType.ROUTE]["user"], xds.RouteConfiguration())
        assert list(table.virtual_hosts[0].domains) == ["*"]
    else:
        table = unpack(made.view(node_profile)[ResourceType.ROUTE]["ingress"], xds.RouteConfiguration())
    return list(table.virtual_hosts[0].routes)


def problems(made: Snapshot) -> list[str]:
    return [problem.message for problem in made.problems]


def retry_of(route: Any) -> tuple[str, int] | None:
    policy = route.route.retry_policy
    return (policy.retry_on, policy.num_retries.value) if route.route.HasField("retry_policy") else None


def milliseconds(duration: Any) -> float:
    return duration.ToNanoseconds() / 1e6


def test_a_plain_service_is_one_route_that_retries_unavailable() -> None:
    (route,) = routes(snapshot("plain"))
    assert route.match.prefix == "/"
    assert route.route.cluster == "user.default.dc1"
    assert retry_of(route) == ("unavailable", 2)
    assert not route.route.HasField("max_stream_duration")
    assert not route.typed_per_filter_config


def test_a_split_is_weighted_clusters() -> None:
    (route,) = routes(snapshot("split"))
    weights = {entry.name: entry.weight.value for entry in route.route.weighted_clusters.clusters}
    assert weights == {"v1.user.default.dc1": 9_995, "v2.user.default.dc1": 5}


def test_a_router_s_matches_keep_their_order_and_form() -> None:
    found = routes(snapshot("router"))
    assert [route.match.WhichOneof("path_specifier") for route in found] == [
        *("prefix", "path", "prefix", "safe_regex", "prefix", "prefix")
    ]
    assert found[0].match.headers[0].name == "x-version"
    kinds = [header.string_match.WhichOneof("match_pattern") for header in found[4].match.headers]
    assert kinds == [None, "prefix", "suffix", "safe_regex"]
    assert found[4].match.headers[0].present_match
    assert [header.invert_match for header in found[4].match.headers] == [False, False, False, True]


def test_a_route_s_own_retry_replaces_the_default() -> None:
    made = snapshot("router")
    assert [retry_of(route) for route in routes(made)] == [
        ("unavailable", 2),
        ("unavailable", 2),
        ("unavailable", 2),
        ("resource-exhausted,unavailable", 2),
        ("unavailable", 2),
        ("unavailable", 2),
    ]
    assert problems(made) == ["Routes[3]: gRPC cannot retry on HTTP status 418; it is ignored"]
    envoy = routes(made, ENVOY)[3].route.retry_policy
    assert list(envoy.retriable_status_codes) == [418, 429, 503]
    assert set(envoy.retry_on.split(",")) == {
        *("resource-exhausted", "unavailable", "retriable-status-codes", "connect-failure", "refused-stream", "reset")
    }


def with_destination(**destination: Any) -> dict[str, Any]:
    chain = recorded("router_split")
    router = next(node for node in chain["Nodes"].values() if node["Type"] == "router")
    router["Routes"] = [{"Definition": {"Destination": destination}, "NextNode": "resolver:v1.user.default.dc1"}]
    return chain


@pytest.mark.parametrize(
    ("destination", "policy", "expected"),
    [
        ({}, {"attempts": 1}, None),
        ({}, {"on": ["internal"], "attempts": 4}, ("internal", 3)),
        ({"NumRetries": 1}, {"attempts": 1}, ("unavailable", 1)),
        ({"NumRetries": 4}, {"on": ["internal"]}, ("internal", 4)),
        ({"NumRetries": 9}, {}, ("unavailable", 4)),
        ({"RetryOnConnectFailure": True}, {"on": ["internal"], "attempts": 1}, ("unavailable", 1)),
        ({"RetryOnStatusCodes": [504, 500, 499]}, {}, ("cancelled,deadline-exceeded,internal", 2)),
        ({"RetryOnStatusCodes": [418]}, {}, None),
        ({"RetryOnStatusCodes": [418], "NumRetries": 2}, {}, None),
    ],
)
def test_what_a_route_says_of_retries_decides(
    destination: dict[str, Any], policy: dict[str, Any], expected: tuple[str, int] | None
) -> None:
    (route,) = routes(snapshot(with_destination(**destination), user={"retry": policy}))
    assert retry_of(route) == expected


def test_more_retries_than_grpc_makes_are_cut_aloud() -> None:
    made = snapshot(with_destination(NumRetries=9))
    assert problems(made) == ["Routes[0]: NumRetries 9 is more than gRPC does; it retries 4 times"]
    assert retry_of(routes(made, ENVOY)[0]) == ("unavailable,connect-failure,refused-stream,reset", 9)


def test_an_envoys_retry_goes_to_another_instance() -> None:
    made = snapshot("plain")
    (for_envoy,), (for_grpc,) = routes(made, ENVOY), routes(made)
    (predicate,) = for_envoy.route.retry_policy.retry_host_predicate
    assert predicate.typed_config.Is(xds.PreviousHostsPredicate.DESCRIPTOR)
    assert for_envoy.route.retry_policy.host_selection_retry_max_attempts == 5
    assert not for_grpc.route.retry_policy.retry_host_predicate


def test_what_grpc_cannot_match_is_left_out_aloud_and_kept_for_envoy() -> None:
    made = snapshot("router_beyond_grpc")
    assert [route.route.cluster for route in routes(made)] == [
        *("v2.user.default.dc1", "v1.user.default.dc1", "v1.user.default.dc1")
    ]
    assert problems(made) == [
        "Routes[0]: query parameter debug never occurs in a gRPC call; the route is left out for gRPC clients",
        "Routes[1]: a gRPC call is always a POST, never GET; the route is left out for gRPC clients",
        "Routes[3]: gRPC clients do not rewrite paths; PrefixRewrite /demo.user.v1.UserService/ is ignored",
        "Routes[4]: PathExact /healthz is not /service/method; the route is left out for gRPC clients",
    ]
    for_envoy = routes(made, ENVOY)
    assert len(for_envoy) == 6
    assert for_envoy[0].match.query_parameters[0].present_match
    assert for_envoy[1].match.headers[0].string_match.safe_regex.regex == "GET"
    assert for_envoy[2].match.headers[1].string_match.safe_regex.regex == "POST|PUT"
    assert for_envoy[3].route.prefix_rewrite == "/demo.user.v1.UserService/"


def test_a_timeout_is_longer_by_the_skew_for_grpc_and_exact_for_envoy() -> None:
    made = snapshot("router_split")
    limits = [milliseconds(route.route.max_stream_duration.max_stream_duration) for route in routes(made)]
    assert limits == [2_000, 250, 0]
    skewed = routes(made, NodeProfile(NodeKind.GRPC, timeout_skew_ms=1_234))
    assert [milliseconds(route.route.max_stream_duration.max_stream_duration) for route in skewed] == [3_234, 1_484, 0]
    for_envoy = routes(made, ENVOY)
    assert [milliseconds(route.route.max_stream_duration.max_stream_duration) for route in for_envoy] == limits
    assert [route.route.HasField("timeout") and milliseconds(route.route.timeout) for route in for_envoy] == [0, 0, 0]


def test_the_policy_s_timeout_is_the_default_of_routes_without_one() -> None:
    made = snapshot("router_split", user={"timeout": "5s"})
    limits = [milliseconds(route.route.max_stream_duration.max_stream_duration) for route in routes(made)]
    assert limits == [2_000, 250, 5_000]


def test_views_of_other_skews_share_all_that_has_no_timeout() -> None:
    made = Translator().translate(Catalog({USER: recorded("router_split"), ServiceName("plain"): recorded("plain")}))
    one, other = made.view(GRPC), made.view(NodeProfile(NodeKind.GRPC, 1_500))
    assert made.view(NodeProfile(NodeKind.GRPC, 1_500)) is other
    assert one[ResourceType.ROUTE]["plain"] is other[ResourceType.ROUTE]["plain"]
    assert one[ResourceType.ROUTE]["user"].version != other[ResourceType.ROUTE]["user"].version
    assert other[ResourceType.ROUTE]["user"] is made.view(NodeProfile(NodeKind.GRPC, 1_500))[ResourceType.ROUTE]["user"]
    assert list(one[ResourceType.ROUTE]) == list(other[ResourceType.ROUTE])
    for kind in (ResourceType.LISTENER, ResourceType.CLUSTER, ResourceType.ENDPOINTS):
        assert one[kind] is other[kind]


def test_faults_for_some_callers_are_copies_in_front_of_the_route() -> None:
    faults = [
        {"headers": [{"name": "x-chaos", "exact": "on"}], "abort": {"status": "UNAVAILABLE", "percentage": 0.05}},
        {"delay": {"duration": "200ms", "percentage": 10}},
        {"abort": {"status": 3}},
    ]
    first, second = routes(snapshot("plain", user={"faults": faults}))
    abort, delay = fault_of(first), fault_of(second)
    assert first.match.headers[0].string_match.exact == "on"
    assert (abort.abort.grpc_status, abort.abort.percentage.numerator) == (14, 500)
    assert milliseconds(delay.delay.fixed_delay) == 200
    assert not delay.HasField("abort")
    assert not second.match.headers


def fault_of(route: Any) -> Any:
    message = xds.HTTPFault()
    route.typed_per_filter_config[xds.FAULT_FILTER].Unpack(message)
    return message


def test_routes_hash_on_the_header_of_the_service_that_has_the_instances() -> None:
    ring = {"load_balancing": {"policy": "ring_hash", "hash_on_header": "X-Account"}}
    (route,) = routes(snapshot("redirect", accounts=ring))
    assert [policy.header.header_name for policy in route.route.hash_policy] == ["x-account"]
    (unaffected,) = routes(snapshot("redirect", user=ring))
    assert not unaffected.route.hash_policy


def test_an_unknown_name_has_a_listener_without_routes() -> None:
    message = unpack(unknown_listener("nobody"), xds.Listener())
    manager = xds.HttpConnectionManager()
    message.api_listener.api_listener.Unpack(manager)
    assert message.name == "nobody"
    assert not manager.route_config.virtual_hosts
    assert [each.name for each in manager.http_filters] == [xds.FAULT_FILTER, xds.ROUTER_FILTER]


def test_an_unknown_name_has_an_empty_virtual_host_for_node() -> None:
    message = unpack(unknown_listener("nobody", hosted=True), xds.Listener())
    manager = xds.HttpConnectionManager()
    message.api_listener.api_listener.Unpack(manager)
    (host,) = manager.route_config.virtual_hosts
    assert list(host.domains) == ["*"]
    assert not host.routes


def test_a_fault_changes_routes_and_no_listener() -> None:
    before = snapshot("plain").view(GRPC)
    after = snapshot("plain", user={"faults": [{"abort": {"status": 14}}]}).view(GRPC)
    assert dict(before[ResourceType.LISTENER]) == dict(after[ResourceType.LISTENER])
    assert dict(before[ResourceType.ROUTE]) != dict(after[ResourceType.ROUTE])


def with_match(**http: Any) -> dict[str, Any]:
    """The recorded router, with another condition in its first route."""
    chain = recorded("router")
    router = next(node for node in chain["Nodes"].values() if node["Type"] == "router")
    router["Routes"][0]["Definition"]["Match"] = {"HTTP": http}
    return chain


@pytest.mark.parametrize(
    "http",
    [
        {"QueryParam": [{"Name": "q", "Regex": "(?!x)"}]},
        {"PathRegex": "(?!x)", "Methods": ["GET"]},
        {"Header": [{"Name": "x", "Regex": "(?!x)"}], "Methods": ["GET"]},
    ],
)
def test_an_expression_that_only_an_envoy_would_see_cannot_cost_it_the_table_of_all_services(http: Any) -> None:
    made = Translator().translate(Catalog({USER: with_match(**http), ServiceName("other"): recorded("plain")}))
    assert any("lookaround" in problem for problem in problems(made))
    assert "(?!x)" not in str(unpack(made.view(ENVOY)[ResourceType.ROUTE]["ingress"], xds.RouteConfiguration()))


def test_what_no_message_can_hold_is_a_problem_of_its_service_alone() -> None:
    chains = {USER: with_match(Header=[{"Name": "x", "Exact": "\ud800"}]), ServiceName("other"): recorded("plain")}
    made = Translator().translate(Catalog(chains))
    assert made.view(GRPC)[ResourceType.ROUTE].keys() == {"other"}
    assert [problem.path for problem in made.problems] == ["user"]
    translator = Translator()
    good = translator.translate(Catalog({USER: recorded("router")}))
    kept = translator.translate(Catalog(chains)).view(GRPC)[ResourceType.ROUTE]["user"]
    assert kept is good.view(GRPC)[ResourceType.ROUTE]["user"]


def test_a_policy_that_no_message_can_hold_leaves_what_was_in_force() -> None:
    policy = Policy(timeout_ms=1e30, outlier_detection=OutlierDetection(interval_ms=1e30))
    translator = Translator()
    good = translator.translate(Catalog({USER: recorded("split")}))
    bad = Catalog({USER: recorded("split")}, {}, {USER: policy})
    made = translator.translate(bad)
    for kind in (ResourceType.ROUTE, ResourceType.CLUSTER):
        assert dict(made.view(GRPC)[kind]) == dict(good.view(GRPC)[kind])
    assert {problem.path for problem in made.problems} == {"user"}
    limits = Policy(outlier_detection=OutlierDetection(interval_ms=1e30))
    fresh = Translator().translate(Catalog({USER: recorded("split")}, {}, {USER: limits}))
    assert dict(fresh.view(GRPC)[ResourceType.CLUSTER]) == dict(good.view(GRPC)[ResourceType.CLUSTER])
    broken = Catalog({USER: with_match(PathRegex="(?!x)")}, {}, {USER: policy})
    after = translator.translate(broken).view(GRPC)[ResourceType.ROUTE]
    assert dict(after) == dict(good.view(GRPC)[ResourceType.ROUTE])
