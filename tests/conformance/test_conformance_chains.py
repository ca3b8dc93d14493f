"""Discovery chains, compared whole: the same entries into both, the same document out of both."""

from __future__ import annotations

import itertools
import json
import re
import uuid
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.consul.servers import ConsulServer

_DOMAIN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.consul")
_fresh = itertools.count()


class Both:
    """The two Consuls, told the same and compared."""

    def __init__(self, dev: ConsulServer, real: ConsulServer) -> None:
        self._clients = [httpx.Client(base_url=f"http://{server.address}/v1/", timeout=20) for server in (dev, real)]

    def close(self) -> None:
        for client in self._clients:
            client.close()

    def write(self, entry: dict[str, Any]) -> bool:
        """Write an entry to both; whether both took it. They must agree on the status and on what was wrong."""
        dev, real = (client.put("config", json=entry) for client in self._clients)
        assert dev.status_code == real.status_code, (entry, dev.text, real.text)
        assert _essence(dev.text) == _essence(real.text), entry
        return dev.status_code == 200

    def delete(self, kind: str, name: str) -> bool:
        dev, real = (client.delete(f"config/{kind}/{name}") for client in self._clients)
        assert dev.status_code == real.status_code, (kind, name, dev.text, real.text)
        return dev.status_code == 200

    def chain(self, name: str, overrides: dict[str, Any] | None = None, query: str = "") -> dict[str, Any]:
        """The chain of a service, which must be the same in both."""
        path = f"discovery-chain/{name}{query}"
        dev, real = (
            client.get(path) if overrides is None else client.post(path, json=overrides) for client in self._clients
        )
        assert dev.status_code == real.status_code == 200, (dev.text, real.text)
        documents = [json.loads(_DOMAIN.sub("domain", answer.text)) for answer in (dev, real)]
        assert documents[0] == documents[1]
        found: dict[str, Any] = documents[0]["Chain"]
        return found


def _essence(text: str) -> str:
    """The kind of complaint: which of several true complaints comes first is left to chance by Consul."""
    for kind in ("inconsistent protocols", "does not have a subset", "circular", "does not permit advanced"):
        if kind in text:
            return "a chain would break"
    return "a failover is wrong" if text.startswith("Bad Failover") else text.strip()


@pytest.fixture
def both(dev_server: ConsulServer, real_server: ConsulServer) -> Iterator[Both]:
    """Both Consuls."""
    found = Both(dev_server, real_server)
    yield found
    found.close()


def prefix() -> str:
    return f"c{next(_fresh)}-{uuid.uuid4().hex[:6]}"


def test_a_service_without_config_entries_resolves_to_itself(both: Both) -> None:
    name = prefix()
    chain = both.chain(name)
    assert chain["StartNode"] == f"resolver:{name}.default.dc1"
    assert chain["Protocol"] == "tcp"


def test_everything_at_once(both: Both) -> None:
    a, b, c = (f"{prefix()}-{letter}" for letter in "abc")
    for name in (a, b, c):
        assert both.write({"Kind": "service-defaults", "Name": name, "Protocol": "grpc"})
    subsets = {"v1": {"Filter": "Service.Meta.version == v1"}, "v2": {"OnlyPassing": True}}
    failover = {"v1": {"ServiceSubset": "v2"}, "*": {"Service": c, "Datacenters": ["dc2", "dc1"]}}
    resolver = {"Subsets": subsets, "DefaultSubset": "v1", "Failover": failover, "ConnectTimeout": "250ms"}
    assert both.write({"Kind": "service-resolver", "Name": a, **resolver})
    splits = [
        {"Weight": 33.33, "ServiceSubset": "v1"},
        {"Weight": 33.33, "Service": b},
        {"Weight": 33.34, "Service": c},
    ]
    assert both.write({"Kind": "service-splitter", "Name": a, "Splits": splits})
    inner = [{"Weight": 0.5}, {"Weight": 99.5, "Service": c}]
    assert both.write({"Kind": "service-splitter", "Name": b, "Splits": inner})
    routes = [
        {"Match": {"HTTP": {"PathPrefix": "/x", "Methods": ["post"]}}, "Destination": {"Service": b, "NumRetries": 2}},
        {"Match": {"HTTP": {"Header": [{"Name": "h", "Regex": "."}]}}, "Destination": {"ServiceSubset": "v2"}},
    ]
    assert both.write({"Kind": "service-router", "Name": a, "Routes": routes})

    chain = both.chain(a)

    kinds = sorted(node["Type"] for node in chain["Nodes"].values())
    assert kinds.count("router") == 1
    assert kinds.count("splitter") == 2
    assert (
        len(
            next(node for node in chain["Nodes"].values() if node["Name"] == f"{a}.default" and "Splits" in node)[
                "Splits"
            ]
        )
        == 4
    )


def test_a_weight_of_nothing_is_left_out_of_the_chain(both: Both) -> None:
    a, b = (f"{prefix()}-{letter}" for letter in "ab")
    for name in (a, b):
        assert both.write({"Kind": "service-defaults", "Name": name, "Protocol": "grpc"})
    splits = [{"Weight": 0, "Service": b}, {"Weight": 100}]
    assert both.write({"Kind": "service-splitter", "Name": a, "Splits": splits})
    (splitter,) = (node for node in both.chain(a)["Nodes"].values() if node["Type"] == "splitter")
    assert [split.get("Weight") for split in splitter["Splits"]] == [None, 100]


