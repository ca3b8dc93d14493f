"""The rendered network policies, evaluated for every pair of pods and each port: what must pass passes, and no more."""

from __future__ import annotations

import ipaddress
import itertools
from dataclasses import dataclass, field
from typing import Any

import pytest

from support.kubernetes.chart import CHART, helm, parsed

Policy = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """A pod, or an address outside of the cluster (no namespace)."""

    labels: dict[str, str] = field(default_factory=dict)
    namespace: str = ""
    address: str = "10.0.0.1"


@dataclass(frozen=True)
class Socket:
    """Where a connection goes at its target."""

    port: int
    protocol: str = "TCP"


def allows(policies: list[Policy], source: Place, target: Place, port: int, protocol: str = "TCP") -> bool:
    """Whether a connection from `source` to `port` of `target` is let through at both ends."""
    socket = Socket(port, protocol)
    return _passes(policies, source, target, socket, "Egress") and _passes(policies, target, source, socket, "Ingress")


def _passes(policies: list[Policy], pod: Place, other: Place, socket: Socket, direction: str) -> bool:
    if not pod.namespace:
        return True
    mine = [
        each
        for each in policies
        if each["metadata"].get("namespace", pod.namespace) == pod.namespace
        and direction in each["spec"]["policyTypes"]
        and _selects(each["spec"]["podSelector"], pod.labels)
    ]
    rules = [rule for each in mine for rule in each["spec"].get(direction.lower()) or ()]
    peers = "to" if direction == "Egress" else "from"
    return not mine or any(
        _has_port(rule.get("ports"), socket) and _has_peer(rule.get(peers), pod, other) for rule in rules
    )


def _has_port(ports: list[dict[str, Any]] | None, socket: Socket) -> bool:
    if not ports:
        return True
    assert all(isinstance(each["port"], int) for each in ports), "names of ports are not evaluated"
    return any((each["port"], each.get("protocol", "TCP")) == (socket.port, socket.protocol) for each in ports)


def _has_peer(peers: list[dict[str, Any]] | None, pod: Place, other: Place) -> bool:
    return not peers or any(_is_peer(each, pod, other) for each in peers)


def _is_peer(peer: dict[str, Any], pod: Place, other: Place) -> bool:
    if block := peer.get("ipBlock"):
        address = ipaddress.ip_address(other.address)
        inside = address in ipaddress.ip_network(block["cidr"])
        return inside and not any(address in ipaddress.ip_network(each) for each in block.get("except", ()))
    if not other.namespace:
        return False
    if "namespaceSelector" in peer:
        if not _selects(peer["namespaceSelector"], {"kubernetes.io/metadata.name": other.namespace}):
            return False
    elif other.namespace != pod.namespace:
        return False
    return _selects(peer.get("podSelector") or {}, other.labels)


def _selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    return (selector.get("matchLabels") or {}).items() <= labels.items() and all(
        _meets(each, labels) for each in selector.get("matchExpressions") or ()
    )


def _meets(expression: dict[str, Any], labels: dict[str, str]) -> bool:
    found = labels.get(expression["key"])
    values = expression.get("values") or ()
    return {
        "In": found in values,
        "NotIn": found not in values,
        "Exists": found is not None,
        "DoesNotExist": found is None,
    }[expression["operator"]]


Document = dict[str, Any]
NAMESPACE = "mesh"
SERVICES = ("calculator", "user", "inventory", "payment", "order", "userview", "notification", "chat")
MESH = (*SERVICES, "gateway")
DATABASE = ("user", "inventory", "payment", "order", "userview", "gateway")
NATS = (*(name for name in MESH if name != "calculator"),)
OURS = (*MESH, "controlplane", "operator")
SETTINGS = ("consul.client=true", "prometheus.enabled=true")
"""Everything that the chart can install."""
ALL = 1, 65535
INTERNET = Place(address="198.51.100.7")
STRAY = Place({"app": "stray"}, NAMESPACE)
STRANGER = Place({"app.kubernetes.io/name": "stranger"}, NAMESPACE)
ELSEWHERE = Place({"app": "stray"}, "elsewhere")
MEMBER = Place({"app": "billing", "meshwright.dev/rollout": "billing"}, NAMESPACE)


