"""From one catalog to the next: what is kept, what stays in force, and that versions mean content."""

from __future__ import annotations

import copy
import dataclasses
import json
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from meshwright.controlplane.model.catalog import Catalog, Target, targets
from meshwright.controlplane.model.policy import Abort, Fault, Policy
from meshwright.controlplane.model.snapshot import NodeKind, NodeProfile, Resource, ResourceType, Snapshot, unpack
from meshwright.controlplane.translation import validation
from meshwright.controlplane.translation.translator import Translator
from meshwright.errors import Violation
from meshwright.messages import xds
from meshwright.model import Address, Health, Instance, InstanceId, ServiceName
from support.consul.chains import ALL, USER, V1, V2, chain_of, names, recorded

if TYPE_CHECKING:
    import random

GRPC = NodeProfile(NodeKind.GRPC)
ENVOY = NodeProfile(NodeKind.ENVOY)
MESSAGES: dict[ResourceType, Any] = {
    ResourceType.LISTENER: xds.Listener,
    ResourceType.ROUTE: xds.RouteConfiguration,
    ResourceType.CLUSTER: xds.Cluster,
    ResourceType.ENDPOINTS: xds.ClusterLoadAssignment,
}


def catalog(count: int = 3) -> Catalog:
    services = [ServiceName(f"svc{number:02}") for number in range(count)]
    return Catalog(
        {service: chain_of(service) for service in services},
        {Target(service): (instance(service, 1), instance(service, 2)) for service in services},
    )


def instance(service: str, number: int, health: Health = Health.PASSING, **meta: str) -> Instance:
    name = InstanceId(f"{service}-{number}")
    return Instance(name, ServiceName(service), Address("10.0.0.1", 1_000 + number), health, meta=meta)


def everything(made: Snapshot, node_profile: NodeProfile = GRPC) -> dict[tuple[ResourceType, str], Resource]:
    return {(kind, name): each for kind, found in made.view(node_profile).items() for name, each in found.items()}


def test_a_change_of_one_service_s_instances_changes_its_endpoints_alone() -> None:
    before = catalog()
    target = Target(ServiceName("svc01"))
    after = dataclasses.replace(before, instances={**before.instances, target: (instance("svc01", 1),)})
    translator = Translator()
    old = translator.translate(before)
    new = translator.translate(after)
    changed = {key for key, each in everything(new).items() if each is not everything(old)[key]}
    assert changed == {(ResourceType.ENDPOINTS, "svc01.default.dc1")}
    assert new.version != old.version


def test_an_equal_catalog_of_other_objects_gives_the_same_resources() -> None:
    before = catalog()
    translator = Translator()
    old = translator.translate(before)
    new = translator.translate(copy.deepcopy(before))
    assert new.version == old.version
    assert all(each is everything(old)[key] for key, each in everything(new).items())


def test_a_policy_change_reaches_the_routes_that_hang_on_it() -> None:
    translator = Translator()
    old = translator.translate(catalog())
    faulty = dataclasses.replace(catalog(), policies={ServiceName("svc02"): Policy(faults=(Fault((), Abort(14)),))})
    new = translator.translate(faulty)
    changed = {key for key, each in everything(new).items() if each.version != everything(old)[key].version}
    assert changed == {(ResourceType.ROUTE, "svc02")}
    assert translator.translate(catalog()).version == old.version


def test_a_chain_that_breaks_keeps_its_last_good_routes_and_the_rest_goes_on() -> None:
    good = Catalog({USER: recorded("split"), ServiceName("svc00"): chain_of("svc00")})
    translator = Translator()
    old = translator.translate(good)
    bad = recorded("router")
    router = next(node for node in bad["Nodes"].values() if node["Type"] == "router")
    router["Routes"][3]["Definition"]["Match"]["HTTP"]["PathRegex"] = "(?!x)"
    split_flipped = {USER: bad, ServiceName("svc01"): chain_of("svc01")}
    new = translator.translate(Catalog(split_flipped))
    assert new.view(GRPC)[ResourceType.ROUTE].keys() == {"user", "svc01"}
    assert everything(new)[ResourceType.ROUTE, "user"] is everything(old)[ResourceType.ROUTE, "user"]
    assert {"v1.user.default.dc1", "v2.user.default.dc1"} <= new.view(GRPC)[ResourceType.CLUSTER].keys()
    (problem,) = new.problems
    assert problem.path == "user"
    assert problem.message.startswith("its last good routes stay in force: route 3: regular expression '(?!x)'")
    assert translator.translate(good).problems == ()


def test_a_policy_applies_to_the_last_good_routes_too() -> None:
    faulty = {USER: Policy(faults=(Fault((), Abort(14)),))}
    translator = Translator()
    translator.translate(Catalog({USER: recorded("grpc")}, policies=faulty))
    new = translator.translate(Catalog({USER: {"StartNode": "x"}}))
    expected = Translator().translate(Catalog({USER: recorded("grpc")}))
    assert everything(new)[ResourceType.ROUTE, "user"] == everything(expected)[ResourceType.ROUTE, "user"]
    assert len(new.problems) == 1


