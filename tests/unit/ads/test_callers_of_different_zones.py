"""Two nodes of different zones on one control plane: each is told its own order, and only what changes for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshwright.controlplane.model.catalog import Catalog
from meshwright.controlplane.model.policy import Policy
from meshwright.controlplane.translation.translator import Translator
from meshwright.controlplane.xds.nodes import read_node
from meshwright.controlplane.xds.snapshot_cache import SnapshotCache
from meshwright.messages.xds import ClusterLoadAssignment, Locality, Node
from meshwright.model import Address, Health, Instance, InstanceId
from support.consul.chains import ALL, USER, recorded
from support.controlplane.ads import ENDPOINTS, Talk

if TYPE_CHECKING:
    from meshwright.messages.xds import DiscoveryResponse

NAME = "user.default.dc1"


def talk(hub: SnapshotCache, zone: str) -> Talk:
    made = Talk(hub)
    hub.close(made.stream)
    node = Node(id=f"client-in-{zone}", cluster="web", locality=Locality(region="eu", zone=zone))
    made.stream = hub.open(read_node(node), 0.0)
    return made


def catalog(**health: Health) -> Catalog:
    instances = tuple(
        Instance(
            InstanceId(zone),
            USER,
            Address("10.0.0.1", ord(zone)),
            health.get(zone, Health.PASSING),
            meta={"region": "eu", "zone": zone},
        )
        for zone in "abc"
    )
    return Catalog({USER: recorded("plain")}, {ALL: instances}, {USER: Policy(prioritize_by_locality="failover")})


def zones(response: DiscoveryResponse) -> list[str]:
    """The zones at each priority."""
    (packed,) = response.resources
    message = ClusterLoadAssignment.FromString(packed.value)
    last = max(each.priority for each in message.endpoints)
    return [
        "".join(each.locality.zone for each in message.endpoints if each.priority == priority)
        for priority in range(last + 1)
    ]


def test_each_is_told_its_own_order_and_follows_changes() -> None:
    hub = SnapshotCache()
    translator = Translator()
    first = translator.translate(catalog())
    hub.publish(first)
    in_a, in_b, also_in_a, nowhere = talk(hub, "a"), talk(hub, "b"), talk(hub, "a"), talk(hub, "")
    answers = [each.asked_and_acked(ENDPOINTS, [NAME]) for each in (in_a, in_b, also_in_a, nowhere)]
    assert [zones(answer) for answer in answers] == [["a", "bc"], ["b", "ac"], ["a", "bc"], ["abc"]]
    assert answers[0].version_info == answers[2].version_info
    assert len({answer.version_info for answer in answers}) == 3

    without_a = translator.translate(catalog(a=Health.CRITICAL))
    assert len(hub.publish(without_a)) == 4
    assert [zones(each.one()) for each in (in_a, in_b, also_in_a, nowhere)] == [["bc"], ["b", "c"], ["bc"], ["bc"]]

    hub.publish(translator.translate(catalog()))
    back = [each.one() for each in (in_a, in_b, also_in_a, nowhere)]
    assert [zones(answer) for answer in back] == [zones(answer) for answer in answers]
    assert [answer.version_info for answer in back] == [answer.version_info for answer in answers]


def test_a_policy_that_comes_and_goes_concerns_those_whose_order_changes() -> None:
    hub = SnapshotCache()
    plain = Catalog({USER: recorded("plain")}, catalog().instances)
    translator = Translator()
    before = translator.translate(plain)
    hub.publish(before)
    in_a, far = talk(hub, "a"), talk(hub, "z")
    for each in (in_a, far):
        assert zones(each.asked_and_acked(ENDPOINTS, [NAME])) == ["abc"]
    used = translator.translate(catalog())
    assert hub.publish(used) == (in_a.stream,)
    assert zones(in_a.one()) == ["a", "bc"]
    assert hub.publish(translator.translate(plain)) == (in_a.stream,)
    assert zones(in_a.one()) == ["abc"]
    assert far.hear() == []
