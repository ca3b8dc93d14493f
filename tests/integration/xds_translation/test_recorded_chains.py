"""The chains that the tests of translation use are those that Consul compiles, real or dev."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from meshwright.controlplane.translation.chain import parse_chain
from support.consul.chains import USER, compiled, names, newer, recorded
from support.consul.servers import find_consul, real_consul

if TYPE_CHECKING:
    from pathlib import Path

    from support.consul.servers import ConsulServer


ENTERPRISE = frozenset({"failover_policy", "locality", "partition"})
"""Scenarios that only the enterprise edition accepts."""
OLDEST = (1, 16)
"""The first Consul that knows all of it."""

NEWER: dict[str, list[dict[str, Any]]] = {
    "router": [
        {"Kind": "service-defaults", "Name": "user", "Protocol": "grpc"},
        {
            "Kind": "service-resolver",
            "Name": "user",
            "Subsets": {
                "v1": {"Filter": "Service.Meta.version == v1"},
                "v2": {"Filter": "Service.Meta.version == v2", "OnlyPassing": True},
            },
            "DefaultSubset": "v1",
            "RequestTimeout": "7s",
        },
        {
            "Kind": "service-router",
            "Name": "user",
            "Routes": [
                {
                    "Match": {"HTTP": {"PathPrefix": "/Demo.User", "CaseInsensitive": True}},
                    "Destination": {
                        "ServiceSubset": "v2",
                        "RetryOn": ["cancelled", "resource-exhausted"],
                        "NumRetries": 2,
                    },
                },
                {
                    "Match": {"HTTP": {"PathExact": "/demo.user.v1.UserService/GetUser"}},
                    "Destination": {
                        "RetryOn": ["5xx", "retriable-4xx", "reset"],
                        "RequestTimeout": "-1s",
                        "IdleTimeout": "30s",
                    },
                },
                {
                    "Match": {"HTTP": {"Header": [{"Name": "x-try", "Exact": "on"}]}},
                    "Destination": {"RetryOn": ["retriable-4xx", "envoy-ratelimited"], "RetryOnConnectFailure": False},
                },
                {
                    "Match": {"HTTP": {"Header": [{"Name": "x-plain", "Present": True}]}},
                    "Destination": {
                        "RetryOn": ["refused-stream", "unavailable"],
                        "RetryOnConnectFailure": True,
                        "RetryOnStatusCodes": [504],
                        "RequestHeaders": {"Add": {"x-a": "1"}, "Set": {"x-b": "2"}, "Remove": ["x-c"]},
                        "ResponseHeaders": {"Set": {"x-d": "3"}},
                    },
                },
            ],
        },
    ],
    "split": [
        {"Kind": "service-defaults", "Name": "user", "Protocol": "grpc"},
        {
            "Kind": "service-resolver",
            "Name": "user",
            "Subsets": {
                "v1": {"Filter": "Service.Meta.version == v1"},
                "v2": {"Filter": "Service.Meta.version == v2", "OnlyPassing": True},
            },
            "LoadBalancer": {
                "Policy": "ring_hash",
                "RingHashConfig": {"MinimumRingSize": 128, "MaximumRingSize": 512},
                "HashPolicies": [
                    {"Field": "header", "FieldValue": "x-user-id", "Terminal": True},
                    {"Field": "cookie", "FieldValue": "session", "CookieConfig": {"Session": True}},
                    {"Field": "header", "FieldValue": "X-Tenant"},
                    {"SourceIP": True},
                ],
            },
        },
        {
            "Kind": "service-splitter",
            "Name": "user",
            "Splits": [
                {"Weight": 90, "ServiceSubset": "v1", "RequestHeaders": {"Set": {"x-branch": "v1"}}},
                {"Weight": 10, "ServiceSubset": "v2", "ResponseHeaders": {"Remove": ["server"]}},
            ],
        },
    ],
    "least_request": [
        {"Kind": "service-defaults", "Name": "user", "Protocol": "grpc"},
        {
            "Kind": "service-resolver",
            "Name": "user",
            "RequestTimeout": "3s",
            "LoadBalancer": {"Policy": "least_request", "LeastRequestConfig": {"ChoiceCount": 3}},
        },
    ],
    "maglev": [
        {"Kind": "service-defaults", "Name": "user", "Protocol": "grpc"},
        {
            "Kind": "service-resolver",
            "Name": "user",
            "RequestTimeout": "3s",
            "LoadBalancer": {"Policy": "maglev", "HashPolicies": [{"Field": "header", "FieldValue": "x-user-id"}]},
        },
    ],
    "random": [
        {"Kind": "service-defaults", "Name": "user", "Protocol": "grpc"},
        {"Kind": "service-resolver", "Name": "user", "RequestTimeout": "3s", "LoadBalancer": {"Policy": "random"}},
    ],
    "round_robin": [
        {"Kind": "service-defaults", "Name": "user", "Protocol": "grpc"},
        {"Kind": "service-resolver", "Name": "user", "RequestTimeout": "3s", "LoadBalancer": {"Policy": "round_robin"}},
    ],
    "cookie_hash": [
        {"Kind": "service-defaults", "Name": "user", "Protocol": "grpc"},
        {
            "Kind": "service-resolver",
            "Name": "user",
            "RequestTimeout": "2s",
            "LoadBalancer": {
                "Policy": "ring_hash",
                "HashPolicies": [
                    {"Field": "cookie", "FieldValue": "session", "CookieConfig": {"TTL": "1h", "Path": "/"}}
                ],
            },
        },
    ],
    "failover": [
        {"Kind": "service-defaults", "Name": "user", "Protocol": "grpc"},
        {"Kind": "service-defaults", "Name": "reserve", "Protocol": "grpc"},
        {
            "Kind": "service-resolver",
            "Name": "user",
            "Subsets": {
                "v1": {"Filter": "Service.Meta.version == v1"},
                "v2": {"Filter": "Service.Meta.version == v2", "OnlyPassing": True},
            },
            "DefaultSubset": "v1",
            "Failover": {
                "*": {
                    "Targets": [
                        {"Peer": "cluster-02"},
                        {"Service": "reserve"},
                        {"Datacenter": "dc2"},
                        {"ServiceSubset": "v2"},
                    ]
                }
            },
        },
    ],
    "failover_peer_only": [
        {"Kind": "service-defaults", "Name": "user", "Protocol": "grpc"},
        {"Kind": "service-resolver", "Name": "user", "Failover": {"*": {"Targets": [{"Peer": "cluster-02"}]}}},
    ],
    "redirect_peer": [
        {"Kind": "service-defaults", "Name": "user", "Protocol": "grpc"},
        {"Kind": "service-defaults", "Name": "accounts", "Protocol": "grpc"},
        {"Kind": "service-resolver", "Name": "user", "Redirect": {"Service": "accounts", "Peer": "cluster-02"}},
    ],
    "locality": [
        {"Kind": "service-defaults", "Name": "user", "Protocol": "grpc"},
        {"Kind": "service-resolver", "Name": "user", "PrioritizeByLocality": {"Mode": "failover"}},
    ],
    "failover_policy": [
        {"Kind": "service-defaults", "Name": "user", "Protocol": "grpc"},
        {"Kind": "service-defaults", "Name": "reserve", "Protocol": "grpc"},
        {
            "Kind": "service-resolver",
            "Name": "user",
            "Failover": {"*": {"Service": "reserve", "Policy": {"Mode": "order-by-locality", "Regions": ["eu"]}}},
        },
    ],
    "partition": [
        {"Kind": "service-defaults", "Name": "user", "Protocol": "grpc"},
        {"Kind": "service-resolver", "Name": "user", "Failover": {"*": {"Targets": [{"Partition": "other"}]}}},
    ],
    "extensions": [
        {
            "Kind": "service-defaults",
            "Name": "user",
            "Protocol": "grpc",
            "EnvoyExtensions": [
                {
                    "Name": "builtin/lua",
                    "Arguments": {"ProxyType": "connect-proxy", "Listener": "inbound", "Script": "x"},
                }
            ],
        }
    ],
}


def version_of_consul() -> tuple[int, int]:
    """Major and minor version of the real Consul here; (0, 0) without one."""
    binary = find_consul()
    if binary is None or not shutil.which(binary):
        return (0, 0)
    said = subprocess.run([binary, "version"], capture_output=True, text=True, check=True, timeout=30).stdout
    major, minor, *_ = said.split()[1].removeprefix("v").split(".")
    return int(major), int(minor)


async def test_consul_compiles_what_was_recorded(any_consul: ConsulServer) -> None:
    if any_consul.name == "real" and version_of_consul() >= (1, 9):
        pytest.skip("the chains were recorded from Consul 1.8; newer ones call targets and nodes otherwise")
    found = dict(await asyncio.to_thread(lambda: list(compiled(str(any_consul.address)))))
    assert sorted(found) == names()
    for name, chain in found.items():
        assert parse_chain(USER, chain) == parse_chain(USER, recorded(name)), name
        assert nodes(chain) == nodes(recorded(name)), name


async def test_a_newer_consul_compiles_what_was_recorded(tmp_path: Path) -> None:
    if version_of_consul() < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        pytest.skip(f"the chains of newer Consuls need Consul {oldest} or newer on PATH")
    scenarios = {name: entries for name, entries in NEWER.items() if name not in ENTERPRISE}
    async with real_consul(tmp_path) as server:
        found = dict(await asyncio.to_thread(lambda: list(compiled(str(server.address), scenarios))))
    for name, chain in found.items():
        assert parse_chain(USER, chain) == parse_chain(USER, newer(name)), name
        assert nodes(chain) == nodes(newer(name)), name


def nodes(chain: dict[str, Any]) -> Any:
    """The graph; the targets' SNI holds the trust domain, which every Consul makes up anew."""
    return chain["StartNode"], chain["Protocol"], chain["Nodes"]