def test_what_did_not_change_is_the_same_table() -> None:
    chains = {USER: recorded("router_split"), ServiceName("svc00"): chain_of("svc00")}
    skewed = NodeProfile(NodeKind.GRPC, timeout_skew_ms=1_500)
    translator = Translator()
    old = translator.translate(Catalog(chains, {V1: (instance("user", 1),)}))
    before = {node_profile: old.view(node_profile) for node_profile in (GRPC, ENVOY, skewed)}
    new = translator.translate(Catalog(chains, {V1: (instance("user", 2),)}))
    for node_profile, view in before.items():
        after = new.view(node_profile)
        assert after[ResourceType.ROUTE] is view[ResourceType.ROUTE]
        assert after[ResourceType.CLUSTER] is view[ResourceType.CLUSTER]
        assert dict(after[ResourceType.ENDPOINTS]) != dict(view[ResourceType.ENDPOINTS])


def test_a_chain_that_never_was_good_is_not_published() -> None:
    made = Translator().translate(Catalog({USER: {"StartNode": "x"}, ServiceName("svc00"): chain_of("svc00")}))
    assert made.view(GRPC)[ResourceType.LISTENER].keys() == {"svc00"}
    assert made.problems == (Violation("user", "it is not published: names 'x', which is not in it"),)


def test_a_service_that_is_gone_takes_its_resources_along() -> None:
    translator = Translator()
    translator.translate(catalog(2))
    new = translator.translate(catalog(1))
    assert {name for _, name in everything(new)} == {"svc00", "svc00.default.dc1"}


def test_a_target_of_two_chains_is_what_its_own_service_says() -> None:
    own = recorded("default_subset")
    other = recorded("split")
    other["Targets"]["v1.user.default.dc1"]["Subset"]["Filter"] = "Service.Meta.version == outdated"
    instances = {V1: (instance("user", 1),), V2: (instance("user", 2),)}
    for name in ("a", "z"):
        made = Translator().translate(Catalog({ServiceName(name): other, USER: own}, instances))
        message = unpack(everything(made)[ResourceType.ENDPOINTS, "v1.user.default.dc1"], xds.ClusterLoadAssignment())
        assert len(message.endpoints) == 1


def test_an_envoy_sees_one_listener_and_all_services() -> None:
    instances = {ALL: (instance("user", 1, api="demo.user.v1"), instance("user", 2, api="demo.user.v1.Extra x"))}
    made = Translator().translate(Catalog({USER: recorded("grpc"), ServiceName("svc00"): chain_of("svc00")}, instances))
    view = made.view(NodeProfile(NodeKind.ENVOY, ingress=Address("127.0.0.1", 7)))
    assert list(view[ResourceType.LISTENER]) == ["ingress"]
    listener = unpack(view[ResourceType.LISTENER]["ingress"], xds.Listener())
    assert listener.address.socket_address.port_value == 7
    table = unpack(view[ResourceType.ROUTE]["ingress"], xds.RouteConfiguration())
    assert [list(host.domains) for host in table.virtual_hosts] == [["svc00", "svc00:*"], ["user", "user:*"], ["*"]]
    prefixes = [route.match.headers[-1].string_match.prefix for route in table.virtual_hosts[2].routes]
    assert prefixes == ["/demo.user.v1.Extra/", "/demo.user.v1."]
    assert view[ResourceType.ENDPOINTS] is made.view(GRPC)[ResourceType.ENDPOINTS]


def test_an_api_that_two_services_claim_goes_to_the_first_aloud() -> None:
    chains = {ServiceName(name): chain_of(name) for name in ("b", "a")}
    instances = {Target(ServiceName(name)): (instance(name, 1, api="demo.x.v1"),) for name in chains}
    made = Translator().translate(Catalog(chains, instances))
    table = unpack(everything(made, ENVOY)[ResourceType.ROUTE, "ingress"], xds.RouteConfiguration())
    assert [route.route.cluster for route in table.virtual_hosts[-1].routes] == ["a.default.dc1"]
    assert made.problems == (Violation("b", "calls to /demo.x.v1. at an Envoy reach a, which has it too"),)


def test_an_api_that_appears_changes_the_version() -> None:
    translator = Translator()
    without = translator.translate(Catalog({USER: recorded("grpc")}, {ALL: (instance("user", 1, Health.CRITICAL),)}))
    critical = instance("user", 1, Health.CRITICAL, api="demo.user.v1")
    with_api = translator.translate(Catalog({USER: recorded("grpc")}, {ALL: (critical,)}))
    assert without.version != with_api.version
    assert (
        everything(without, ENVOY)[ResourceType.ROUTE, "ingress"]
        != everything(with_api, ENVOY)[ResourceType.ROUTE, "ingress"]
    )


