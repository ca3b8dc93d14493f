"""Whatever Consul may compile: a snapshot is closed, and what came before it makes no difference."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from meshwright.controlplane.admin.references import name_of, referenced
from meshwright.controlplane.model import upstream_config
from meshwright.controlplane.model.catalog import Catalog, targets
from meshwright.controlplane.model.localities import Place
from meshwright.controlplane.model.policy import (
    Abort,
    Balancing,
    Delay,
    Fault,
    HeaderMatch,
    LoadBalancing,
    Policy,
    Retry,
)
from meshwright.controlplane.model.snapshot import NodeKind, NodeProfile, ResourceType, Snapshot
from meshwright.controlplane.translation.translator import Translator
from meshwright.messages.xds import AnyMessage
from meshwright.model import Address, Health, Instance, InstanceId, ServiceName

SERVICES = [ServiceName(name) for name in ("cart", "order", "user")]
VIEWPOINTS = [
    NodeProfile(NodeKind.GRPC),
    NodeProfile(NodeKind.GRPC, 1_234, caller="cart"),
    NodeProfile(NodeKind.ENVOY, caller="WEB"),
    NodeProfile(NodeKind.GRPC, place=Place("eu", "a")),
    NodeProfile(NodeKind.ENVOY, place=Place("eu", "z")),
]

subsets = st.sampled_from([("", ""), ("v1", "Service.Meta.version == v1"), ("v2", "Service.Meta.version == v2")])
places = st.tuples(st.sampled_from(SERVICES), subsets, st.sampled_from(["dc1", "dc1", "dc1", "dc2"]))


def target_id(place: Any) -> str:
    service, (subset, _), datacenter = place
    return ".".join(filter(None, [subset, service, "default", datacenter]))


class Compiler:
    """Builds a chain node by node."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.nodes: dict[str, Any] = {}
        self.targets: dict[str, Any] = {}

    def target(self, place: Any) -> str:
        service, (_, expression), datacenter = place
        subset = {"Filter": expression, "OnlyPassing": bool(expression)} if expression else {}
        where = self.draw(st.sampled_from([{}, {}, {}, {"Peer": "p", "Datacenter": ""}, {"Partition": "other"}]))
        nearness = self.draw(st.sampled_from([{}, {}, {"PrioritizeByLocality": {"Mode": "failover"}}]))
        entry = {"Service": service, "Subset": subset, "Datacenter": datacenter, **where, **nearness}
        self.targets.setdefault(target_id(place), entry)
        return target_id(place)

    def resolver(self) -> str:
        place, *failover = self.draw(st.lists(places, min_size=1, max_size=3, unique_by=target_id))
        resolver: dict[str, Any] = {"Target": self.target(place), "ConnectTimeout": self.draw(TIMES)}
        resolver["RequestTimeout"] = self.draw(st.sampled_from([None, 0, 1_500_000_000]))
        if failover:
            resolver["Failover"] = {"Targets": [self.target(other) for other in failover]}
        name = f"resolver:{target_id(place)}"
        node = {"Type": "resolver", "Resolver": resolver, "LoadBalancer": self.draw(BALANCERS)}
        self.nodes.setdefault(name, node)
        return name

    def splitter(self, depth: int) -> str:
        weight = self.draw(st.sampled_from([0, 0.01, 10, 33.33, 50, 100]))
        splits = [
            {"Weight": share, "NextNode": self.node(depth - 1), "Definition": self.draw(HEADERS)}
            for share in (weight, round(100 - weight, 2))
        ]
        name = f"splitter:{len(self.nodes)}"
        self.nodes[name] = {"Type": "splitter", "Splits": splits}
        return name

    def node(self, depth: int) -> str:
        return self.splitter(depth) if depth and self.draw(st.booleans()) else self.resolver()

    def router(self) -> str:
        routes = [{"Definition": self.draw(DEFINITIONS), "NextNode": self.node(2)} for _ in range(self.draw(COUNTS))]
        routes.append({"Definition": {"Match": {"HTTP": {"PathPrefix": "/"}}}, "NextNode": self.node(2)})
        self.nodes["router"] = {"Type": "router", "Routes": routes}
        return "router"


