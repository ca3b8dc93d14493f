"""Registering an instance, and what Consul then says of its health."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from meshwright.model import Health, Instance, InstanceId, ServiceName
from support.waiting import eventually

if TYPE_CHECKING:
    from meshwright.consul import Consul

USER = ServiceName("user")


async def only(consul: Consul, service: str = "user") -> Instance:
    (found,) = (await consul.instances(service)).value
    return found


async def until_health(consul: Consul, health: Health) -> Instance:
    async def reached() -> Instance:
        found = await only(consul)
        assert found.health is health
        return found

    return await eventually(reached)


async def test_a_registered_instance_is_found_with_all_it_said_of_itself(consul, served):
    registration = served.registration(weight=3)
    await consul.register(registration)
    found = await eventually(lambda: only(consul), ignore=(ValueError,))
    assert found == Instance(
        id=registration.id,
        service=USER,
        address=served.address,
        health=Health.PASSING,
        tags=("grpc", "blue"),
        meta={"version": "1.2.0", "api": "v1", "metrics_port": "20001"},
        node=found.node,
        weight=3,
    )
    assert found.node
    assert (await consul.services()).value[USER] == ("blue", "grpc")
    agent = (await consul.agent_services())[registration.id]
    assert (agent.service, agent.address, agent.tags) == (USER, served.address, ("grpc", "blue"))


async def test_an_instance_counts_as_passing_before_its_first_check(consul, served):
    await consul.register(served.registration(check_interval=3600.0))
    found = await eventually(lambda: only(consul), ignore=(ValueError,))
    assert found.health is Health.PASSING


async def test_an_instance_can_register_as_critical(consul, served):
    await served.set_healthy(False)
    await consul.register(served.registration(check_interval=3600.0), status=Health.CRITICAL)
    found = await eventually(lambda: only(consul), ignore=(ValueError,))
    assert found.health is Health.CRITICAL


async def test_the_grpc_check_follows_the_health_service(consul, served):
    await consul.register(served.registration(check_interval=0.1), status=Health.CRITICAL)
    await eventually(lambda: only(consul), ignore=(ValueError,))
    await until_health(consul, Health.PASSING)
    await served.set_healthy(False)
    await until_health(consul, Health.CRITICAL)
    assert (await consul.instances("user", passing=True)).value == ()
    await served.set_healthy(True)
    await until_health(consul, Health.PASSING)


async def test_an_instance_without_a_check_is_passing(consul, served):
    await consul.register(served.registration(grpc_check=None))
    found = await eventually(lambda: only(consul), ignore=(ValueError,))
    assert found.health is Health.PASSING


async def test_a_deregistered_instance_is_gone_and_the_others_stay(consul, served):
    for number in (1, 2):
        await consul.register(served.registration(number))
    await eventually(lambda: two_instances(consul))
    await consul.deregister(InstanceId("user-1"))

    async def one_left() -> bool:
        return [item.id for item in (await consul.instances("user")).value] == ["user-2"]

    await eventually(one_left)


async def two_instances(consul: Consul) -> bool:
    return len((await consul.instances("user")).value) == 2


async def test_registering_again_replaces_the_instance_and_its_check(consul, served):
    await consul.register(served.registration())
    await consul.register(replace(served.registration(), meta={"version": "2.0.0"}, grpc_check=None))

    async def replaced() -> bool:
        found = await only(consul)
        checks = [state for state in (await consul.check_states()).value if state.service == "user"]
        return found.version == "2.0.0" and checks == []

    await eventually(replaced, ignore=(ValueError,))


async def test_maintenance_takes_an_instance_out_and_back(consul, served):
    await consul.register(served.registration(check_interval=3600.0))
    await eventually(lambda: only(consul), ignore=(ValueError,))
    await consul.maintenance(InstanceId("user-1"), enable=True, reason="a new disk")
    await until_health(consul, Health.MAINTENANCE)
    assert (await consul.instances("user", passing=True)).value == ()
    await consul.maintenance(InstanceId("user-1"), enable=False)
    await until_health(consul, Health.PASSING)


async def test_a_filter_on_meta_selects_instances(consul, served):
    await consul.register(served.registration(1))
    await consul.register(replace(served.registration(2), meta={"version": "2.0.0"}))
    await eventually(lambda: two_instances(consul))
    found = await consul.instances("user", filter='Service.Meta.version == "2.0.0"')
    assert [item.id for item in found.value] == ["user-2"]


async def test_one_query_tells_the_state_of_every_check(consul, served):
    await served.set_healthy(False)
    await consul.register(served.registration(check_interval=3600.0), status=Health.CRITICAL)

    async def told() -> bool:
        states = (await consul.check_states()).value
        return any(state.instance == "user-1" and state.health is Health.CRITICAL for state in states)

    await eventually(told)


async def test_an_unknown_service_has_no_instances(consul):
    answer = await consul.instances("nobody")
    assert answer.value == ()
    assert answer.index >= 1


async def test_a_name_with_a_slash_reaches_consul_as_it_is(consul, served):
    registration = served.registration(id=InstanceId("team/user 1?"), grpc_check=None)
    await consul.register(registration)
    found = await consul.agent_service(registration.id)
    assert found
    assert found.id == "team/user 1?"
    await consul.deregister(registration.id)
    assert await consul.agent_service(registration.id) is None