def expected() -> set[tuple[str, str, int, str]]:
    """(from, to, port, protocol) of each conversation in a release: this list is made by hand, from the code."""
    found = {(name, "controlplane", 18000) for name in MESH}
    for agent in ("consul", "consul-client"):
        found |= {(name, agent, 8500) for name in (*OURS, "prometheus", "test")}
        found |= {(agent, name, 20000) for name in MESH}  # health checks
        found |= {(agent, other, 8301) for other in ("consul", "consul-client")}
        found |= {(agent, "consul", 8300)}
    found |= {(name, "jaeger", port) for name in OURS for port in (4317, 4318)}
    found |= {(name, "postgresql", 5432) for name in DATABASE}
    found |= {(name, "nats", 4222) for name in (*NATS, "test")} | {("nats", "nats", 6222)}
    found |= {("gateway", name, 20000) for name in SERVICES}
    found |= {("user", "calculator", 20000), ("order", "inventory", 20000), ("order", "payment", 20000)}
    found |= {(name, each, 20001) for name in ("operator", "prometheus", "test") for each in MESH}
    found |= {("operator", "jaeger", 16686), ("test", "jaeger", 16686)}
    for name in ("prometheus", "test"):
        found |= {(name, "controlplane", 18001), (name, "operator", 18002)}
    found |= {("test", "prometheus", 9090)}
    # The gateway is open to every pod whose own policy lets out to it: keys of tokens.
    found |= {(name, "gateway", 8080) for name in (*MESH, "test")}
    gossip = {(*each, "UDP") for each in found if each[2] == 8301}
    return {(*each, "TCP") for each in found} | gossip


def rendered(*settings: str) -> list[Document]:
    sets = [part for setting in settings for part in ("--set", setting)]
    done = helm("template", "mw", CHART, "--namespace", NAMESPACE, "--kube-version", "1.34.0", *sets)
    assert done.returncode == 0, done.stderr
    return parsed(done.stdout)


def policies(documents: list[Document]) -> list[Document]:
    return [each for each in documents if each["kind"] == "NetworkPolicy"]


def pods(documents: list[Document]) -> dict[str, tuple[Place, set[int]]]:
    """The pods of the release, and the ports of each; not the one of `helm test` that tries as a stranger."""
    found: dict[str, tuple[Place, set[int]]] = {}
    for each in documents:
        pod = each if each["kind"] == "Pod" else (each.get("spec") or {}).get("template")
        if not pod or "spec" not in pod:
            continue
        labels = pod["metadata"]["labels"]
        if labels["app.kubernetes.io/name"] == "stranger":
            continue
        ports = {port["containerPort"] for one in pod["spec"]["containers"] for port in one.get("ports") or ()}
        found[labels["app.kubernetes.io/name"]] = Place(labels, NAMESPACE), ports
    return found


def test_every_conversation_passes_and_no_other_between_any_two_pods() -> None:
    documents = rendered(*SETTINGS)
    rules, places = policies(documents), pods(documents)
    assert {*OURS, "consul", "consul-client", "jaeger", "nats", "postgresql", "prometheus", "setup", "test"} <= set(
        places
    )
    every = {port for _, ports in places.values() for port in ports} | {80, 443}
    passing = {
        (source, target, port, protocol)
        for (source, (one, _)), (target, (other, _)) in itertools.product(places.items(), places.items())
        for port in every
        for protocol in ("TCP", "UDP")
        if allows(rules, one, other, port, protocol)
    }
    reached_anyway = {  # rules to any address at all: DNS and the API server's ports, which no pod here has
        each for each in passing if each[2] in (443, 6443, 53)
    }
    assert reached_anyway == set(), "an ingress policy of each pod refuses them"
    assert sorted(expected() - passing) == []
    assert sorted(passing - expected()) == []


@pytest.mark.parametrize("source", [STRAY, STRANGER, ELSEWHERE, INTERNET])
def test_who_is_not_of_the_release_reaches_the_gateway_alone(source: Place) -> None:
    documents = rendered(*SETTINGS)
    reached = {
        (name, port)
        for name, (place, ports) in pods(documents).items()
        for port in ports
        if allows(policies(documents), source, place, port)
    }
    assert reached == {("gateway", 8080)}


def test_no_pod_gets_out_but_for_dns_and_the_operator_and_jobs_to_the_api_server() -> None:
    documents = rendered(*SETTINGS)
    out = {
        (name, port, protocol)
        for name, (place, _) in pods(documents).items()
        for port in (53, 80, 443, 5432, 6443, 8080)
        for protocol in ("TCP", "UDP")
        if allows(policies(documents), place, INTERNET, port, protocol)
    }
    dns = {(name, 53, protocol) for name in pods(documents) for protocol in ("TCP", "UDP")}
    api = {(name, port, "TCP") for name in pods(documents).keys() & TALKERS for port in (443, 6443)}
    assert out == dns | api


TALKERS = {"operator", "setup", "remove-finalizers", "test"}


def test_a_rollouts_pod_has_the_policy_of_the_deployment_that_it_is_of() -> None:
    documents = rendered()
    rules, places = policies(documents), pods(documents)
    version = Place(
        {**places["user"][0].labels, "meshwright.dev/rollout": "user", "meshwright.dev/version": "2"}, NAMESPACE
    )
    assert allows(rules, version, places["postgresql"][0], 5432)
    assert allows(rules, places["gateway"][0], version, 20000)
    assert allows(rules, places["consul"][0], version, 20000)
    assert allows(rules, places["operator"][0], version, 20001)
    assert not allows(rules, version, INTERNET, 443)
    assert not allows(rules, STRAY, version, 20000)