@pytest.mark.parametrize(
    "overrides",
    [
        {},
        {"OverrideConnectTimeout": "7s"},
        {"OverrideConnectTimeout": "5s"},
        {"OverrideProtocol": "tcp"},
        {"OverrideProtocol": "grpc"},
        {"OverrideProtocol": "http"},
        {"OverrideMeshGateway": {"Mode": "remote"}},
        {"OverrideMeshGateway": {"Mode": "local"}, "OverrideConnectTimeout": "1m", "OverrideProtocol": "tcp"},
        {"Foo": 1},
    ],
)
def test_overrides_give_the_same_chain_and_the_same_hash(both: Both, overrides: dict[str, Any]) -> None:
    name = prefix()
    both.write({"Kind": "service-defaults", "Name": name, "Protocol": "http", "MeshGateway": {"Mode": "none"}})
    both.write({"Kind": "service-resolver", "Name": name, "Failover": {"*": {"Datacenters": ["dc2"]}}})
    both.write({"Kind": "service-splitter", "Name": name, "Splits": [{"Weight": 100}]})
    both.chain(name, overrides)


def test_a_chain_compiled_for_another_datacenter(both: Both) -> None:
    name = prefix()
    both.write({"Kind": "service-defaults", "Name": name, "Protocol": "http", "MeshGateway": {"Mode": "local"}})
    both.write({"Kind": "service-resolver", "Name": name, "Failover": {"*": {"Datacenters": ["dc1", "dc2"]}}})
    both.chain(name, query="?compile-dc=dc9")


NAMES = ("a", "b", "c")
SUBSETS = ("v1", "v2")
DATACENTERS = ("dc1", "dc2")

maybe = st.one_of
names = st.sampled_from(NAMES)
subset = st.sampled_from(("", *SUBSETS))
weights = st.lists(st.integers(1, 400), min_size=1, max_size=4)


def given_fields(**fields: Any) -> Any:
    """A dictionary that has each field or not."""
    return st.fixed_dictionaries({}, optional=fields)


defaults = st.fixed_dictionaries(
    {
        "Kind": st.just("service-defaults"),
        "Name": names,
        "Protocol": st.sampled_from(("http", "http", "http", "grpc", "tcp")),
    },
    optional={
        "MeshGateway": st.sampled_from(({"Mode": "local"}, {"Mode": "remote"}, {})),
        "ExternalSNI": st.just("x.y"),
    },
)
resolvers = st.fixed_dictionaries(
    {"Kind": st.just("service-resolver"), "Name": names},
    optional={
        "ConnectTimeout": st.sampled_from(("0s", "15s", "1500ms", "2h3m")),
        "DefaultSubset": st.sampled_from(SUBSETS),
        "Subsets": st.dictionaries(
            st.sampled_from(SUBSETS), given_fields(Filter=st.just("Service.ID == x"), OnlyPassing=st.booleans())
        ),
        "Redirect": given_fields(Service=names, ServiceSubset=subset, Datacenter=st.sampled_from(DATACENTERS)),
        "Failover": st.dictionaries(
            st.sampled_from(("*", *SUBSETS)),
            given_fields(Service=names, ServiceSubset=subset, Datacenters=st.lists(st.sampled_from(DATACENTERS))),
            max_size=2,
        ),
    },
)


@st.composite
def splitters(draw: Any) -> dict[str, Any]:
    parts = draw(weights)
    scaled = [part * 10000 // sum(parts) for part in parts]
    scaled[0] += 10000 - sum(scaled)
    splits = [{"Weight": share / 100, **draw(given_fields(Service=names, ServiceSubset=subset))} for share in scaled]
    return {"Kind": "service-splitter", "Name": draw(names), "Splits": splits}


matches = given_fields(
    PathPrefix=st.just("/p"),
    Methods=st.just(["get", "PUT"]),
    Header=st.just([{"Name": "x", "Present": True}]),
    QueryParam=st.just([{"Name": "q", "Exact": "1"}]),
)
destinations = given_fields(
    Service=names,
    ServiceSubset=subset,
    PrefixRewrite=st.just("/"),
    RequestTimeout=st.sampled_from(("0s", "90s", "7ms")),
    NumRetries=st.integers(0, 3),
    RetryOnConnectFailure=st.booleans(),
)
routers = st.fixed_dictionaries(
    {"Kind": st.just("service-router"), "Name": names},
    optional={"Routes": st.lists(given_fields(Match=given_fields(HTTP=matches), Destination=destinations), max_size=3)},
)
entries = st.one_of(defaults, resolvers, splitters(), routers)
deletions = st.tuples(
    st.sampled_from(("service-defaults", "service-resolver", "service-splitter", "service-router")), names
)


def renamed(value: Any, prefix: str) -> Any:
    """The same entry, its services named as no other example names them."""
    if isinstance(value, list):
        return [renamed(item, prefix) for item in value]
    if isinstance(value, dict):
        own = {key: f"{prefix}-{value[key]}" for key in ("Name", "Service") if value.get(key) in NAMES}
        return {key: own.get(key) or renamed(item, prefix) for key, item in value.items()}
    return value


@settings(
    max_examples=40,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(entries, min_size=3, max_size=14), st.lists(deletions, max_size=3))
def test_any_entries_are_taken_or_refused_alike_and_compile_alike(
    both: Both, proposed: list[dict[str, Any]], deleted: list[tuple[str, str]]
) -> None:
    own = prefix()
    for name in NAMES:
        both.write({"Kind": "service-defaults", "Name": f"{own}-{name}", "Protocol": "http"})
    for entry in proposed:
        both.write(renamed(entry, own))
    for kind, name in deleted:
        both.delete(kind, f"{own}-{name}")
    for name in NAMES:
        both.chain(f"{own}-{name}")
