"""coturn in the chart: off by default, with the configuration that a real one is tested with, and a shared secret."""

from __future__ import annotations

import base64
import ipaddress
from typing import TYPE_CHECKING, Any

import pytest

from support.kubernetes.chart import CHART, manifests, template
from support.servers.coturn import CONFIGURATION

if TYPE_CHECKING:
    from pathlib import Path

TURN = {"enabled": True, "host": "turn.example.org", "externalIp": "192.0.2.7"}
NAME = "meshwright-coturn"
BASIS: dict[str, Any] = {"database": {"password": "p"}, "demo": {"operatorPassword": "not-a-secret"}}


def of(found: list[dict[str, Any]], kind: str, name: str = NAME) -> list[dict[str, Any]]:
    return [each for each in found if each["kind"] == kind and each["metadata"]["name"] == name]


def container(found: list[dict[str, Any]], name: str) -> dict[str, Any]:
    (workload,) = of(found, "Deployment", f"meshwright-{name}")
    return workload["spec"]["template"]["spec"]["containers"][0]


def variables(found: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container(found, name)["env"]}


def test_without_turn_nothing_of_it_is_installed(tmp_path: Path) -> None:
    found = manifests(BASIS, tmp_path)
    assert [each for each in found if "coturn" in each["metadata"]["name"]] == []
    assert variables(found, "gateway")["GATEWAY_TURN_URLS"] == ""
    assert "GATEWAY_TURN_SECRET" not in variables(found, "gateway")


def test_turn_needs_the_host_at_which_clients_reach_it(tmp_path: Path) -> None:
    done = template({"turn": {"enabled": True}}, tmp_path)
    assert done.returncode != 0
    assert "turn" in done.stderr


def test_gateway_and_coturn_share_one_secret(tmp_path: Path) -> None:
    found = manifests({**BASIS, "turn": {**TURN, "secret": "shared"}}, tmp_path)
    (secret,) = of(found, "Secret")
    assert base64.b64decode(secret["data"]["secret"]) == b"shared"
    reference = {"secretKeyRef": {"name": NAME, "key": "secret"}}
    assert variables(found, "coturn")["TURN_SECRET"] == reference
    gateway = variables(found, "gateway")
    assert gateway["GATEWAY_TURN_SECRET"] == reference
    assert gateway["GATEWAY_TURN_URLS"] == "turn:turn.example.org:30478?transport=udp"
    assert gateway["GATEWAY_STUN_URLS"] == "stun:turn.example.org:30478"
    assert "--static-auth-secret=$(TURN_SECRET)" in container(found, "coturn")["args"]
    assert not any("shared" in argument for argument in container(found, "coturn")["args"])

    given = manifests({**BASIS, "turn": {**TURN, "existingSecret": "mine", "secretKey": "key"}}, tmp_path)
    assert of(given, "Secret") == []
    for name, variable in (("coturn", "TURN_SECRET"), ("gateway", "GATEWAY_TURN_SECRET")):
        assert variables(given, name)[variable] == {"secretKeyRef": {"name": "mine", "key": "key"}}

    made_up = manifests({**BASIS, "turn": TURN}, tmp_path)
    assert of(made_up, "Secret") == []
    (job,) = [each for each in made_up if each["kind"] == "Job" and "setup" in each["metadata"]["name"]]
    assert NAME in str(job)


def test_it_runs_by_the_configuration_that_is_tested(tmp_path: Path) -> None:
    found = manifests({**BASIS, "turn": {**TURN, "secret": "shared"}}, tmp_path)
    (config,) = of(found, "ConfigMap")
    assert config["data"]["turnserver.conf"].strip() == CONFIGURATION.read_text("utf-8").strip()
    assert CONFIGURATION.is_relative_to(CHART)
    lines = config["data"]["turnserver.conf"].splitlines()
    assert {"use-auth-secret", "no-cli", "no-tcp-relay", "no-multicast-peers"} <= set(lines)
    arguments = container(found, "coturn")["args"]
    assert arguments[:2] == ["-c", "/config/turnserver.conf"]
    assert "--external-ip=192.0.2.7/$(POD_IP)" in arguments
    assert not [argument for argument in arguments if argument.startswith(("--allow", "--no-auth", "--lt-cred"))]


@pytest.mark.parametrize(
    "network",
    [
        *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10"),
        *("fe80::/10", "fc00::/7", "::1/128", "::ffff:0:0/96", "0.0.0.0/8", "224.0.0.0/4"),
    ],
)
def test_peers_in_the_cluster_and_on_the_machine_are_denied(network: str) -> None:
    denied = []
    for line in CONFIGURATION.read_text("utf-8").splitlines():
        if line.startswith("denied-peer-ip="):
            first, _, last = line.partition("=")[2].partition("-")
            denied += ipaddress.summarize_address_range(
                ipaddress.ip_address(first), ipaddress.ip_address(last or first)
            )
    wanted = ipaddress.ip_network(network)
    assert any(wanted.version == each.version and wanted.subnet_of(each) for each in denied)


def test_relays_have_one_number_everywhere_and_the_policy_lets_no_relay_into_the_cluster(tmp_path: Path) -> None:
    found = manifests({**BASIS, "turn": {**TURN, "secret": "shared"}}, tmp_path)
    ports = {each["name"]: each for each in container(found, "coturn")["ports"]}
    (service,) = of(found, "Service")
    relays = [each for each in service["spec"]["ports"] if each["name"].startswith("relay-")]
    numbers = [each["nodePort"] for each in relays]
    assert numbers == list(range(30480, 30490))
    assert {f"--min-port={min(numbers)}", f"--max-port={max(numbers)}"} <= set(container(found, "coturn")["args"])
    for each in relays:
        assert each["port"] == each["nodePort"] == ports[each["name"]]["containerPort"]
    assert {each["protocol"] for each in [*service["spec"]["ports"], *ports.values()]} == {"UDP"}
    assert {each["nodePort"] for each in service["spec"]["ports"]} - set(numbers) == {30478}

    (policy,) = of(found, "NetworkPolicy")
    (ingress,) = policy["spec"]["ingress"]
    assert "from" not in ingress
    assert {each["protocol"] for each in ingress["ports"]} == {"UDP"}
    blocks = [each["ipBlock"] for rule in policy["spec"]["egress"] for each in rule.get("to", ()) if "ipBlock" in each]
    (block,) = blocks
    assert {"10.0.0.0/8", "169.254.0.0/16", "192.168.0.0/16"} <= set(block["except"])
