"""What a caller's service-defaults say of the services that it calls  (docs/explanation/control-plane.md)."""

from __future__ import annotations

import json
from typing import Any

from meshwright.controlplane.model import upstream_config
from meshwright.controlplane.model.catalog import Catalog
from meshwright.controlplane.model.policy import parse_policy
from meshwright.controlplane.model.snapshot import NodeKind, NodeProfile, ResourceType, Snapshot, unpack
from meshwright.controlplane.model.upstream_config import CallerRules
from meshwright.controlplane.translation.translator import Translator
from meshwright.messages import xds
from meshwright.model import ServiceName
from support.consul.chains import USER, chain_of, recorded

WEB = ServiceName("web")
SECOND = 1_000_000_000
LIMITS = {"MaxConnections": 11, "MaxPendingRequests": 22, "MaxConcurrentRequests": 33}
PASSIVE = {"Interval": 2 * SECOND, "MaxFailures": 7, "EnforcingConsecutive5xx": 80, "BaseEjectionTime": "40s"}
UNLIMITED = 4_294_967_295


def entry(name: str = "web", **config: Any) -> dict[str, Any]:
    return {"Kind": "service-defaults", "Name": name, "Protocol": "grpc", "UpstreamConfig": config}


def snapshot(*entries: dict[str, Any], translator: Translator | None = None, **policies: dict[str, Any]) -> Snapshot:
    chains = {USER: recorded("plain"), ServiceName("order"): chain_of("order")}
    parsed = {
        ServiceName(name): parse_policy(ServiceName(name), json.dumps(document).encode())
        for name, document in policies.items()
    }
    translator = translator or Translator()
    return translator.translate(Catalog(chains, {}, parsed, upstream_config.read(entries)))


def cluster(made: Snapshot, caller: str, service: str = "user", kind: NodeKind = NodeKind.GRPC) -> Any:
    found = made.view(NodeProfile(kind, caller=caller))[ResourceType.CLUSTER]
    return unpack(found[f"{service}.default.dc1"], xds.Cluster())


def limits(message: Any) -> tuple[int, int, int]:
    (found,) = message.circuit_breakers.thresholds
    return found.max_connections.value, found.max_pending_requests.value, found.max_requests.value


def test_limits_are_those_of_the_caller_whose_entry_says_them() -> None:
    made = snapshot(entry(Defaults={"Limits": LIMITS}))
    assert limits(cluster(made, "web")) == (0, 0, 33)
    assert limits(cluster(made, "WEB")) == (0, 0, 33)
    assert limits(cluster(made, "other")) == limits(cluster(made, "")) == (0, 0, UNLIMITED)
    assert limits(cluster(made, "web", kind=NodeKind.ENVOY)) == (11, 22, 33)


def test_what_grpc_has_no_limit_for_is_said() -> None:
    assert [str(problem) for problem in snapshot(entry(Defaults={"Limits": LIMITS})).problems] == [
        "web: UpstreamConfig.Defaults: gRPC clients have no MaxConnections; it is ignored",
        "web: UpstreamConfig.Defaults: gRPC clients have no MaxPendingRequests; it is ignored",
    ]


def test_an_override_is_about_one_service_whatever_the_case_of_its_name() -> None:
    made = snapshot(
        entry(
            Defaults={"Limits": {"MaxConcurrentRequests": 5}, "PassiveHealthCheck": {"MaxFailures": 3}},
            Overrides=[{"Name": "Order", "Limits": {"MaxConcurrentRequests": 9}}],
        )
    )
    assert limits(cluster(made, "web")) == (0, 0, 5)
    order = cluster(made, "web", "order")
    assert limits(order) == (0, 0, 9)
    assert order.outlier_detection.failure_percentage_request_volume.value == 3


def test_failures_in_a_row_become_an_interval_in_which_all_failed() -> None:
    made = snapshot(entry(Defaults={"PassiveHealthCheck": PASSIVE}))
    outliers = cluster(made, "web").outlier_detection
    assert outliers.interval.seconds == 2
    assert outliers.base_ejection_time.seconds == 40
    assert outliers.failure_percentage_threshold.value == 99
    assert outliers.failure_percentage_request_volume.value == 7
    assert outliers.failure_percentage_minimum_hosts.value == 1
    assert outliers.enforcing_failure_percentage.value == 80
    assert outliers.max_ejection_percent.value == 10
    (what,) = [problem.message for problem in made.problems]
    assert "cannot count failures in a row; they eject an instance all of whose calls in an interval failed, 7" in what
    envoy = cluster(made, "web", kind=NodeKind.ENVOY).outlier_detection
    assert (envoy.consecutive_5xx.value, envoy.enforcing_consecutive_5xx.value) == (7, 80)
    assert not envoy.HasField("failure_percentage_threshold")


def test_the_policy_document_of_the_called_service_wins() -> None:
    rules = entry(Defaults={"Limits": {"MaxConcurrentRequests": 5}, "PassiveHealthCheck": PASSIVE})
    made = snapshot(rules, user={"max_concurrent_requests": 100})
    message = cluster(made, "web")
    assert limits(message) == (0, 0, 100)
    assert message.outlier_detection.failure_percentage_request_volume.value == 7
    made = snapshot(rules, user={"outlier_detection": {"request_volume": 50}})
    message = cluster(made, "web")
    assert limits(message) == (0, 0, 5)
    assert message.outlier_detection.failure_percentage_request_volume.value == 50


def test_callers_without_rules_share_their_clusters_and_what_did_not_change_is_kept() -> None:
    rules = entry(Overrides=[{"Name": "user", "Limits": {"MaxConcurrentRequests": 5}}])
    translator = Translator()
    one = snapshot(rules, translator=translator)
    clusters = [one.view(NodeProfile(NodeKind.GRPC, caller=name))[ResourceType.CLUSTER] for name in ("web", "a", "b")]
    two = snapshot(rules, translator=translator)
    clusters += [two.view(NodeProfile(NodeKind.GRPC, caller=name))[ResourceType.CLUSTER] for name in ("web", "a", "b")]
    assert clusters[1] is clusters[2] is clusters[4] is clusters[5]
    assert clusters[0] is clusters[3]
    assert clusters[0]["order.default.dc1"] is clusters[1]["order.default.dc1"]
    other = entry(Overrides=[{"Name": "user", "Limits": {"MaxConcurrentRequests": 6}}])
    changed = snapshot(other, translator=translator)
    assert changed.version != two.version == one.version
    assert limits(cluster(changed, "web")) == (0, 0, 6)
    assert snapshot(translator=translator).version == snapshot().version


def test_a_service_elsewhere_and_nonsense_are_left_out_aloud() -> None:
    found = upstream_config.read(
        [
            entry(Overrides=[{"Name": "user", "Peer": "p", "Limits": {"MaxConcurrentRequests": 5}}]),
            entry("odd", Defaults={"Limits": {"MaxConcurrentRequests": "many"}}),
            entry("none"),
            {"Kind": "service-defaults", "Name": "plain"},
        ]
    )
    assert found[WEB] == CallerRules(
        problems=("UpstreamConfig.Overrides[user] is about a service elsewhere; it is ignored",)
    )
    assert "UpstreamConfig cannot be read" in found[ServiceName("odd")].problems[0]
    assert found.keys() == {WEB, ServiceName("odd")}
