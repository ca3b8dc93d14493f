"""The rules of state-of-the-world xDS, one by one, on the pure state machine."""

from __future__ import annotations

import gc

import pytest

from meshwright.controlplane.metrics import RequestKind
from meshwright.controlplane.model.snapshot import NodeKind, Resource, ResourceType
from meshwright.controlplane.xds import codec, response_cache
from meshwright.controlplane.xds.snapshot_cache import NodeGroup, SnapshotCache
from support.controlplane.ads import CLUSTER, ENDPOINTS, LISTENER, ROUTE, Mesh, Talk, kinds_in, names_in

BASE = {
    LISTENER: {"user": "l1", "order": "l1"},
    ROUTE: {"user": "r1", "order": "r1"},
    CLUSTER: {"user.c": "c1", "order.c": "c1"},
    ENDPOINTS: {"user.c": "e1", "order.c": "e1"},
}
NAMES = {LISTENER: "user", ROUTE: "user", CLUSTER: "user.c", ENDPOINTS: "user.c"}


class Scene:
    def __init__(self) -> None:
        self.mesh = Mesh()
        self.cache = SnapshotCache()
        self.publish()

    def publish(self, **changes: dict[str, str]) -> int:
        """Publish BASE with types replaced by name; returns how many streams that concerned."""
        contents = {kind: changes.get(kind.name.lower(), BASE[kind]) for kind in BASE}
        return len(self.cache.publish(self.mesh.snapshot(contents)))


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.mark.parametrize("kind", list(ResourceType))
@pytest.mark.parametrize("version", ["", "from-before-the-reconnect"])
def test_the_first_request_of_a_type_is_answered_whatever_version_it_carries(
    scene: Scene, kind: ResourceType, version: str
) -> None:
    talk = Talk(scene.cache)
    talk.ask(kind, [NAMES[kind]], version=version)
    answer = talk.one()
    assert names_in(answer) == [NAMES[kind]]
    assert answer.nonce
    assert answer.version_info


def test_the_first_request_is_answered_even_if_it_carries_a_nonce_of_another_stream(scene: Scene) -> None:
    talk = Talk(scene.cache)
    assert talk.ask(ENDPOINTS, ["user.c"], nonce="77") is RequestKind.SUBSCRIBED
    assert names_in(talk.one()) == ["user.c"]


@pytest.mark.parametrize("kind", list(ResourceType))
def test_an_ack_is_not_answered(scene: Scene, kind: ResourceType) -> None:
    talk = Talk(scene.cache)
    talk.asked_and_acked(kind, [NAMES[kind]])
    assert talk.stream.types[kind].acked == talk.stream.types[kind].sent != ""


def test_a_stale_nonce_is_ignored(scene: Scene) -> None:
    talk = Talk(scene.cache)
    first = talk.asked_and_acked(ENDPOINTS, ["user.c"])
    scene.publish(endpoints={"user.c": "e2", "order.c": "e1"})
    talk.one()
    assert talk.ask(ENDPOINTS, ["user.c", "order.c"], first.nonce) is RequestKind.STALE
    assert talk.hear() == []


def test_names_that_a_stale_request_dropped_are_answered_when_asked_again(scene: Scene) -> None:
    talk = Talk(scene.cache)
    first = talk.asked_and_acked(ENDPOINTS, ["user.c", "order.c"])
    scene.publish(endpoints={"user.c": "e2", "order.c": "e1"})
    second = talk.one()
    assert names_in(second) == ["user.c"]
    assert talk.ask(ENDPOINTS, ["user.c"], first.nonce) is RequestKind.STALE
    talk.ask(ENDPOINTS, ["user.c", "order.c"], second.nonce)
    assert names_in(talk.one()) == ["order.c"]


