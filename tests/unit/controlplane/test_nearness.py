"""`PrioritizeByLocality`: which caller is told to use which instances first ."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from meshwright.controlplane.model.catalog import Catalog, Target, targets
from meshwright.controlplane.model.localities import NOWHERE, Place
from meshwright.controlplane.model.policy import parse_policy
from meshwright.controlplane.model.snapshot import NodeKind, NodeProfile, ResourceType, Snapshot, unpack
from meshwright.controlplane.translation import validation
from meshwright.controlplane.translation.chain import Upstream
from meshwright.controlplane.translation.endpoints import assignment
from meshwright.controlplane.translation.translator import Translator
from meshwright.messages import xds
from meshwright.model import Address, Health, Instance, InstanceId, ServiceName
from support.consul.chains import ALL, USER, V1, chain_of, newer, recorded

ORDER = ServiceName("order")
RESERVE = Target(ServiceName("reserve"))
UPSTREAM = Upstream("user.default.dc1", ALL, 2_500.0, (RESERVE,))
EU_A, EU_B, US_A = Place("eu", "a"), Place("eu", "b"), Place("us", "a")


def instance(port: int, place: Place = NOWHERE, **changes: Any) -> Instance:
    meta = {name: value for name, value in (("region", place.region), ("zone", place.zone)) if value}
    made = Instance(InstanceId(f"i{port}"), USER, Address("10.0.0.1", port), Health.PASSING, meta=meta)
    return dataclasses.replace(made, **changes)


EVERYWHERE = (instance(1, EU_A), instance(2, EU_B), instance(3, US_A), instance(4))


def ports(message: Any) -> list[list[int]]:
    """The ports at each priority."""
    found: dict[int, list[int]] = {}
    for group in message.endpoints:
        for entry in group.lb_endpoints:
            found.setdefault(group.priority, []).append(entry.endpoint.address.socket_address.port_value)
    assert sorted(found) == list(range(len(found)))
    return [sorted(found[priority]) for priority in sorted(found)]


def near(caller: Place, *members: tuple[Target, tuple[Instance, ...]], **options: Any) -> Any:
    names = [target for target, _ in members]
    message, _ = assignment(UPSTREAM, members, **{"prioritized": names, "caller": caller, **options})
    assert validation.assignment(message) == []
    return message


@pytest.mark.parametrize("ring", [False, True])
@pytest.mark.parametrize(
    ("caller", "expected"),
    [
        (EU_A, [[1], [2], [3, 4]]),
        (EU_B, [[2], [1], [3, 4]]),
        (US_A, [[3], [1, 2, 4]]),
        (Place("eu", "z"), [[1, 2], [3, 4]]),
        (Place("eu"), [[1, 2], [3, 4]]),
        (Place("asia", "a"), [[1, 2, 3, 4]]),
        (Place("", "a"), [[1, 2, 3, 4]]),
        (NOWHERE, [[1, 2, 3, 4]]),
    ],
)
def test_a_caller_uses_its_zone_then_its_region_then_the_others(
    caller: Place, expected: list[list[int]], ring: bool
) -> None:
    message = near(caller, (ALL, EVERYWHERE), ring=ring)
    assert ports(message) == expected
    assert (message.policy.overprovisioning_factor.value > 0) == (len(expected) > 1)


def test_a_zone_without_a_region_is_a_place_too() -> None:
    members = (instance(1, Place("", "a")), instance(2, Place("", "b")), instance(3, EU_A), instance(4))
    assert ports(near(Place("", "a"), (ALL, members))) == [[1], [2, 3, 4]]


def test_each_level_of_a_target_comes_before_the_first_failover_target() -> None:
    reserve = (instance(5, EU_B), instance(6, EU_A))
    assert ports(near(EU_A, (ALL, EVERYWHERE), (RESERVE, reserve))) == [[1], [2], [3, 4], [6], [5]]
    assert ports(near(EU_A, (ALL, EVERYWHERE), (RESERVE, reserve), prioritized=[ALL])) == [[1], [2], [3, 4], [5, 6]]
    assert ports(near(EU_A, (ALL, EVERYWHERE), (RESERVE, reserve), prioritized=[RESERVE])) == [[1, 2, 3, 4], [6], [5]]
    assert ports(near(EU_A, (ALL, EVERYWHERE[1:]), (RESERVE, reserve))) == [[2], [3, 4], [6], [5]]


@pytest.mark.parametrize("ring", [False, True])
def test_no_two_priorities_share_a_locality(ring: bool) -> None:
    """gRPC's Java knows a locality by its name alone, and gives it the last priority that has it."""
    members = (*EVERYWHERE, instance(7, EU_A, weight=9), instance(8, EU_B, weight=9), instance(9, Place("eu")))
    for caller in (EU_A, EU_B, Place("eu"), Place("us", "z")):
        message = near(caller, (ALL, members), (RESERVE, (instance(5, EU_B), instance(6, EU_A))), ring=ring)
        places = [(each.locality.region, each.locality.zone, each.locality.sub_zone) for each in message.endpoints]
        assert len(set(places)) == len(places)


@pytest.mark.parametrize("ring", [False, True])
def test_a_level_that_becomes_the_first_keeps_its_locality(ring: bool) -> None:
    """gRPC keeps the connections of a locality by its name."""
    before = near(EU_A, (ALL, EVERYWHERE), ring=ring)
    after = near(EU_A, (ALL, EVERYWHERE[1:]), ring=ring)
    names = [[(each.locality.region, each.locality.zone) for each in made.endpoints] for made in (before, after)]
    assert names[0][1:] == names[1]