def test_a_name_that_is_no_domain_does_not_cost_an_envoy_its_table() -> None:
    chains = {ServiceName(name): chain_of("user") for name in ("user", "User", "a b", "*")}
    made = Translator().translate(Catalog(chains))
    table = unpack(everything(made, ENVOY)[ResourceType.ROUTE, "ingress"], xds.RouteConfiguration())
    assert [host.name for host in table.virtual_hosts] == ["User", "*"]
    assert {problem.path for problem in made.problems} == {"user", "a b", "*"}
    assert made.view(GRPC)[ResourceType.LISTENER].keys() == chains.keys()


health = st.sampled_from(list(Health))
members = st.lists(
    st.builds(
        Instance,
        id=st.integers(1, 9).map(lambda number: InstanceId(f"i{number}")),
        service=st.just(USER),
        address=st.builds(Address, st.sampled_from(["10.0.0.1", "::1", "name"]), st.integers(1, 6)),
        health=health,
        meta=st.dictionaries(st.sampled_from(["zone", "region"]), st.sampled_from(["a", "b"])),
        weight=st.integers(0, 3),
    ),
    max_size=6,
    unique_by=lambda each: each.id,
).map(tuple)


@settings(max_examples=60)
@given(st.data(), st.sampled_from(names()), st.randoms())
def test_whatever_the_catalog_the_snapshot_is_whole_and_independent_of_order(
    data: st.DataObject, name: str, chance: random.Random
) -> None:
    chains = {USER: recorded(name), ServiceName("other"): chain_of("other"), ServiceName("twin"): recorded("split")}
    wanted = sorted({target for chain in chains.values() for target in targets(chain)})
    instances = {target: data.draw(members) for target in wanted}
    translator = Translator()
    made = translator.translate(Catalog(chains, instances))
    shuffled = Catalog(
        shuffle(chains, chance), {target: tuple(shuffle_list(found, chance)) for target, found in instances.items()}
    )
    busy = Translator()
    busy.translate(Catalog({USER: recorded(chance.choice(names()))}))
    for each in (Translator(), translator, busy):
        again = each.translate(shuffled)
        assert again.version == made.version
        assert everything(again) == everything(made)
        assert everything(again, ENVOY) == everything(made, ENVOY)
    assert_whole(made)


def shuffle(document: Any, chance: random.Random) -> Any:
    """The same JSON value with its objects' keys in another order."""
    if isinstance(document, dict):
        keys = shuffle_list(list(document), chance)
        return {key: shuffle(document[key], chance) for key in keys}
    return [shuffle(each, chance) for each in document] if isinstance(document, list) else document


def shuffle_list(values: Any, chance: random.Random) -> list[Any]:
    return chance.sample(list(values), len(values))


def assert_whole(made: Snapshot) -> None:
    for node_profile in (GRPC, ENVOY):
        view = made.view(node_profile)
        for kind, found in view.items():
            for name, each in found.items():
                assert each.name == name
                assert each.type is kind
                unpack(each, MESSAGES[kind]())
        assert view[ResourceType.CLUSTER].keys() == view[ResourceType.ENDPOINTS].keys()
    view = made.view(GRPC)
    assert view[ResourceType.LISTENER].keys() == view[ResourceType.ROUTE].keys()
    for each in view[ResourceType.ROUTE].values():
        (host,) = unpack(each, xds.RouteConfiguration()).virtual_hosts
        assert validation.routes(host.routes, view[ResourceType.CLUSTER].keys()) == []
    for each in view[ResourceType.CLUSTER].values():
        assert validation.cluster(unpack(each, xds.Cluster())) == []
    for each in view[ResourceType.ENDPOINTS].values():
        assert validation.assignment(unpack(each, xds.ClusterLoadAssignment())) == []


def test_a_target_in_another_datacenter_is_empty_though_a_service_of_that_name_is_here() -> None:
    there = chain_of("order")
    (old,) = there["Targets"]
    entry = {**there["Targets"][old], "Service": "user", "Datacenter": "dc2"}
    document = json.loads(json.dumps(there).replace(old, "user.default.dc2"))
    document["Targets"] = {"user.default.dc2": entry}
    chains = {ServiceName("order"): document, USER: chain_of("user")}
    translator = Translator()
    made = translator.translate(Catalog(chains, {ALL: (instance("user", 1),)}))
    found = made.view(GRPC)[ResourceType.ENDPOINTS]
    counts = {name: len(unpack(each, xds.ClusterLoadAssignment()).endpoints) for name, each in found.items()}
    assert counts == {"user.default.dc1": 1, "user.default.dc2": 0}
    assert translator.targets_in_force == {ALL}