METAS = st.sampled_from([{}, {"region": "eu", "zone": "a"}, {"region": "eu", "zone": "b"}, {"region": "us"}])
COUNTS = st.integers(0, 3)
HEADERS = st.sampled_from([None, {}, {"RequestHeaders": {"Add": {"x": "1"}, "Remove": ["host"]}}])
HASHES = st.lists(
    st.sampled_from(
        [{"Field": "header", "FieldValue": "X-User", "Terminal": True}, {"Field": "cookie"}, {"SourceIP": True}]
    ),
    max_size=3,
)
BALANCERS = st.none() | st.fixed_dictionaries(
    {"Policy": st.sampled_from(["", "ring_hash", "maglev", "least_request", "random", "new"]), "HashPolicies": HASHES}
)
RULES = [
    {"Name": "cart", "UpstreamConfig": {"Defaults": {"Limits": {"MaxConcurrentRequests": 3}}}},
    {"Name": "web", "UpstreamConfig": {"Overrides": [{"Name": "User", "PassiveHealthCheck": {"MaxFailures": 2}}]}},
]
TIMES = st.sampled_from(["", "1ms", "1.5s", "5s", "2562047h47m16.854775807s"])
DEFINITIONS = st.fixed_dictionaries(
    {
        "Match": st.fixed_dictionaries(
            {
                "HTTP": st.fixed_dictionaries(
                    {},
                    optional={
                        "PathExact": st.sampled_from(["/a.B/C", "/healthz"]),
                        "PathPrefix": st.sampled_from(["/", "/a.B/"]),
                        "PathRegex": st.just("/a[.].*"),
                        "Header": st.lists(
                            st.sampled_from(
                                [{"Name": "X-A", "Exact": "1"}, {"Name": "b", "Present": True, "Invert": True}]
                            ),
                            max_size=2,
                        ),
                        "QueryParam": st.just([{"Name": "q", "Regex": "a+"}]),
                        "CaseInsensitive": st.booleans(),
                        "Methods": st.sampled_from([["GET"], ["POST", "PUT"]]),
                    },
                )
            }
        ),
        "Destination": st.fixed_dictionaries(
            {},
            optional={
                "PrefixRewrite": st.just("/"),
                "RequestTimeout": TIMES,
                "NumRetries": st.sampled_from([0, 1, 5, 4_294_967_295]),
                "RetryOn": st.lists(st.sampled_from(["5xx", "reset", "refused-stream", "internal", "new"]), max_size=3),
                "IdleTimeout": st.sampled_from(["", "-1s", "3s"]),
                "RequestHeaders": st.just({"Set": {"x": "%"}}),
                "RetryOnConnectFailure": st.booleans(),
                "RetryOnStatusCodes": st.lists(st.sampled_from([0, 429, 503, 599, 4_294_967_295]), max_size=3),
            },
        ),
    }
)


@st.composite
def chains(draw: Any) -> dict[str, Any]:
    compiler = Compiler(draw)
    start = compiler.router() if draw(st.booleans()) else compiler.node(2)
    return {"Datacenter": "dc1", "StartNode": start, "Nodes": compiler.nodes, "Targets": compiler.targets}


policies = st.builds(
    Policy,
    load_balancing=st.sampled_from([None, LoadBalancing(), LoadBalancing(Balancing.RING_HASH, "x-user")]),
    max_concurrent_requests=st.sampled_from([None, 7]),
    prioritize_by_locality=st.sampled_from([None, None, "none", "failover"]),
    faults=st.sampled_from([(), (Fault((HeaderMatch("x", exact="1"),), Abort(14)), Fault((), None, Delay(5.0, 1.0)))]),
    retry=st.sampled_from([Retry(), Retry(attempts=1)]),
    timeout_ms=st.sampled_from([0.0, 1.0, 2_000.0]),
)


@st.composite
def catalogs(draw: Any) -> Catalog:
    own = draw(st.dictionaries(st.sampled_from(SERVICES), chains()))
    wanted = sorted({target for chain in own.values() for target in targets(chain)})
    numbers = st.lists(
        st.tuples(st.integers(1, 4), st.sampled_from(list(Health)), st.integers(0, 2), METAS), max_size=3
    )
    instances = {
        target: tuple(
            Instance(
                InstanceId(f"i{index}"), target.service, Address("10.0.0.1", port), health, weight=weight, meta=meta
            )
            for index, (port, health, weight, meta) in enumerate(draw(numbers))
        )
        for target in wanted
    }
    rules = upstream_config.read(draw(st.lists(st.sampled_from(RULES), max_size=2)))
    return Catalog(own, instances, draw(st.dictionaries(st.sampled_from(SERVICES), policies)), rules)


def everything(made: Snapshot) -> list[dict[ResourceType, dict[str, Any]]]:
    return [{kind: dict(made.view(each)[kind]) for kind in ResourceType} for each in VIEWPOINTS]


def assert_closed(made: Snapshot) -> None:
    for view in everything(made):
        for kind, found in view.items():
            for name, resource in found.items():
                packed = AnyMessage.FromString(resource.body)
                assert name_of(kind, packed) == name
                for other, names in referenced(kind, packed).items():
                    assert is_ingress(kind, name) or names <= view[other].keys()


def is_ingress(kind: ResourceType, name: str) -> bool:
    """Envoy's listener, whose reference stands in a filter chain instead of an API listener."""
    return kind is ResourceType.LISTENER and name == "ingress"


@settings(max_examples=120)
@given(st.lists(catalogs(), min_size=1, max_size=4))
def test_a_snapshot_is_closed_and_owes_nothing_to_the_one_before(history: list[Catalog]) -> None:
    translator = Translator()
    for catalog in history:
        fresh, made = Translator().translate(catalog), translator.translate(catalog)
        assert made.version == fresh.version
        assert made.problems == fresh.problems
        assert everything(made) == everything(fresh)
        assert fresh.view(VIEWPOINTS[0])[ResourceType.LISTENER].keys() == catalog.chains.keys()
        named = {target for chain in catalog.chains.values() for target in targets(chain)}
        assert translator.targets_in_force <= named
        assert_closed(made)