# Through the whole translation


def snapshot(
    chains: dict[ServiceName, Any],
    translator: Translator | None = None,
    instances: tuple[Instance, ...] = EVERYWHERE,
    **policies: dict[str, Any],
) -> Snapshot:
    lists = {target: instances for chain in chains.values() for target in targets(chain)}
    parsed = {
        ServiceName(name): parse_policy(ServiceName(name), json.dumps(document).encode())
        for name, document in policies.items()
    }
    return (translator or Translator()).translate(Catalog(chains, lists, parsed))


def endpoints(made: Snapshot, place: Place, kind: NodeKind = NodeKind.GRPC) -> Any:
    return made.view(NodeProfile(kind, place=place))[ResourceType.ENDPOINTS]


def seen(made: Snapshot, place: Place, name: str = "user.default.dc1") -> list[list[int]]:
    return ports(unpack(endpoints(made, place)[name], xds.ClusterLoadAssignment()))


PLAIN = {USER: recorded("plain"), ORDER: chain_of("order")}
FAILOVER = {"prioritize_by_locality": "failover"}
NONE = {"prioritize_by_locality": "none"}


@pytest.mark.parametrize(
    ("chain", "policy", "expected"),
    [
        ("plain", {}, [[1, 2, 3, 4]]),
        ("plain", NONE, [[1, 2, 3, 4]]),
        ("plain", FAILOVER, [[1], [2], [3, 4]]),
        ("locality", {}, [[1], [2], [3, 4]]),
        ("locality", FAILOVER, [[1], [2], [3, 4]]),
        ("locality", NONE, [[1, 2, 3, 4]]),
    ],
)
def test_the_resolver_says_it_and_the_policy_document_wins(
    chain: str, policy: dict[str, Any], expected: list[list[int]]
) -> None:
    document, name = (
        (newer(chain), "user.default.default.dc1") if chain == "locality" else (recorded(chain), "user.default.dc1")
    )
    made = snapshot({USER: document}, user=policy)
    assert made.problems == ()
    assert seen(made, EU_A, name) == expected
    assert endpoints(made, EU_A, NodeKind.ENVOY)[name] is endpoints(made, EU_A)[name]


def test_a_mode_that_is_not_known_is_said() -> None:
    chain = newer("locality")
    chain["Targets"]["user.default.default.dc1"]["PrioritizeByLocality"]["Mode"] = "nearest"
    made = snapshot({USER: chain})
    (problem,) = made.problems
    target = "user.default.default.dc1"
    assert problem.message == f"PrioritizeByLocality nearest of {target} is not known here: all localities get calls"
    assert seen(made, EU_A, target) == [[1, 2, 3, 4]]


def test_a_failover_target_goes_by_the_document_of_its_own_service() -> None:
    chain = recorded("failover")
    reserve = ServiceName("user-reserve")
    lists = {V1: EVERYWHERE, Target(reserve): (instance(5, EU_B), instance(6, EU_A))}
    policies = {reserve: parse_policy(reserve, json.dumps(FAILOVER).encode())}
    made = Translator().translate(Catalog({USER: chain}, lists, policies))
    assert seen(made, EU_A, "v1.user.default.dc1") == [[1, 2, 3, 4], [6], [5]]


def test_callers_share_what_does_not_differ_for_them() -> None:
    translator = Translator()
    made = snapshot(PLAIN, translator)
    assert endpoints(made, EU_A) is endpoints(made, US_A) is endpoints(made, NOWHERE)
    used = snapshot(PLAIN, translator, user=FAILOVER)
    everybody, here = endpoints(used, NOWHERE), endpoints(used, EU_A)
    assert here["order.default.dc1"] is everybody["order.default.dc1"]
    assert here["user.default.dc1"] is not everybody["user.default.dc1"]
    assert everybody["user.default.dc1"].version == endpoints(made, NOWHERE)["user.default.dc1"].version
    for number in range(100):
        assert endpoints(used, Place("asia", f"z{number}")) is everybody
        assert endpoints(used, Place("eu", f"z{number}")) is endpoints(used, Place("eu"))


def test_versions_tell_what_differs_for_any_caller() -> None:
    plain, used = snapshot(PLAIN), snapshot(PLAIN, user=FAILOVER)
    translator = Translator()
    assert snapshot(PLAIN, translator).version == plain.version
    assert plain.version != used.version == snapshot(PLAIN, translator, user=FAILOVER).version
    assert snapshot(PLAIN, translator).version == plain.version
    ring = {"load_balancing": {"policy": "ring_hash", "hash_on_header": "x"}, **FAILOVER}
    before = snapshot(PLAIN, translator, user=ring)
    moved = snapshot(PLAIN, translator, (instance(1, EU_B), *EVERYWHERE[1:]), user=ring)
    assert (
        endpoints(moved, NOWHERE)["user.default.dc1"].version == endpoints(before, NOWHERE)["user.default.dc1"].version
    )
    assert moved.version != before.version
    assert seen(moved, EU_B) == [[1, 2], [3, 4]]


def test_what_did_not_change_is_kept_for_each_place() -> None:
    translator = Translator()
    old = snapshot(PLAIN, translator, user=FAILOVER)
    before = {place: endpoints(old, place)["user.default.dc1"] for place in (EU_A, EU_B)}
    new = snapshot(PLAIN, translator, user=FAILOVER, order=FAILOVER)
    assert all(endpoints(new, place)["user.default.dc1"] is each for place, each in before.items())
    assert seen(new, EU_A, "order.default.dc1") == [[1], [2], [3, 4]]