@pytest.mark.parametrize("kind", list(ResourceType))
def test_unsubscribing_and_subscribing_again_is_answered(scene: Scene, kind: ResourceType) -> None:
    talk = Talk(scene.cache)
    answer = talk.asked_and_acked(kind, [NAMES[kind]])
    talk.ask(kind, [], answer.nonce)
    assert talk.hear() == []
    talk.ask(kind, [NAMES[kind]], answer.nonce)
    assert names_in(talk.one()) == [NAMES[kind]]


def test_dropping_a_name_is_not_answered(scene: Scene) -> None:
    talk = Talk(scene.cache)
    answer = talk.asked_and_acked(CLUSTER, ["user.c", "order.c"])
    talk.ask(CLUSTER, ["user.c"], answer.nonce)
    assert talk.hear() == []


def test_a_further_name_before_the_first_answer_shares_it(scene: Scene) -> None:
    talk = Talk(scene.cache)
    talk.ask(LISTENER, ["user"])
    talk.ask(LISTENER, ["user", "order"])
    assert names_in(talk.one()) == ["order", "user"]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (LISTENER, ["order", "user"]),
        (CLUSTER, ["order.c", "user.c"]),
        (ROUTE, ["order"]),
        (ENDPOINTS, ["order.c"]),
    ],
)
def test_listeners_and_clusters_come_in_full_and_the_others_as_far_as_they_are_new(
    scene: Scene, kind: ResourceType, expected: list[str]
) -> None:
    talk = Talk(scene.cache)
    both = sorted(BASE[kind])
    answer = talk.asked_and_acked(kind, [both[1]])
    talk.ask(kind, both, answer.nonce)
    assert names_in(talk.one()) == expected


@pytest.mark.parametrize("kind", list(ResourceType))
def test_a_change_is_pushed_once_to_those_who_asked_for_it(scene: Scene, kind: ResourceType) -> None:
    interested, other = Talk(scene.cache), Talk(scene.cache)
    names = sorted(BASE[kind])
    interested.asked_and_acked(kind, [names[0]])
    other.asked_and_acked(kind, [names[1]])
    touched = scene.publish(**{kind.name.lower(): {**BASE[kind], names[0]: "new"}})
    assert touched == 1
    assert names_in(interested.one()) == [names[0]]
    assert other.hear() == []


def test_a_snapshot_with_the_same_content_is_not_pushed(scene: Scene) -> None:
    talk = Talk(scene.cache)
    talk.asked_and_acked(CLUSTER, ["user.c"])
    scene.mesh = Mesh()  # other objects, equal content: what a translation from scratch makes
    assert scene.publish() == 0
    assert talk.hear() == []


def test_changes_of_several_types_come_as_clusters_endpoints_listeners_routes(scene: Scene) -> None:
    talk = Talk(scene.cache)
    for kind in (LISTENER, ROUTE, CLUSTER, ENDPOINTS):
        talk.asked_and_acked(kind, [NAMES[kind]])
    scene.publish(listener={"user": "l2"}, route={"user": "r2"}, cluster={"user.c": "c2"}, endpoints={"user.c": "e2"})
    assert kinds_in(talk.hear()) == [CLUSTER, ENDPOINTS, LISTENER, ROUTE]


def test_a_nack_is_recorded_and_nothing_is_sent_until_the_content_changes(scene: Scene) -> None:
    talk = Talk(scene.cache)
    talk.ask(CLUSTER, ["user.c"])
    bad = talk.one()
    assert talk.ask(CLUSTER, ["user.c"], bad.nonce, error="no such policy") is RequestKind.NACK
    nack = talk.stream.types[CLUSTER].nack
    assert nack is not None
    assert (nack.message, nack.version, nack.at) == ("no such policy", bad.version_info, 1.0)
    assert talk.hear() == []
    scene.publish(endpoints={"user.c": "e2"})
    assert talk.hear() == []
    scene.publish(cluster={"user.c": "c2"})
    good = talk.one()
    assert talk.ask(CLUSTER, ["user.c"], good.nonce) is RequestKind.ACK
    assert talk.stream.types[CLUSTER].nack is None


