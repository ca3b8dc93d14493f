"""The clients that people use: py-consul, and our own."""

from __future__ import annotations

import asyncio
import warnings
from typing import TYPE_CHECKING, Any

from meshwright.consul import Blocking, Consul, Registration
from meshwright.model import Address, Health, InstanceId, ServiceName
from support.waiting import eventually

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import consul as py_consul

if TYPE_CHECKING:
    from support.consul.servers import ConsulServer


async def test_py_consul_registers_finds_and_watches(consul: ConsulServer, name: str) -> None:
    def use() -> list[str]:
        client = py_consul.Consul(host=consul.address.host, port=consul.address.port)
        check = py_consul.Check.ttl("1h")
        client.agent.service.register(name, service_id=f"{name}-1", port=80, tags=["a"], meta={"k": "v"}, check=check)
        client.agent.check.ttl_pass(f"service:{name}-1")
        index, rows = client.health.service(name, passing=False)
        while not rows or rows[0]["Checks"][-1]["Status"] != "passing":
            index, rows = client.health.service(name, index=index, wait="5s")
        assert rows[0]["Service"]["Meta"] == {"k": "v"}
        client.agent.service.deregister(f"{name}-1")
        return [row["Service"]["ID"] for row in rows]

    assert await asyncio.to_thread(use) == [f"{name}-1"]


async def test_py_consul_keeps_keys_and_locks(consul: ConsulServer, name: str) -> None:
    def use() -> None:
        client = py_consul.Consul(host=consul.address.host, port=consul.address.port)
        assert client.kv.put(name, "1", cas=0) is True
        assert client.kv.put(name, "2", cas=0) is False
        _, pair = client.kv.get(name)
        assert pair["Value"] == b"1"
        session = client.session.create(lock_delay=0)
        assert client.kv.put(name, "mine", acquire=session) is True
        assert client.session.destroy(session) is True
        assert client.kv.delete(name) is True
        assert client.kv.get(name)[1] is None

    await asyncio.to_thread(use)


async def test_our_client_registers_watches_and_withdraws(consul: ConsulServer, name: str) -> None:
    service, instance = ServiceName(name), InstanceId(f"{name}-1")
    async with Consul(consul.config) as client:
        before = await client.instances(service)
        waiting = asyncio.create_task(client.instances(service, blocking=Blocking(before.index, 20.0)))
        await client.register(_registration(service, instance))
        found = (await asyncio.wait_for(waiting, 10)).value
        assert [(item.id, item.version) for item in found] == [(instance, "v1")]
        await client.maintenance(instance, enable=True, reason="test")

        async def out_of_service() -> bool:
            rows = (await client.instances(service)).value
            return bool(rows) and rows[0].health is not Health.PASSING

        await eventually(out_of_service)
        await client.deregister(instance)
        await eventually(lambda: _gone(client, service))


def _registration(service: ServiceName, instance: InstanceId) -> Any:
    return Registration(
        id=instance, service=service, address=Address("127.0.0.1", 20001), meta={"version": "v1"}, grpc_check=None
    )


async def _gone(client: Consul, service: ServiceName) -> bool:
    return not (await client.instances(service)).value
