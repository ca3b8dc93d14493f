"""Compiled discovery chains, as the real Consul 1.8.7 gave them.

`python -m support.consul.chains 127.0.0.1:8500` (from tests/) records them anew from a real, empty Consul.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from typing import TYPE_CHECKING, Any

from meshwright.controlplane.model.catalog import Target
from meshwright.model import ServiceName
from support.processes import TESTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


FOLDER = TESTS / "unit" / "controlplane" / "chains"

USER = ServiceName("user")
ALL = Target(USER)
V1 = Target(USER, "Service.Meta.version == v1")
V2 = Target(USER, "Service.Meta.version == v2", only_passing=True)


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def recorded(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def newer(name: str) -> dict[str, Any]:
    """A chain of `user` as the compiler of Consul 1.20.6 makes it, of the enterprise edition's entries too."""
    return json.loads((FOLDER / "newer" / f"{name}.json").read_text(encoding="utf-8"))


def all_newer() -> list[dict[str, Any]]:
    """Every such chain, each as that of a service of its own name."""
    chains = []
    for path in sorted((FOLDER / "newer").glob("*.json")):
        name = path.stem.replace("_", "-")
        text = path.read_text(encoding="utf-8").replace('"user', f'"{name}').replace(".user.", f".{name}.")
        chains.append(json.loads(text.replace(":user.", f":{name}.")))
    return chains


def chain_of(service: str) -> dict[str, Any]:
    """The chain of a service without config entries."""
    return json.loads((FOLDER / "plain.json").read_text(encoding="utf-8").replace("user", service))


def defaults(*names: str) -> list[dict[str, Any]]:
    return [{"Kind": "service-defaults", "Name": name, "Protocol": "grpc"} for name in names]


VERSIONS = {
    "Kind": "service-resolver",
    "Name": "user",
    "DefaultSubset": "v1",
    "Subsets": {
        "v1": {"Filter": "Service.Meta.version == v1"},
        "v2": {"Filter": "Service.Meta.version == v2", "OnlyPassing": True},
    },
}


def http(match: dict[str, Any], **destination: Any) -> dict[str, Any]:
    return {"Match": {"HTTP": match}, "Destination": destination}


SCENARIOS: dict[str, list[dict[str, Any]]] = {
    "plain": [],
    "grpc": defaults("user"),
    "default_subset": [*defaults("user"), VERSIONS],
    "split": [
        *defaults("user"),
        VERSIONS,
        {
            "Kind": "service-splitter",
            "Name": "user",
            "Splits": [{"Weight": 99.95, "ServiceSubset": "v1"}, {"Weight": 0.05, "ServiceSubset": "v2"}],
        },
    ],
    "nested_split": [
        *defaults("user", "user-next"),
        VERSIONS,
        {
            "Kind": "service-splitter",
            "Name": "user",
            "Splits": [{"Weight": 90, "ServiceSubset": "v1"}, {"Weight": 10, "Service": "user-next"}],
        },
        {
            "Kind": "service-splitter",
            "Name": "user-next",
            "Splits": [
                {"Weight": 75, "Service": "user", "ServiceSubset": "v2"},
                {"Weight": 25, "Service": "user-next"},
            ],
        },
    ],
    "zero_split": [
        *defaults("user"),
        VERSIONS,
        {
            "Kind": "service-splitter",
            "Name": "user",
            "Splits": [{"Weight": 100, "ServiceSubset": "v1"}, {"Weight": 0, "ServiceSubset": "v2"}],
        },
    ],
    "router": [
        *defaults("user", "calculator"),
        VERSIONS,
        {
            "Kind": "service-router",
            "Name": "user",
            "Routes": [
                http({"Header": [{"Name": "X-Version", "Exact": "v2"}]}, ServiceSubset="v2"),
                http({"PathExact": "/demo.user.v1.UserService/GetUser"}, RequestTimeout="1500ms", NumRetries=2),
                http({"PathPrefix": "/demo.calculator.v1."}, Service="calculator", RetryOnConnectFailure=True),
                http({"PathRegex": "/demo[.]user[.].*/List.*"}, ServiceSubset="v2", RetryOnStatusCodes=[503, 429, 418]),
                http(
                    {
                        "Header": [
                            {"Name": "a", "Present": True},
                            {"Name": "b", "Prefix": "p"},
                            {"Name": "c", "Suffix": "s"},
                            {"Name": "d", "Regex": "[0-9]+", "Invert": True},
                        ]
                    },
                    ServiceSubset="v2",
                ),
            ],
        },
    ],
    "router_beyond_grpc": [
        *defaults("user"),
        VERSIONS,
        {
            "Kind": "service-router",
            "Name": "user",
            "Routes": [
                http({"QueryParam": [{"Name": "debug", "Present": True}]}, ServiceSubset="v2"),
                http({"Methods": ["GET"]}, ServiceSubset="v2"),
                http({"Methods": ["POST", "PUT"], "Header": [{"Name": "x", "Exact": "1"}]}, ServiceSubset="v2"),
                http({"PathPrefix": "/old.UserService/"}, PrefixRewrite="/demo.user.v1.UserService/"),
                http({"PathExact": "/healthz"}, ServiceSubset="v2"),
            ],
        },
    ],
    "router_split": [
        *defaults("user"),
        VERSIONS,
        {
            "Kind": "service-splitter",
            "Name": "user",
            "Splits": [{"Weight": 90, "ServiceSubset": "v1"}, {"Weight": 10, "ServiceSubset": "v2"}],
        },
        {
            "Kind": "service-router",
            "Name": "user",
            "Routes": [
                http({"Header": [{"Name": "x-version", "Exact": "v2"}]}, ServiceSubset="v2", RequestTimeout="2s"),
                http({"PathPrefix": "/demo.user.v1.UserService/"}, RequestTimeout="250ms"),
            ],
        },
    ],
    "redirect": [
        *defaults("user", "accounts"),
        {"Kind": "service-resolver", "Name": "user", "Redirect": {"Service": "accounts"}},
    ],
    "failover": [
        *defaults("user", "user-reserve"),
        {
            **VERSIONS,
            "ConnectTimeout": "2s",
            "Failover": {"v2": {"ServiceSubset": "v1"}, "*": {"Service": "user-reserve"}},
        },
    ],
    "failover_datacenter": [
        *defaults("user"),
        {"Kind": "service-resolver", "Name": "user", "Failover": {"*": {"Datacenters": ["dc2"]}}},
    ],
}


def call(address: str, method: str, path: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(
        urllib.request.Request(f"http://{address}{path}", data=data, method=method), timeout=10
    ) as answer:
        return json.load(answer)


def compiled(
    address: str, scenarios: Mapping[str, list[dict[str, Any]]] = SCENARIOS
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each scenario's name and the chain that the Consul at this address makes of it."""
    for name, entries in scenarios.items():
        for entry in entries:
            call(address, "PUT", "/v1/config", entry)
        yield name, call(address, "GET", "/v1/discovery-chain/user")["Chain"]
        for entry in reversed(entries):
            call(address, "DELETE", f"/v1/config/{entry['Kind']}/{entry['Name']}")


def main(address: str) -> None:
    for name, chain in compiled(address):
        text = json.dumps(chain, indent=1, ensure_ascii=False)
        (FOLDER / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