def test_a_nack_of_one_type_does_not_hold_up_the_others(scene: Scene) -> None:
    talk = Talk(scene.cache)
    talk.ask(CLUSTER, ["user.c"])
    talk.ask(CLUSTER, ["user.c"], talk.one().nonce, error="no")
    assert names_in(talk.asked_and_acked(ENDPOINTS, ["user.c"])) == ["user.c"]


def test_new_names_in_a_nack_are_answered(scene: Scene) -> None:
    talk = Talk(scene.cache)
    talk.ask(ENDPOINTS, ["user.c"])
    talk.ask(ENDPOINTS, ["user.c", "order.c"], talk.one().nonce, error="no")
    assert names_in(talk.one()) == ["order.c"]


def test_an_unknown_listener_is_answered_at_once_and_replaced_when_it_comes(scene: Scene) -> None:
    talk = Talk(scene.cache)
    answer = talk.asked_and_acked(LISTENER, ["nobody"])
    assert names_in(answer) == ["nobody"]
    assert b"unknown:nobody" in answer.resources[0].value
    scene.publish(listener={**BASE[LISTENER], "nobody": "here now"})
    came = talk.one()
    assert b"unknown:" not in came.resources[0].value


def test_a_listener_that_goes_is_replaced_by_an_empty_one(scene: Scene) -> None:
    talk = Talk(scene.cache)
    talk.asked_and_acked(LISTENER, ["user"])
    scene.publish(listener={"order": "l1"})
    assert b"unknown:user" in talk.one().resources[0].value


@pytest.mark.parametrize("kind", [ROUTE, CLUSTER, ENDPOINTS])
def test_an_unknown_name_of_another_type_is_answered_empty_and_blocks_nothing(scene: Scene, kind: ResourceType) -> None:
    talk = Talk(scene.cache)
    assert names_in(talk.asked_and_acked(kind, ["nobody"])) == []
    scene.publish(**{kind.name.lower(): {**BASE[kind], "nobody": "here"}})
    assert names_in(talk.one()) == ["nobody"]


@pytest.mark.parametrize("names", [[], ["*"]])
@pytest.mark.parametrize("kind", [LISTENER, CLUSTER])
def test_a_wildcard_means_everything_now_and_later(scene: Scene, kind: ResourceType, names: list[str]) -> None:
    talk = Talk(scene.cache, NodeKind.ENVOY)
    assert names_in(talk.asked_and_acked(kind, names)) == sorted(BASE[kind])
    scene.publish(**{kind.name.lower(): {**BASE[kind], "zebra": "new"}})
    assert names_in(talk.one()) == [*sorted(BASE[kind]), "zebra"]


@pytest.mark.parametrize("kind", [ROUTE, ENDPOINTS])
def test_routes_and_endpoints_know_no_wildcard(scene: Scene, kind: ResourceType) -> None:
    assert names_in(Talk(scene.cache).asked_and_acked(kind, [])) == []


def test_naming_something_ends_the_wildcard_of_empty_names(scene: Scene) -> None:
    talk = Talk(scene.cache, NodeKind.ENVOY)
    answer = talk.asked_and_acked(CLUSTER, [])
    talk.ask(CLUSTER, ["user.c"], answer.nonce)
    assert names_in(talk.one()) == ["user.c"]
    scene.publish(cluster={**BASE[CLUSTER], "order.c": "c2"})
    assert talk.hear() == []


def test_an_envoy_gets_the_endpoints_of_a_changed_cluster_again_because_it_warms_it(scene: Scene) -> None:
    envoy, grpc = Talk(scene.cache, NodeKind.ENVOY), Talk(scene.cache)
    for talk in (envoy, grpc):
        talk.asked_and_acked(CLUSTER, ["user.c"])
        talk.asked_and_acked(ENDPOINTS, ["user.c"])
    scene.publish(cluster={**BASE[CLUSTER], "user.c": "c2"})
    assert kinds_in(envoy.hear()) == [CLUSTER, ENDPOINTS]
    assert kinds_in(grpc.hear()) == [CLUSTER]


