"""What wakes the source, and what it holds on to, against a Consul whose every answer the test decides."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING

from meshwright.consul import CheckState, ConsulError, Indexed
from meshwright.controlplane.consul_source import source
from meshwright.controlplane.model.catalog import Target
from meshwright.model import Address, Health, InstanceId, ServiceName
from support.controlplane.plane import plain_chain
from support.waiting import eventually
from unit.ads.scripted_consul import USER, Consul, Following, filtered_chain, followed, instance

if TYPE_CHECKING:
    import pytest


async def test_a_move_of_the_index_that_nothing_explains_wakes_a_sleeping_source(
    consul: Consul, following: Following
) -> None:
    await eventually(lambda: following.source.sweep_at is None, timeout=15)
    consul.lists["user", ""] = (instance("2"),)
    await consul.put("services", {USER: ()})
    await eventually(lambda: following.instances() == (instance("2"),), timeout=15)


async def test_a_filter_that_consul_refuses_leaves_the_chain_before_in_force_and_alive(
    consul: Consul, following: Following
) -> None:
    consul.chains["user"] = filtered_chain("good")
    consul.lists["user", "good"] = (instance(),)
    await consul.put("service-resolver", ({"Name": "user", "n": 1},))
    await eventually(lambda: following.instances("good") == (instance(),))
    consul.chains["user"] = filtered_chain("bad")
    consul.lists["user", "bad"] = ConsulError("GET /v1/...", 500, "no such selector")
    await consul.put("service-resolver", ({"Name": "user", "n": 2},))
    await eventually(lambda: following.source.problems.all)
    assert following.last is not None
    assert following.last.chains[USER] == filtered_chain("good")
    consul.lists["user", "good"] = (instance("2"),)
    await consul.put("checks", (CheckState("n", "c1", USER, InstanceId("user-1"), Health.WARNING, 12),))
    await eventually(lambda: following.instances("good") == (instance("2"),))
    assert following.last.chains[USER] == filtered_chain("good")
    consul.chains["user"] = filtered_chain("mended")
    consul.lists["user", "mended"] = (instance("3"),)
    await consul.put("service-resolver", ({"Name": "user", "n": 3},))
    await eventually(lambda: following.instances("mended") == (instance("3"),))
    assert following.last.chains[USER] == filtered_chain("mended")
    assert following.source.problems.all == ()


async def test_what_is_upheld_is_read_though_no_chain_names_it(consul: Consul, following: Following) -> None:
    consul.lists["user", "kept"] = (instance(),)
    following.source.uphold(frozenset({Target(USER, "kept")}))
    await consul.put("checks", (CheckState("n", "c1", USER, InstanceId("user-1"), Health.WARNING, 12),))
    await eventually(lambda: following.instances("kept") == (instance(),))
    following.source.uphold(frozenset())
    await consul.put("checks", (CheckState("n", "c1", USER, InstanceId("user-1"), Health.PASSING, 13),))
    await eventually(lambda: following.last and Target(USER, "kept") not in following.last.instances)


PAIR = (instance(), dataclasses.replace(instance(), id=InstanceId("user-2"), address=Address("127.0.0.1", 2)))
CHECKS = tuple(CheckState("n", f"c{each.id}", USER, each.id, Health.PASSING, 11) for each in PAIR)


async def test_what_a_token_may_not_read_for_a_while_is_asked_for_again_before_it_is_believed_gone(
    consul: Consul,
) -> None:
    consul.lists["user", ""] = PAIR
    await consul.put("checks", CHECKS)
    async with followed(consul, recovery=0.3) as following:
        seen: list[int] = []
        consul.lists["user", ""] = ()
        await consul.put("services", {})
        await consul.put("checks", ())
        await eventually(lambda: following.source.guard.held)
        consul.lists["user", ""] = PAIR
        consul.show("services", {USER: ()})
        consul.show("checks", CHECKS)

        def over() -> bool:
            seen.append(len(following.instances()))
            return not following.source.guard.reason

        await eventually(over)
        seen.append(len(following.instances()))
        assert set(seen) == {2}
        assert following.source.checked == {("n", each.id) for each in PAIR}


async def test_what_is_gone_when_asked_again_is_gone(consul: Consul) -> None:
    consul.lists["user", ""] = PAIR
    await consul.put("checks", CHECKS)
    async with followed(consul, recovery=0.3) as following:
        consul.lists["user", ""] = ()
        await consul.put("services", {})
        await consul.put("checks", ())
        await eventually(lambda: following.source.guard.held)
        assert len(following.instances()) == 2
        await eventually(lambda: following.instances() == ())
        assert not following.source.guard.reason


async def test_a_watch_that_consul_refuses_does_not_keep_a_recovery_from_ending(consul: Consul) -> None:
    consul.lists["user", ""] = PAIR
    async with followed(consul, recovery=0.3) as following:
        consul.topics["kv"] = ConsulError("GET /v1/kv/...", 403, "Permission denied")
        consul.lists["user", ""] = ()
        await consul.put("services", {})
        await consul.put("checks", ())
        await eventually(lambda: following.instances() == ())
        await eventually(lambda: "policies" in following.source.errors)
        consul.topics["kv"] = Indexed((), 1)
        await eventually(lambda: following.source.connected)


async def test_what_a_token_may_read_again_is_served_when_a_wait_runs_out_without_checks_too(consul: Consul) -> None:
    unchecked = dataclasses.replace(instance(), id=InstanceId("order-1"), service=ServiceName("order"))
    consul.chains["order"] = plain_chain("order")
    consul.lists["order", ""] = (unchecked,)
    await consul.put("services", {USER: (), ServiceName("order"): ()})
    async with followed(consul, recovery=0.0) as following:
        order = Target(ServiceName("order"))
        await eventually(lambda: following.last and following.last.instances.get(order))
        await eventually(lambda: following.source.sweep_at is None, timeout=15)
        shown = consul.topics["checks"].value
        consul.lists["user", ""] = consul.lists["order", ""] = ()
        consul.show("checks", ())
        await consul.wait_runs_out()
        await eventually(lambda: following.source.problems.all)
        assert following.last is not None
        assert (following.last.instances[order], following.instances()) == ((unchecked,), (instance(),))
        moved = dataclasses.replace(unchecked, address=Address("127.0.0.1", 3))
        consul.lists["user", ""], consul.lists["order", ""] = (instance(),), (moved,)
        consul.show("checks", shown)
        await consul.wait_runs_out()
        await eventually(lambda: following.last and following.last.instances.get(order) == (moved,))
        assert following.instances() == (instance(),)


async def test_a_token_that_may_read_no_node_is_a_problem_and_nothing_is_said_before_the_first_true_view(
    consul: Consul,
) -> None:
    consul.shows_nodes = False
    async with followed(consul, known=False) as following:
        await eventually(lambda: following.source.problems.all)
        assert "does the token have node:read?" in following.source.problems.all[0].message
        assert not following.source.synced
        assert following.last is None
        consul.shows_nodes = True  # no index moves, no query wakes
        await eventually(lambda: following.instances() == (instance(),))
        assert following.source.problems.all == ()


async def test_what_is_in_force_stays_while_the_token_may_not_read_nodes(consul: Consul, following: Following) -> None:
    await eventually(lambda: following.instances() == (instance(),))
    consul.shows_nodes = False
    consul.lists["user", ""] = ()
    await consul.put("services", {USER: ("a tag",)})  # wakes a reading whose answer the rights have emptied
    await eventually(lambda: following.source.problems.all)
    assert following.instances() == (instance(),)
    consul.lists["user", ""] = (instance("2"),)
    consul.shows_nodes = True
    await eventually(lambda: following.instances() == (instance("2"),))
    assert following.source.problems.all == ()


async def test_the_last_instance_that_goes_is_believed_where_the_token_may_read(
    consul: Consul, following: Following
) -> None:
    await eventually(lambda: following.instances() == (instance(),))
    consul.lists["user", ""] = ()
    await consul.put("checks", ())
    await consul.put("services", {})
    await eventually(lambda: following.instances() == ())
    assert following.source.problems.all == ()


async def test_spellings_of_one_service_are_one_service(consul: Consul, following: Following) -> None:
    consul.lists["user", ""] = (instance("2"),)
    await consul.put("services", {USER: (), ServiceName("User"): ()})
    await eventually(lambda: following.instances() == (instance("2"),))
    consul.lists["user", ""] = (instance("3"),)
    await consul.put("checks", (CheckState("n", "c1", ServiceName("USER"), InstanceId("User-1"), Health.PASSING, 12),))
    await eventually(lambda: following.instances() == (instance("3"),))
    assert following.last is not None
    assert set(following.last.chains) == {USER}


async def test_a_name_that_is_no_path_is_left_out_and_a_problem(consul: Consul, following: Following) -> None:
    await consul.put("services", {USER: (), ServiceName("/user"): ()})
    await eventually(lambda: following.source.problems.all)
    (problem,) = following.source.problems.all
    assert str(problem) == "the name '/user': begins with a slash, which Consul takes away: it is left out"
    assert following.last is not None
    assert set(following.last.chains) == {USER}


async def test_a_consul_without_connect_is_one_problem_until_it_is_switched_on(
    consul: Consul, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "RETRY_REFUSED", 0.1)
    off = ConsulError("GET /v1/...", 500, "Connect must be enabled in order to use this endpoint")
    chains, consul.chains = consul.chains, {"consul": off, "user": off}
    async with followed(consul, known=False) as following:
        await eventually(lambda: following.source.problems.all)
        (problem,) = following.source.problems.all
        assert "connect { enabled = true }" in problem.message
        assert following.last is None
        consul.chains = chains
        await eventually(lambda: following.instances() == (instance(),))
        assert following.source.problems.all == ()


async def test_what_a_caller_s_defaults_say_is_in_the_catalog_and_changes_with_them(
    consul: Consul, following: Following
) -> None:
    def limit() -> int | None:
        rules = following.last and following.last.callers.get(USER)
        rule = rules.rule("anything") if rules else None
        return rule.concurrent_requests if rule else None

    for number in (3, 4):
        config = {"Defaults": {"Limits": {"MaxConcurrentRequests": number}}}
        await consul.put("service-defaults", ({"Kind": "service-defaults", "Name": "user", "UpstreamConfig": config},))
        await eventually(lambda wanted=number: limit() == wanted)
    await consul.put("service-defaults", ())
    await eventually(lambda: limit() is None)


async def test_a_service_that_is_listed_without_instances_keeps_them_and_is_a_problem_until_they_are_shown(
    consul: Consul, following: Following
) -> None:
    consul.lists["user", ""] = ()  # as for a token that lost node:read for the nodes of this service alone
    await consul.put("checks", ())
    await eventually(lambda: following.source.problems.all)
    (problem,) = following.source.problems.all
    assert str(problem).startswith("instances of user: Consul lists it and shows no instance of it")
    assert following.instances() == (instance(),)
    consul.lists["user", ""] = (instance("2"),)
    await eventually(lambda: following.instances() == (instance("2"),))
    await eventually(lambda: following.source.problems.all == ())


async def test_a_service_without_instances_from_the_start_is_a_problem(consul: Consul) -> None:
    consul.lists["user", ""] = ()
    async with followed(consul) as following:
        await eventually(lambda: following.source.problems.all)
        assert following.instances() == ()


async def test_no_leader_while_lists_are_doubted_is_no_failure(consul: Consul, following: Following) -> None:
    checks = consul.topics["checks"]
    consul.lists["user", ""] = ()
    consul.topics["services"], services = (
        ConsulError("GET /v1/...", 500, "No cluster leader"),
        consul.topics["services"],
    )
    await consul.put("checks", ())
    await asyncio.sleep(0.1)
    assert following.instances() == (instance(),)
    consul.topics["checks"], consul.topics["services"] = checks, services
    consul.lists["user", ""] = (instance("2"),)
    await eventually(lambda: following.instances() == (instance("2"),))
