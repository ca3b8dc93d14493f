"""What a token may not read any more is not gone, and looking again costs no more the longer it lasts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from meshwright.consul import CheckState, ConsulError
from meshwright.controlplane.consul_source import source
from meshwright.model import Health, InstanceId, ServiceName
from support.controlplane.plane import plain_chain
from support.waiting import eventually
from unit.ads.scripted_consul import USER, filtered_chain, instance

if TYPE_CHECKING:
    from unit.ads.scripted_consul import Consul, Following

DENIED = ConsulError("GET /v1/discovery-chain/user", 403, "Permission denied")
CHECK = CheckState("n", "c1", USER, InstanceId("user-1"), Health.PASSING, 11)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "RETRY_REFUSED", 0.1)


@pytest.mark.parametrize("woken", ["checks", "services"])
async def test_a_service_that_the_token_may_not_read_any_more_stays_and_is_a_problem(
    consul: Consul, following: Following, woken: str
) -> None:
    config = {"Defaults": {"Limits": {"MaxConcurrentRequests": 3}}}
    await consul.put("service-defaults", ({"Kind": "service-defaults", "Name": "user", "UpstreamConfig": config},))
    await eventually(lambda: following.last and following.last.callers)
    before = following.last
    chain, consul.chains["user"], consul.lists["user", ""] = consul.chains["user"], DENIED, ()
    consul.show("service-defaults", ())
    consul.show("checks", ())
    consul.show("services", {})
    await consul.put(woken, consul.topics[woken].value)
    await eventually(lambda: following.source.problems.all)
    (problem,) = following.source.problems.all
    assert str(problem).startswith("chain of user: ")
    assert "does the token have service:read?" in problem.message
    assert following.last == before
    asked = consul.asked["user"]
    await asyncio.sleep(0.25)
    assert consul.asked["user"] - asked <= 15, "it is looked at again now and then"
    consul.chains["user"], consul.lists["user", ""] = chain, (instance("2"),)
    consul.show("checks", (CHECK,))
    consul.show("services", {USER: ()})  # what it may read again wakes no query
    await eventually(lambda: following.instances() == (instance("2"),))
    assert following.source.problems.all == ()


async def test_a_service_that_went_while_the_token_could_not_read_it_is_gone_when_it_can(
    consul: Consul, following: Following
) -> None:
    chain, consul.chains["user"], consul.lists["user", ""] = consul.chains["user"], DENIED, ()
    await consul.put("services", {})
    await eventually(lambda: following.source.problems.all)
    consul.chains["user"] = chain
    await eventually(lambda: following.last and not following.last.chains)
    assert following.source.problems.all == ()


async def test_lists_with_a_filter_stay_where_the_whole_list_is_hidden(consul: Consul, following: Following) -> None:
    first = 'Service.Meta.version == "1"'
    consul.lists["user", first] = (instance(),)
    consul.chains["user"] = filtered_chain(first)
    await consul.put("service-resolver", ({"Kind": "service-resolver", "Name": "user"},))
    await eventually(lambda: following.instances(first) == (instance(),))
    consul.lists["user", first] = consul.lists["user", ""] = ()
    await consul.put("checks", ())
    await eventually(lambda: following.source.problems.all)
    (problem,) = following.source.problems.all
    assert str(problem).startswith("instances of user: Consul lists it and shows no instance of it")
    assert following.instances(first) == (instance(),)
    consul.lists["user", ""] = (instance("2"),)
    await eventually(lambda: following.instances(first) == ())
    await eventually(lambda: following.source.problems.all == ())


async def test_a_hidden_service_is_not_asked_for_without_pause(consul: Consul, following: Following) -> None:
    consul.lists["user", ""] = ()
    await consul.put("checks", ())
    await eventually(lambda: following.source.problems.all)
    asked = consul.asked["user"]
    await asyncio.sleep(0.5)
    assert consul.asked["user"] - asked <= 3


async def test_what_consul_refuses_is_tried_again_as_often_after_many_changes_as_after_one(
    consul: Consul, following: Following
) -> None:
    broken = ServiceName("broken")
    consul.chains["broken"] = ConsulError("GET /v1/discovery-chain/broken", 500, "circular resolver redirect")
    consul.chains["user"] = plain_chain(USER)
    for number in range(20):
        await consul.put("services", {USER: (str(number),), broken: ()})
        await asyncio.sleep(0.005)
    await eventually(lambda: following.source.problems.all)
    asked = consul.asked["broken"]
    await asyncio.sleep(0.5)
    assert consul.asked["broken"] - asked <= 6