def test_a_cluster_that_goes_is_kept_until_the_routes_without_it_are_accepted(scene: Scene) -> None:
    talk = Talk(scene.cache, NodeKind.ENVOY)
    talk.asked_and_acked(CLUSTER, [])
    talk.asked_and_acked(ROUTE, ["user"])
    scene.publish(cluster={"new.c": "c1", "order.c": "c1"}, route={"user": "r2"})
    clusters, routes = talk.hear()
    assert names_in(clusters) == ["new.c", "order.c", "user.c"]
    assert names_in(routes) == ["user"]
    talk.ask(CLUSTER, [], clusters.nonce)
    assert talk.hear() == []
    talk.ask(ROUTE, ["user"], routes.nonce)
    assert names_in(talk.one()) == ["new.c", "order.c"]


def test_a_cluster_that_comes_back_in_time_is_never_dropped(scene: Scene) -> None:
    talk = Talk(scene.cache, NodeKind.ENVOY)
    talk.asked_and_acked(CLUSTER, [])
    talk.ask(ENDPOINTS, ["user.c"])
    unacked = talk.one()
    scene.publish(cluster={"order.c": "c1"})
    assert talk.hear() == []
    scene.publish()
    answers = talk.hear()
    talk.ask(ENDPOINTS, ["user.c"], answers[-1].nonce if kinds_in(answers)[-1:] == [ENDPOINTS] else unacked.nonce)
    answers += talk.hear()
    assert all("user.c" in names_in(answer) for answer in answers)


def test_changes_while_a_reader_is_slow_become_one_answer_with_the_newest_content(scene: Scene) -> None:
    talk = Talk(scene.cache)
    talk.asked_and_acked(ENDPOINTS, ["user.c", "order.c"])
    for round_ in range(50):
        scene.publish(endpoints={"user.c": f"e{round_}", "order.c": "e2"})
    assert names_in(talk.one()) == ["order.c", "user.c"]


