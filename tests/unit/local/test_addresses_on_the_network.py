"""Which addresses `up --host` shows to a classroom."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import pytest

from meshwright.errors import ValidationError
from meshwright.local.planner import network_addresses

INTERFACES = {
    "lo": ["127.0.0.1", "::1"],
    "docker0": ["172.17.0.1"],
    "wlan0": ["192.168.1.5", "fe80::5%wlan0", "2001:db8::5"],
    "eth0": ["10.0.0.5"],
    "down0": ["10.9.9.9"],
    "auto0": ["169.254.7.7"],
}


@pytest.fixture(autouse=True)
def _interfaces(monkeypatch: pytest.MonkeyPatch) -> None:
    def family(text: str) -> socket.AddressFamily:
        return socket.AF_INET6 if ":" in text else socket.AF_INET

    entries = {
        name: [SimpleNamespace(family=family(text), address=text) for text in texts]
        for name, texts in INTERFACES.items()
    }
    stats = {name: SimpleNamespace(isup=name != "down0") for name in INTERFACES}
    monkeypatch.setattr(network_addresses.psutil, "net_if_addrs", lambda: entries)
    monkeypatch.setattr(network_addresses.psutil, "net_if_stats", lambda: stats)
    monkeypatch.setattr(network_addresses, "_sources", lambda: ["192.168.1.5", "2001:db8::5"])


def test_the_network_of_the_default_route_comes_first_and_unreachable_addresses_are_left_out() -> None:
    assert network_addresses.reachable("0.0.0.0") == ("192.168.1.5", "172.17.0.1", "10.0.0.5")
    assert network_addresses.reachable("::") == ("192.168.1.5", "2001:db8::5", "172.17.0.1", "10.0.0.5")
    assert network_addresses.reachable("10.0.0.5") == ("10.0.0.5",)


def test_a_host_is_an_address_of_this_machine() -> None:
    assert network_addresses.check_host("[::]") == "::"
    assert network_addresses.check_host("10.0.0.5") == "10.0.0.5"
    assert network_addresses.check_host("127.0.0.1") == network_addresses.check_host("::1") == ""
    with pytest.raises(ValidationError, match="--host classroom: expected an IP address of this machine, such as 0"):
        network_addresses.check_host("classroom")
    with pytest.raises(
        ValidationError, match=r"--host 10\.0\.0\.6: no network interface has this address; there are 127"
    ):
        network_addresses.check_host("10.0.0.6")


def test_an_ipv6_address_has_brackets_in_a_url() -> None:
    assert (network_addresses.in_url("2001:db8::5"), network_addresses.in_url("10.0.0.5")) == (
        "[2001:db8::5]",
        "10.0.0.5",
    )
