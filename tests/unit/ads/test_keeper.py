"""What is believed of a Consul that may have lost its state."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from meshwright.controlplane.consul_source.state_loss_guard import StateLossGuard
from meshwright.controlplane.model.catalog import Catalog, Target
from meshwright.controlplane.model.policy import Policy
from meshwright.model import Address, Health, Instance, InstanceId, ServiceName
from support.controlplane.plane import plain_chain

USER, ORDER = ServiceName("user"), ServiceName("order")
WINDOW = 60.0
SPLIT: dict[str, Any] = {**plain_chain("user"), "Nodes": {"splitter:user": {"Type": "splitter"}}}


def instance(name: str, health: Health = Health.PASSING, port: int = 1) -> Instance:
    service = ServiceName(name.partition("-")[0])
    return Instance(InstanceId(name), service, Address("127.0.0.1", port), health=health)


def catalog(*instances: Instance, chains: Any = None, policies: Any = None) -> Catalog:
    lists: dict[Target, list[Instance]] = {Target(USER): [], Target(ORDER): []}
    for each in instances:
        lists[Target(each.service)].append(each)
    known = {USER: plain_chain("user"), ORDER: plain_chain("order")} if chains is None else chains
    return Catalog(known, {target: tuple(found) for target, found in lists.items()}, policies or {})


FULL = catalog(instance("user-1"), instance("user-2"), instance("order-1"))
GONE = Catalog()


def ids(kept: Catalog, service: ServiceName = USER) -> list[str]:
    return [each.id for each in kept.instances.get(Target(service), ())]


@pytest.fixture
def keeper() -> StateLossGuard:
    made = StateLossGuard(WINDOW)
    assert made.settle(FULL, 0, 1) is FULL
    return made


def test_a_removal_over_a_sound_watch_is_believed_at_once(keeper: StateLossGuard) -> None:
    less = catalog(instance("user-1"), instance("order-1"))
    assert keeper.settle(less, 2, 3) is less
    assert keeper.held == frozenset()


def test_the_last_instance_of_a_service_may_go_while_others_stay(keeper: StateLossGuard) -> None:
    assert ids(keeper.settle(catalog(instance("order-1")), 2, 3)) == []


def test_the_only_instance_of_the_only_service_may_go() -> None:
    keeper = StateLossGuard(WINDOW)
    keeper.settle(catalog(instance("user-1")), 0, 1)
    assert ids(keeper.settle(catalog(), 2, 3)) == []


def test_everything_at_once_is_not_believed_until_the_window_ends(keeper: StateLossGuard) -> None:
    assert ids(keeper.settle(GONE, 2, 3)) == ["user-1", "user-2"]
    assert keeper.held == {USER, ORDER}
    assert keeper.until == 3 + WINDOW
    assert ids(keeper.settle(GONE, 61, 62)) == ["user-1", "user-2"]
    assert keeper.settle(GONE, 63, 63) == GONE
    assert (keeper.until, keeper.held) == (None, frozenset())


def test_at_the_end_of_the_window_only_what_was_asked_since_is_believed(keeper: StateLossGuard) -> None:
    keeper.settle(GONE, 2, 3)
    assert not keeper.wants_proof(62.9)
    assert keeper.wants_proof(63)
    assert not keeper.wants_proof(64)
    assert keeper.until is None
    assert ids(keeper.settle(GONE, 62.9, 64)) == ["user-1", "user-2"]
    assert keeper.settle(FULL, 64, 65) is FULL
    assert (keeper.reason, keeper.held) == ("", frozenset())


def test_a_refused_query_is_no_proof_within_the_window_and_does_not_prolong_it(keeper: StateLossGuard) -> None:
    keeper.suspect("away", 2)
    keeper.settle(FULL, 3, 4, whole=False)
    assert keeper.reason == "away"
    keeper.settle(FULL, 62, 63, whole=False)
    assert keeper.reason == ""


def test_after_an_outage_what_is_missing_is_kept_and_what_came_back_is_taken_as_it_is(keeper: StateLossGuard) -> None:
    keeper.suspect("away", 2)
    kept = keeper.settle(catalog(instance("user-2", port=9), instance("user-3")), 3, 4)
    assert ids(kept) == ["user-1", "user-2", "user-3"]
    assert kept.instances[Target(USER)][1].address.port == 9
    assert ids(kept, ORDER) == ["order-1"]


def test_an_instance_that_came_back_and_went_is_gone(keeper: StateLossGuard) -> None:
    keeper.suspect("away", 2)
    keeper.settle(catalog(instance("user-1")), 3, 4)
    assert ids(keeper.settle(catalog(), 5, 6)) == ["user-2"]


def test_what_was_read_before_the_outage_does_not_count_as_having_come_back(keeper: StateLossGuard) -> None:
    keeper.suspect("away", 2)
    keeper.settle(FULL, 1.5, 2.5)
    assert ids(keeper.settle(GONE, 3, 4)) == ["user-1", "user-2"]


def test_an_instance_keeps_its_health_until_its_check_has_passed_once(keeper: StateLossGuard) -> None:
    keeper.suspect("away", 2)
    critical = catalog(instance("user-1", Health.CRITICAL))

    def health(kept: Catalog) -> Health:
        return kept.instances[Target(USER)][0].health

    assert health(keeper.settle(critical, 3, 4)) is Health.PASSING
    assert health(keeper.settle(catalog(instance("user-1")), 5, 6)) is Health.PASSING
    assert health(keeper.settle(critical, 7, 8)) is Health.CRITICAL


def test_an_instance_that_came_back_elsewhere_is_as_healthy_as_consul_says(keeper: StateLossGuard) -> None:
    keeper.suspect("away", 2)
    kept = keeper.settle(catalog(instance("user-1", Health.CRITICAL, port=7)), 3, 4)
    assert kept.instances[Target(USER)][0].health is Health.CRITICAL


def test_an_id_that_came_back_with_other_capitals_is_the_same_instance(keeper: StateLossGuard) -> None:
    keeper.suspect("away", 2)
    critical = instance("USER-1", Health.CRITICAL)
    kept = keeper.settle(catalog(dataclasses.replace(critical, service=USER)), 3, 4)
    assert ids(kept) == ["USER-1", "user-2"]
    assert kept.instances[Target(USER)][0].health is Health.PASSING
    assert ids(keeper.settle(catalog(), 5, 6)) == ["user-2"]


def test_two_nodes_may_have_the_same_id_and_neither_instance_is_lost() -> None:
    one = dataclasses.replace(instance("user-1", port=1), node="a")
    other = dataclasses.replace(instance("user-1", port=2), node="b")
    keeper = StateLossGuard(WINDOW)
    keeper.settle(catalog(one, other), 0, 1)
    keeper.suspect("away", 2)
    assert keeper.settle(GONE, 3, 4).instances[Target(USER)] == (one, other)
    assert keeper.settle(catalog(other), 5, 6).instances[Target(USER)] == (one, other)
    assert keeper.settle(catalog(), 7, 8).instances[Target(USER)] == (one,)


def test_an_instance_that_came_back_on_another_node_at_its_address_is_not_doubled() -> None:
    before = dataclasses.replace(instance("user-1"), node="a")
    after = dataclasses.replace(instance("user-1", Health.CRITICAL), node="b")
    keeper = StateLossGuard(WINDOW)
    keeper.settle(catalog(before), 0, 1)
    keeper.suspect("away", 2)
    kept = keeper.settle(catalog(after), 3, 4)
    assert kept.instances[Target(USER)] == (dataclasses.replace(after, health=Health.PASSING),)


def test_maintenance_is_a_wish_and_counts_at_once(keeper: StateLossGuard) -> None:
    keeper.suspect("away", 2)
    kept = keeper.settle(catalog(instance("user-1", Health.MAINTENANCE)), 3, 4)
    assert kept.instances[Target(USER)][0].health is Health.MAINTENANCE


def test_the_window_ends_early_when_nothing_is_missing(keeper: StateLossGuard) -> None:
    keeper.suspect("away", 2)
    more = catalog(instance("user-1"), instance("user-2"), instance("user-3"), instance("order-1"))
    assert keeper.settle(more, 3, 4) is more
    assert keeper.until is None
    assert ids(keeper.settle(catalog(instance("order-1")), 5, 6)) == []


def test_each_further_sign_extends_the_window(keeper: StateLossGuard) -> None:
    keeper.suspect("away", 2)
    keeper.suspect("away", 50)
    assert ids(keeper.settle(GONE, 90, 91)) == ["user-1", "user-2"]
    assert keeper.until == 50 + WINDOW


def test_at_the_end_of_the_window_what_did_not_come_back_is_gone(keeper: StateLossGuard) -> None:
    keeper.suspect("away", 2)
    assert ids(keeper.settle(catalog(instance("user-1")), 62, 62)) == ["user-1"]


def test_a_policy_that_vanished_with_the_state_is_kept_and_one_written_anew_counts() -> None:
    keeper = StateLossGuard(WINDOW)
    old, new = Policy(max_concurrent_requests=1), Policy(max_concurrent_requests=2)
    keeper.settle(dataclasses.replace(FULL, policies={USER: old}), 0, 1)
    keeper.suspect("away", 2)
    assert keeper.settle(FULL, 3, 4).policies == {USER: old}
    assert USER in keeper.held
    assert keeper.settle(dataclasses.replace(FULL, policies={USER: new}), 5, 6).policies == {USER: new}


def test_a_chain_that_fell_back_to_the_default_is_kept_and_one_written_anew_counts() -> None:
    keeper = StateLossGuard(WINDOW)
    chains = {USER: SPLIT, ORDER: plain_chain("order")}
    keeper.settle(dataclasses.replace(FULL, chains=chains), 0, 1)
    keeper.suspect("away", 2)
    assert keeper.chains(FULL.chains) == chains
    assert keeper.chains({}) == chains
    other = {**SPLIT, "StartNode": "splitter:user"}
    assert keeper.chains({USER: other})[USER] == other
    assert keeper.settle(FULL, 3, 4).chains == chains
    assert keeper.settle(FULL, 62, 63).chains == FULL.chains


def test_nothing_is_kept_where_nothing_was_known() -> None:
    keeper = StateLossGuard(WINDOW)
    keeper.suspect("away", 0)
    assert keeper.until is None
    assert keeper.settle(GONE, 1, 2) is GONE