def test_streams_that_want_the_same_share_the_bytes(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    talks = [Talk(scene.cache, skew=skew) for skew in (0, 0, 1500)]
    for talk in talks:
        talk.asked_and_acked(CLUSTER, ["user.c"])
    scene.publish(cluster={**BASE[CLUSTER], "user.c": "c2"})
    encoded: list[ResourceType] = []
    encode = codec.encode_body

    def counted(kind: ResourceType, version: str, resources: list[Resource]) -> bytes:
        encoded.append(kind)
        return encode(kind, version, resources)

    monkeypatch.setattr(response_cache, "encode_body", counted)
    assert len({talk.one().SerializeToString() for talk in talks}) == 1
    assert encoded == [CLUSTER]


def test_before_the_first_snapshot_a_stream_waits_and_then_gets_what_it_asked_for() -> None:
    hub, mesh = SnapshotCache(), Mesh()
    talk = Talk(hub)
    talk.ask(LISTENER, ["user"])
    assert talk.hear() == []
    assert hub.publish(mesh.snapshot(BASE)) == (talk.stream,)
    assert names_in(talk.one()) == ["user"]


def test_a_new_control_plane_does_not_tell_a_node_that_its_names_are_unknown(scene: Scene) -> None:
    scene.cache.warming_up = True
    knowing, new = Talk(scene.cache), Talk(scene.cache)
    knowing.ask(LISTENER, ["user", "gone"], version="from another stream")
    assert names_in(knowing.one()) == ["user"]
    assert names_in(new.asked_and_acked(LISTENER, ["gone"])) == ["gone"]
    knowing.ask(LISTENER, ["user", "gone", "typo"], knowing.stream.types[LISTENER].nonce)
    assert names_in(knowing.one()) == ["user", "typo"]
    assert scene.cache.end_warm_up() == (knowing.stream,)
    assert names_in(knowing.one()) == ["user", "gone", "typo"]
    assert scene.cache.end_warm_up() == ()


def test_a_spared_name_is_served_as_soon_as_it_is_known(scene: Scene) -> None:
    scene.cache.warming_up = True
    talk = Talk(scene.cache)
    talk.ask(LISTENER, ["late"], version="from another stream")
    assert names_in(talk.one()) == []
    scene.publish(listener={**BASE[LISTENER], "late": "l1"})
    assert names_in(talk.one()) == ["late"]


def test_versions_depend_on_content_alone() -> None:
    answers = []
    for _ in range(2):
        scene = Scene()
        answers.append(Talk(scene.cache).asked_and_acked(CLUSTER, ["user.c"]).version_info)
    scene.publish(cluster={**BASE[CLUSTER], "user.c": "c2"})
    answers.append(Talk(scene.cache).asked_and_acked(CLUSTER, ["user.c"]).version_info)
    assert answers[0] == answers[1] != answers[2]


def node_groups() -> int:
    """The groups of nodes in memory."""
    gc.collect()
    return sum(isinstance(each, NodeGroup) for each in gc.get_objects())


def test_a_closed_stream_leaves_nothing_behind(scene: Scene) -> None:
    before = node_groups()
    talk = Talk(scene.cache)
    assert node_groups() == before + 1
    talk.asked_and_acked(CLUSTER, ["user.c"])
    scene.cache.close(talk.stream)
    scene.cache.close(talk.stream)
    assert scene.cache.streams == ()
    assert node_groups() == before
    assert scene.publish(cluster={"user.c": "c9"}) == 0


def moved(scene: Scene, *, clusters: dict[str, str], route: str) -> None:
    scene.publish(cluster=clusters, endpoints=dict.fromkeys(clusters, "e1"), route={"user": route})


def test_a_cluster_that_goes_is_kept_while_the_node_refuses_the_routes_without_it(scene: Scene) -> None:
    talk = Talk(scene.cache, NodeKind.ENVOY)
    talk.asked_and_acked(CLUSTER, [])
    talk.asked_and_acked(ROUTE, ["user"])
    moved(scene, clusters={"order.c": "c1"}, route="r2")
    talk.ask(ROUTE, ["user"], talk.one().nonce, error="no")
    assert talk.hear() == []
    moved(scene, clusters={"order.c": "c1"}, route="r3")
    talk.ask(ROUTE, ["user"], talk.one().nonce)
    assert names_in(talk.one()) == ["order.c"]


def test_a_cluster_that_comes_and_goes_twice_is_kept_once(scene: Scene) -> None:
    talk = Talk(scene.cache, NodeKind.ENVOY)
    talk.asked_and_acked(CLUSTER, [])
    talk.asked_and_acked(ROUTE, ["user"])
    moved(scene, clusters={"order.c": "c1"}, route="r2")
    moved(scene, clusters={"order.c": "c1", "user.c": "c2"}, route="r3")
    moved(scene, clusters={"order.c": "c2"}, route="r4")
    assert names_in(talk.hear()[0]) == ["order.c", "user.c"]


def test_a_listener_is_found_in_any_case_and_called_what_the_client_calls_it(scene: Scene) -> None:
    talk = Talk(scene.cache)
    answer = talk.asked_and_acked(LISTENER, ["USER"])
    assert names_in(answer) == ["USER"]
    assert b"unknown:" not in answer.resources[0].value
    assert scene.publish(listener={"order": "l1"}) == 1
    answer = talk.one()
    assert names_in(answer) == ["USER"]
    assert b"unknown:USER" in answer.resources[0].value
    assert scene.publish() == 1
    assert b"unknown:" not in talk.one().resources[0].value
