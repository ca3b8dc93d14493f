"""What nodes that are gone leave behind: nothing that grows with how many there were."""

from __future__ import annotations

import gc
import itertools

from meshwright.controlplane.model.catalog import Catalog
from meshwright.controlplane.model.policy import Policy
from meshwright.controlplane.model.resource_table import ResourceTable
from meshwright.controlplane.model.snapshot import NodeKind, NodeProfile, Resource, ResourceType
from meshwright.controlplane.translation.translator import Translator
from meshwright.controlplane.xds.response_cache import TypeBodies
from meshwright.controlplane.xds.snapshot_cache import SnapshotCache
from meshwright.model import Address, ServiceName
from support.consul.chains import chain_of
from support.controlplane.ads import ROUTE, Talk, names_in

NAMES = [ServiceName(f"svc{number:02}") for number in range(8)]


def timed(**timeouts: float) -> Catalog:
    policies = {name: Policy(timeout_ms=timeouts.get(name, 2_000.0)) for name in NAMES}
    return Catalog({name: chain_of(name) for name in NAMES}, {}, policies)


def tables() -> int:
    """The route tables in memory."""
    gc.collect()
    return sum(1 for each in gc.get_objects() if isinstance(each, Resource) and each.type is ROUTE)


def test_nodes_that_are_gone_leave_no_route_tables_of_their_skews_behind() -> None:
    hub = SnapshotCache()
    hub.publish(Translator().translate(timed()))
    before = tables()
    for skew in range(1_000, 1_400):
        talk = Talk(hub, skew=skew)
        talk.ask(ROUTE, NAMES)
        assert names_in(talk.one()) == NAMES
        hub.close(talk.stream)
    assert tables() - before <= 16 * len(NAMES)


def test_of_many_skews_each_is_told_what_changed_and_nothing_else() -> None:
    hub = SnapshotCache()
    translator = Translator()
    old = translator.translate(timed())
    hub.publish(old)
    talks = [Talk(hub, skew=skew) for skew in range(1_000, 1_100)]
    for talk in talks:
        talk.asked_and_acked(ROUTE, NAMES)
    assert len(hub.publish(translator.translate(timed(svc03=500.0)))) == len(talks)
    assert {tuple(names_in(talk.one())) for talk in talks} == {("svc03",)}


def test_answers_are_kept_up_to_a_number_of_bytes() -> None:
    bodies = TypeBodies(ResourceType.LISTENER, ResourceTable({}), answer_unknown=True)
    asked = [frozenset(f"{number}-{index}-{'x' * 900}" for index in range(500)) for number in range(40)]
    answers = []
    for names in asked:
        data, count = bodies.body(names)
        assert (len(data) > 900 * 500, count) == (True, 500)
        answers.append(data)
    kept = itertools.takewhile(
        lambda pair: bodies.body(pair[0])[0] is pair[1], zip(reversed(asked), reversed(answers), strict=True)
    )
    assert 0 < sum(len(data) for _, data in kept) <= 16 * 1024 * 1024


def test_views_of_envoys_that_each_listen_elsewhere_are_kept_up_to_a_number() -> None:
    made = Translator().translate(timed())
    profiles = [NodeProfile(NodeKind.ENVOY, ingress=Address("127.0.0.1", port)) for port in range(1, 5_000)]
    views = [made.view(profile) for profile in profiles]
    kept = itertools.takewhile(
        lambda pair: made.view(pair[0]) is pair[1], zip(reversed(profiles), reversed(views), strict=True)
    )
    assert 0 < sum(1 for _ in kept) <= 1_024
