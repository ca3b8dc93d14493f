from __future__ import annotations

import pytest

from meshwright.client.bootstrap import document, server_uris
from meshwright.config import ServiceConfig, load_config
from meshwright.model import Address, InstanceId
from meshwright.telemetry import Identity

IDENTITY = Identity("user", "1.2.3", InstanceId("user-1"))


def test_the_document_names_the_node_and_its_control_planes_in_order() -> None:
    planes = (Address("127.0.0.1", 18000), Address("::1", 18010))
    config = load_config(ServiceConfig, {}, service="user", control_planes=planes, region="north", zone="a")
    made = document(config, IDENTITY, 1234)
    assert [server["server_uri"] for server in made["xds_servers"]] == ["127.0.0.1:18000", "[::1]:18010"]
    assert all("ignore_resource_deletion" in server["server_features"] for server in made["xds_servers"])
    assert made["node"] == {
        "id": "user-1",
        "cluster": "user",
        "locality": {"region": "north", "zone": "a"},
        "metadata": {"meshwright.version": "1.2.3", "meshwright.timeout_skew_ms": 1234},
    }


def test_a_skew_that_is_not_known_is_not_sent() -> None:
    made = document(load_config(ServiceConfig, {}, service="user"), IDENTITY, None)
    assert "meshwright.timeout_skew_ms" not in made["node"]["metadata"]


def test_instance_ids_differ_even_within_a_process() -> None:
    config = load_config(ServiceConfig, {}, service="user")
    assert Identity.of(config).instance != Identity.of(config).instance
    assert Identity.of(config).instance.startswith("user-")


@pytest.mark.parametrize(
    ("addresses", "uris"),
    [
        (["127.0.0.1:18000"], ["127.0.0.1:18000"]),
        (["10.0.0.1:1", "10.0.0.2:2"], ["ipv4:10.0.0.1:1,10.0.0.2:2"]),
        (["[::1]:1", "[::2]:2"], ["ipv6:[::1]:1,[::2]:2"]),
        (["controlplane:1"], ["controlplane:1"]),
        (["a:1", "10.0.0.2:2"], ["a:1", "10.0.0.2:2"]),
    ],
)
def test_control_planes_with_ip_addresses_are_one_server_that_grpc_leaves_when_it_dies(
    addresses: list[str], uris: list[str]
) -> None:
    assert server_uris([Address.parse(address) for address in addresses]) == uris