def test_a_service_under_a_rollout_that_is_not_the_charts_is_a_member_of_the_mesh() -> None:
    documents = rendered()
    rules, places = policies(documents), pods(documents)
    for name, port in (("controlplane", 18000), ("consul", 8500), ("jaeger", 4317), ("user", 20000), ("gateway", 8080)):
        assert allows(rules, MEMBER, places[name][0], port), name
    for name in ("consul", "operator", "gateway"):
        assert allows(rules, places[name][0], MEMBER, 31337), name
    for name, port in (("postgresql", 5432), ("nats", 4222), ("controlplane", 18001)):
        assert not allows(rules, MEMBER, places[name][0], port), name


def test_members_of_other_namespaces_are_those_that_the_operator_looks_after_and_the_values_name() -> None:
    far = Place(MEMBER.labels, "shop")
    own = Place({"team": "b"}, "b")
    for settings, members in (
        ((), ()),
        (("operator.namespaces={shop}",), (far,)),
        (("networkPolicy.members[0].namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name=b",), (own,)),
    ):
        documents = rendered(*settings)
        control = pods(documents)["controlplane"][0]
        assert tuple(each for each in (far, own) if allows(policies(documents), each, control, 18000)) == members


def test_external_parts_are_reached_at_their_ports_or_where_the_values_say() -> None:
    settings = (
        "consul.external=consul.infra:8501",
        "jaeger.external=http://collector:4319",
        "nats.external=nats://a:4333",
        "database.mode=external",
        "database.url=postgresql://u:p@db:6000/demo",
        "demo.social.issuer=https://login.example",
        "demo.social.clientId=me",
    )
    documents = rendered(*settings)
    rules, places = policies(documents), pods(documents)
    out = {
        (name, port)
        for name in ("calculator", "user", "gateway", "operator")
        for port in (8500, 8501, 4317, 4319, 4222, 4333, 5432, 6000, 443)
        if allows(rules, places[name][0], INTERNET, port)
    }
    common = {8501, 4319}
    wanted = {"calculator": common, "user": common | {4333, 6000}, "gateway": common | {4333, 6000, 443}}
    wanted["operator"] = common | {443}
    assert out == {(name, port) for name, ports in wanted.items() for port in ports}
    assert allows(rules, INTERNET, places["user"][0], 20000), "Consul's health check comes from outside"
    assert not allows(rules, INTERNET, places["user"][0], 20001)
    narrowed = rendered(*settings, "networkPolicy.external.consul.peers[0].ipBlock.cidr=192.0.2.0/24")
    user = pods(narrowed)["user"][0]
    for address, passes in (("192.0.2.9", True), ("198.51.100.7", False)):
        outside = Place(address=address)
        assert allows(policies(narrowed), user, outside, 8501) is passes
        assert allows(policies(narrowed), outside, user, 20000) is passes


@pytest.mark.parametrize(
    ("setting", "name", "port", "passes"),
    [
        ("networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name=elsewhere", *each)
        for each in (
            ("user", 20001, True),
            ("controlplane", 18001, True),
            ("operator", 18002, True),
            ("user", 20000, False),
        )
    ]
    + [
        ("networkPolicy.allow[0].namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name=elsewhere", *each)
        for each in (("user", 20000, True), ("postgresql", 5432, True))
    ],
)
def test_a_namespace_that_the_values_name_gets_in(setting: str, name: str, port: int, passes: bool) -> None:
    documents = rendered(setting)
    assert allows(policies(documents), ELSEWHERE, pods(documents)[name][0], port) is passes
    assert not allows(policies(rendered()), ELSEWHERE, pods(documents)[name][0], port)


def test_monitors_let_any_prometheus_of_the_cluster_in_at_the_ports_of_metrics_unless_one_is_named() -> None:
    named = "networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name=watching"
    for settings, passes in (((), True), ((named,), False)):
        documents = rendered("monitoring.scrape.enabled=true", *settings)
        rules, places = policies(documents), pods(documents)
        for name, port in (("user", 20001), ("controlplane", 18001), ("operator", 18002)):
            assert allows(rules, ELSEWHERE, places[name][0], port) is passes, name
        assert not allows(rules, ELSEWHERE, places["user"][0], 20000)
        assert not allows(rules, INTERNET, places["user"][0], 20001)


def test_rules_of_ones_own_are_added() -> None:
    documents = rendered(
        "networkPolicy.extra.gateway.egress[0].ports[0].port=8443",
        "networkPolicy.extra.nats.ingress[0].ports[0].port=8222",
    )
    rules, places = policies(documents), pods(documents)
    assert allows(rules, places["gateway"][0], INTERNET, 8443)
    assert not allows(rules, places["user"][0], INTERNET, 8443)
    assert allows(rules, STRAY, places["nats"][0], 8222)


def test_without_policies_there_are_none() -> None:
    assert policies(rendered("networkPolicy.enabled=false")) == []
