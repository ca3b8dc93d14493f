"""An instance stays registered whatever happens to Consul, and is gone for good once it is withdrawn."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

import pytest
from aiohttp import web

from meshwright.config import ConsulConfig
from meshwright.consul import Consul, Registrar, Registration
from meshwright.errors import MeshwrightError
from meshwright.http import serving
from meshwright.model import Address, Health, InstanceId, ServiceName
from support.consul.proxy import proxied
from support.processes import promised_port
from support.waiting import eventually

ID = InstanceId("user-1")
REGISTER = "PUT /v1/agent/service/register"


def known_to(consul: Consul):
    """Whether the catalog has the instance, as a condition to wait for."""

    async def known() -> bool:
        return [item.id for item in (await consul.instances("user")).value] == [ID]

    return known


def unknown_to(consul: Consul):
    async def unknown() -> bool:
        in_catalog = (await consul.instances("user")).value
        return not in_catalog and await consul.agent_service(ID) is None

    return unknown


async def test_the_instance_is_registered_for_as_long_as_the_context_lasts(consul, served):
    async with Registrar(consul, served.registration()) as registrar:
        assert registrar.registered
        await eventually(known_to(consul))
    assert not registrar.registered
    await eventually(unknown_to(consul))


async def test_an_instance_that_consul_forgets_is_back_at_once(consul, served):
    async with Registrar(consul, served.registration()):
        await eventually(known_to(consul))
        for _ in range(3):
            before = (await consul.instances("user")).index
            await consul.deregister(ID)

            async def back(before: int = before) -> bool:
                now = await consul.instances("user")
                return bool(now.value) and now.index > before

            await eventually(back, 2.0)


async def test_a_consul_that_restarts_empty_has_the_instance_again_soon(any_consul, consul, served):
    async with Registrar(consul, served.registration()) as registrar:
        await eventually(known_to(consul))
        await any_consul.restart(empty=True)
        await eventually(known_to(consul), 3.0)
        await eventually(lambda: registrar.registered, 3.0)


async def test_an_unhealthy_instance_comes_back_as_critical(any_consul, consul, served):
    healthy = True
    registration = served.registration(check_interval=3600.0)
    async with Registrar(consul, registration, healthy=lambda: healthy):
        await eventually(known_to(consul))
        healthy = False
        await served.set_healthy(False)
        await any_consul.restart(empty=True)

        async def critical() -> bool:
            return [item.health for item in (await consul.instances("user")).value] == [Health.CRITICAL]

        await eventually(critical, 3.0)


async def test_without_a_consul_serving_goes_on_and_the_instance_registers_once_there_is_one(
    any_consul, consul, served, caplog
):
    await any_consul.kill()
    with caplog.at_level(logging.WARNING, "meshwright.consul"):
        began = time.monotonic()
        async with Registrar(consul, served.registration()) as registrar:
            assert time.monotonic() - began < 2
            assert not registrar.registered
            await eventually(lambda: caplog.records)
            await any_consul.start()
            await eventually(known_to(consul), 3.0)
            await eventually(lambda: registrar.registered, 3.0)
    refused = [record for record in caplog.records if "connection refused" in record.getMessage()]
    assert len(refused) == 1
    assert str(any_consul.address) in refused[0].getMessage()


async def test_a_registrar_that_never_reached_consul_withdraws_at_once(served):
    async with Consul(ConsulConfig(address=f"127.0.0.1:{promised_port()}")) as nobody:
        registrar = Registrar(nobody, served.registration(), patience=60.0)
        await registrar.start()
        async with asyncio.timeout(5):
            assert await registrar.withdraw()


async def test_withdrawing_during_an_outage_is_bounded_in_time_and_says_so(any_consul, consul, served, caplog):
    registrar = Registrar(consul, served.registration(), patience=0.3)
    await registrar.start()
    await any_consul.kill()
    with caplog.at_level(logging.WARNING, "meshwright.consul"):
        async with asyncio.timeout(5):
            assert not await registrar.withdraw()
    assert "did not confirm that user-1 is gone" in caplog.text
    await any_consul.start()
    assert await consul.agent_service(ID) is None


async def test_withdrawing_waits_for_a_consul_that_comes_back_in_time(any_consul, consul, served):
    registrar = Registrar(consul, served.registration(), patience=30.0)
    await registrar.start()
    await any_consul.kill()
    withdrawing = asyncio.create_task(registrar.withdraw())
    await any_consul.start()
    assert await withdrawing
    await eventually(unknown_to(consul))


def keeps_no_more() -> bool:
    """Whether the task that keeps the instance registered has ended."""
    return f"registrar {ID}" not in {task.get_name() for task in asyncio.all_tasks()}


async def test_a_registration_under_way_does_not_outlive_the_withdrawal(any_consul, consul, served):
    async with proxied(any_consul) as proxy, Consul(proxy.config) as slow:
        registrar = Registrar(slow, served.registration(), patience=30.0)
        with proxy.holding(REGISTER) as let_go:
            starting = asyncio.create_task(registrar.start())
            await eventually(lambda: REGISTER in proxy.arrived)
            withdrawing = asyncio.create_task(registrar.withdraw())
            await eventually(keeps_no_more)
            assert not withdrawing.done()
            let_go.set()
            assert await withdrawing
            await starting
        assert proxy.done[-2:] == [REGISTER, "PUT /v1/agent/service/deregister/user-1"]
        await eventually(unknown_to(consul))


async def test_a_registration_that_comes_back_from_the_dead_is_withdrawn_too(any_consul, consul, served):
    async with proxied(any_consul) as proxy, Consul(proxy.config) as slow:
        registrar = Registrar(slow, served.registration(), patience=30.0)
        await registrar.start()
        with proxy.holding(REGISTER) as let_go:
            await consul.deregister(ID)
            await eventually(lambda: proxy.count(REGISTER) == 2)
            withdrawing = asyncio.create_task(registrar.withdraw())
            await eventually(keeps_no_more)
            let_go.set()
            assert await withdrawing
        assert proxy.done[-2:] == [REGISTER, "PUT /v1/agent/service/deregister/user-1"]
        await eventually(unknown_to(consul))


async def test_a_registered_instance_costs_consul_one_waiting_request(any_consul, served):
    async with (
        proxied(any_consul) as proxy,
        Consul(proxy.config) as consul,
        Registrar(consul, served.registration()),
    ):
        await eventually(known_to(consul))
        # Two looks at the instance: the one after registering, and the one that waits.
        await eventually(lambda: proxy.count(f"GET /v1/agent/service/{ID}") == 2)
        assert len(proxy.arrived) - len(proxy.done) == 1
        for _ in range(20):
            await consul.leader()
        assert proxy.count(f"GET /v1/agent/service/{ID}") == 2
        assert proxy.count(REGISTER) == 1


async def test_another_process_under_the_same_id_is_reported_and_not_fought(any_consul, consul, served, caplog):
    with caplog.at_level(logging.WARNING, "meshwright.consul"):
        async with (
            proxied(any_consul) as proxy,
            Consul(proxy.config) as ours,
            Registrar(ours, served.registration()),
        ):
            await eventually(lambda: proxy.count(f"GET /v1/agent/service/{ID}") == 2)
            await consul.register(served.registration(meta={"version": "other"}))
            await eventually(lambda: "another process registered user-1" in caplog.text)
            assert proxy.count(REGISTER) == 1


async def test_a_persisted_registration_of_an_earlier_life_is_replaced(consul, served):
    await consul.register(served.registration(meta={"version": "old"}))
    async with Registrar(consul, served.registration()):

        async def replaced() -> bool:
            return [item.version for item in (await consul.instances("user")).value] == ["1.2.0"]

        await eventually(replaced)


async def test_a_registrar_starts_once(consul, served):
    async with Registrar(consul, served.registration()) as registrar:
        with pytest.raises(RuntimeError, match="starts once"):
            await registrar.start()


async def test_many_instances_of_one_process_all_come_back(any_consul, consul, served):
    async with contextlib.AsyncExitStack() as stack:
        for number in range(40):
            await stack.enter_async_context(Registrar(consul, served.registration(number)))
        await any_consul.restart(empty=True)

        async def all_back() -> bool:
            with contextlib.suppress(MeshwrightError):
                return len((await consul.instances("user")).value) == 40
            return False

        await eventually(all_back, 10.0)


async def test_a_consul_that_refuses_the_registration_is_not_kept_busy_and_not_waited_for(served, caplog):
    refusals = []

    async def refuse(request: web.Request) -> web.Response:
        refusals.append(request.path)
        return web.Response(text="Permission denied", status=403)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", refuse)
    async with serving(app, "127.0.0.1", 0, grace=0.1) as address, Consul(ConsulConfig(address=str(address))) as consul:
        with caplog.at_level(logging.WARNING, "meshwright.consul"):
            registrar = Registrar(consul, served.registration(), patience=60.0)
            await registrar.start()
            assert not registrar.registered
            async with asyncio.timeout(5):
                assert await registrar.withdraw()
    assert refusals == ["/v1/agent/services", "/v1/agent/service/register"]
    assert "403" in caplog.text
    assert "Permission denied" in caplog.text


async def test_withdrawing_twice_asks_consul_once(any_consul, served):
    async with proxied(any_consul) as proxy, Consul(proxy.config) as consul:
        async with Registrar(consul, served.registration()) as registrar:
            assert await registrar.withdraw()
        assert proxy.count("deregister") == 1


async def test_an_id_that_differs_from_anothers_by_case_is_not_registered_and_says_why(any_consul, caplog):
    first = Registration(InstanceId("Hello-1"), ServiceName("hello"), Address("127.0.0.1", 1), grpc_check=None)
    second = Registration(InstanceId("hello-1"), ServiceName("hello"), Address("127.0.0.1", 2), grpc_check=None)
    async with Consul(any_consul.config) as consul, Registrar(consul, first):
        async with Registrar(consul, second) as registrar:
            assert not registrar.registered
            (instance,) = (await consul.instances("hello")).value
            assert instance.id == "Hello-1"
        assert "Hello-1 at 127.0.0.1:1 is, and Consul's catalog compares ids ignoring case" in caplog.text
        (instance,) = (await consul.instances("hello")).value
        assert instance.id == "Hello-1"
