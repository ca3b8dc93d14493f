from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import grpc
import pytest
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

import meshwright
from demo.calculator.v1 import calculator_pb2 as pb
from demo.calculator.v1 import calculator_pb2_grpc as rpc
from integration.runtime.calculator import Everything, add_everything, everything
from meshwright.config import ServiceConfig, load_config
from meshwright.consul import Consul
from meshwright.free_ports import FIRST, LAST
from meshwright.model import Address, Health, ServiceName
from meshwright.server.admin import CSDS
from meshwright.server.binding import advertised
from support.consul.servers import ConsulServer, dev_consul
from support.mesh.mesh import serving
from support.processes import promised_port, python, running
from support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
CALCULATOR = "demo.calculator.v1.Calculator"
NUMBERS = "demo.calculator.v1.NumberService"


def config(**fields):
    return load_config(ServiceConfig, {}, **({"service": "calculator", "register": False, "propagation": 0.0} | fields))


async def check(address: Address, service: str = "") -> int:
    async with grpc.aio.insecure_channel(str(address)) as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        return (await health_pb2_grpc.HealthStub(channel).Check(request)).status


async def test_a_server_is_not_serving_until_it_is_warm() -> None:
    warm = asyncio.Event()
    async with meshwright.Server(config()) as server:
        server.add(add_everything, Everything())
        server.warm_up(warm.wait)
        starting = asyncio.create_task(server.start())
        await eventually(lambda: server.address.port)

        async def says(status: int) -> bool:
            return await check(server.address, CALCULATOR) == status

        await eventually(lambda: says(NOT_SERVING), ignore=(grpc.aio.AioRpcError,))
        warm.set()
        await starting
        assert await check(server.address, CALCULATOR) == await check(server.address) == SERVING


async def test_a_signal_ends_a_warm_up_even_one_that_takes_a_cancellation_for_nothing() -> None:
    """As `asyncio.wait_for` does on Python 3.11 where it arrives together with the answer."""
    warming, ignored = asyncio.Event(), 0

    async def deaf() -> None:
        nonlocal ignored
        while True:
            warming.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                ignored += 1
                if ignored == 2:
                    raise

    async with meshwright.Server(config()) as server:
        server.warm_up(deaf)
        serving = asyncio.create_task(server.run())
        await warming.wait()
        signal.raise_signal(signal.SIGTERM)
        await asyncio.wait_for(serving, 30)
        assert not server.health.opened
    assert ignored == 2


@pytest.mark.parametrize("failure", [RuntimeError, asyncio.CancelledError])
async def test_a_warm_up_that_fails_ends_the_server(failure: type[BaseException]) -> None:
    async def fails() -> None:
        raise failure

    async with meshwright.Server(config()) as server:
        server.warm_up(fails)
        with pytest.raises(failure):
            await asyncio.wait_for(server.run(), 30)


async def test_one_service_can_be_taken_out_of_service() -> None:
    async with everything(Everything()) as calculator:
        calculator.server.health.set(NUMBERS, serving=False)
        assert await check(calculator.address, NUMBERS) == NOT_SERVING
        assert await check(calculator.address, CALCULATOR) == SERVING
        assert await check(calculator.address) == NOT_SERVING
        with pytest.raises(grpc.aio.AioRpcError, match="does not know 'other'"):
            await check(calculator.address, "other")


async def test_the_name_in_the_mesh_is_one_more_name_for_the_whole_server() -> None:
    async with everything(Everything()) as calculator:
        assert await check(calculator.address, "calculator") == SERVING
        calculator.server.health.set(NUMBERS, serving=False)
        assert await check(calculator.address, "calculator") == NOT_SERVING
        calculator.server.health.set(NUMBERS, serving=True)
        calculator.server.health.set("calculator", serving=False)
        assert await check(calculator.address, "calculator") == await check(calculator.address) == NOT_SERVING
        assert await check(calculator.address, CALCULATOR) == SERVING
        calculator.server.health.set("calculator", serving=True)
        assert await check(calculator.address) == SERVING
        with pytest.raises(grpc.aio.AioRpcError, match=f"it serves calculator, {CALCULATOR}, {NUMBERS}"):
            await check(calculator.address, "other")


async def test_watchers_hear_of_each_change_and_are_released_at_the_end() -> None:
    seen: list[int] = []
    async with (
        everything(Everything(), grace=30.0) as calculator,
        grpc.aio.insecure_channel(str(calculator.address)) as channel,
    ):
        call = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=CALCULATOR))

        async def watch() -> None:
            async for answer in call:
                seen.append(answer.status)  # noqa: PERF401 - read while it grows

        watching = asyncio.create_task(watch())
        await eventually(lambda: seen == [SERVING])
        calculator.server.health.set(CALCULATOR, serving=False)
        await eventually(lambda: seen == [SERVING, NOT_SERVING])
        calculator.server.health.set(CALCULATOR, serving=True)
        await eventually(lambda: seen == [SERVING, NOT_SERVING, SERVING])
        await asyncio.wait_for(calculator.server.stop(), 5)
        await asyncio.wait_for(watching, 5)
    assert seen == [SERVING, NOT_SERVING, SERVING, NOT_SERVING]


async def test_an_unknown_service_can_be_watched_until_it_is_known() -> None:
    async with (
        everything(Everything()) as calculator,
        grpc.aio.insecure_channel(str(calculator.address)) as channel,
    ):
        call = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="other"))
        assert (await call.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        call.cancel()


async def test_reflection_lists_the_services() -> None:
    async with (
        everything(Everything()) as calculator,
        grpc.aio.insecure_channel(str(calculator.address)) as channel,
    ):
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
        await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        answer = await call.read()
        await call.done_writing()
    names = {service.name for service in answer.list_services_response.service}
    assert {CALCULATOR, NUMBERS, "grpc.health.v1.Health"} <= names


async def test_channelz_and_csds_answer() -> None:
    async with (
        everything(Everything()) as calculator,
        grpc.aio.insecure_channel(str(calculator.address)) as channel,
    ):
        servers = await channelz_pb2_grpc.ChannelzStub(channel).GetServers(channelz_pb2.GetServersRequest())
        assert servers.server
        assert isinstance(await channel.unary_unary(f"/{CSDS}/FetchClientStatus")(b""), bytes)


async def test_a_port_that_is_taken_is_named() -> None:
    async with everything(Everything()) as calculator:
        with pytest.raises(meshwright.ValidationError, match=rf"127.0.0.1:{calculator.address.port}"):
            async with meshwright.Server(config(port=calculator.address.port)) as second:
                await second.start()


async def test_free_ports_are_below_the_ephemeral_range() -> None:
    async with everything(Everything()) as one, everything(Everything()) as other:
        ports = {one.address.port, other.address.port, one.server.metrics_address.port}
    assert len(ports) == 3
    assert all(FIRST <= port <= LAST for port in ports)


async def test_resources_close_after_the_last_call_in_reverse_order() -> None:
    ended: list[str] = []

    async def slow(context):
        await servicer.release.wait()
        ended.append("call")

    def closing(name: str):
        async def close() -> None:
            ended.append(name)

        return close

    servicer = Everything(slow)
    async with everything(servicer) as calculator:
        calculator.server.on_stop(closing("first"))
        calculator.server.on_stop(closing("second"))
        call = rpc.CalculatorStub(calculator.channel).Multiply(pb.Numbers(a=2, b=2))
        await servicer.entered.wait()
        stopping = asyncio.create_task(calculator.server.stop())
        await calculator.server.stopping.wait()
        assert not calculator.server.health.serving()
        servicer.release.set()
        assert (await call).value == 4
        await stopping
    assert ended == ["call", "second", "first"]


async def test_an_instance_is_registered_with_what_others_need_to_know(any_consul: ConsulServer) -> None:
    place = {"region": "europe", "zone": "a"}
    mine = config(register=True, version="2.0.0", tags=("blue",), consul=any_consul.config, **place)
    async with meshwright.Server(mine) as server, Consul(any_consul.config) as consul:
        server.add(add_everything, Everything())
        await server.start()

        async def healthy():
            return (await consul.instances(ServiceName("calculator"), passing=True)).value

        (instance,) = await eventually(healthy)
        assert instance.id == server.identity.instance
        assert instance.address == server.address
        assert instance.health is Health.PASSING
        assert instance.tags == ("blue",)
        assert instance.meta == {
            "version": "2.0.0",
            "api": "demo.calculator.v1",
            "metrics_port": str(server.metrics_address.port),
            **place,
        }
        assert registered(server) == 1
        await server.stop()
        assert await healthy() == ()
        assert registered(server) == 0


def registered(server: meshwright.Server) -> float | None:
    labels = {"service": "calculator", "version": server.identity.version}
    return server.telemetry.metrics.registry.get_sample_value("meshwright_instance_registered", labels)


async def test_without_consul_a_server_serves_and_registers_when_it_comes(caplog: pytest.LogCaptureFixture) -> None:
    async with dev_consul() as registry:
        await registry.kill()
        mine = config(register=True, consul=registry.config)
        async with meshwright.Server(mine) as server, Consul(registry.config) as consul:
            server.add(add_everything, Everything())
            await server.start()
            assert await check(server.address) == SERVING
            complaints = [record.message for record in caplog.records if server.identity.instance in record.message]
            (complaint,) = complaints
            assert str(registry.config.address) in complaint
            assert registered(server) == 0
            await registry.restart(empty=True)

            async def is_known() -> bool:
                return bool((await consul.instances(ServiceName("calculator"))).value)

            await eventually(is_known, ignore=(meshwright.MeshwrightError,))
            await eventually(lambda: registered(server) == 1)
            await registry.kill()
            await eventually(lambda: registered(server) == 0)


@pytest.mark.parametrize(
    ("advertise", "expected"),
    [("10.1.2.3", "10.1.2.3:{port}"), ("mesh.example:9000", "mesh.example:9000"), (None, "127.0.0.1:{port}")],
)
def test_the_advertised_address(advertise: str | None, expected: str) -> None:
    found = advertised(config(advertise=advertise), Address("127.0.0.1", 20001))
    assert str(found) == expected.format(port=20001)


def test_binding_every_interface_asks_for_an_address_to_advertise() -> None:
    with pytest.raises(meshwright.ValidationError, match="MESHWRIGHT_ADVERTISE"):
        advertised(config(), Address("0.0.0.0", 20001))


async def target(folder: Path, **environ: str):
    """`programs.target` as a process, not registered, and its address."""
    address = Address("127.0.0.1", promised_port())
    settings = {
        "MESHWRIGHT_SERVICE": "target",
        "MESHWRIGHT_PORT": str(address.port),
        "MESHWRIGHT_REGISTER": "false",
        "MESHWRIGHT_LOG_FORMAT": "json",
    }
    return running(python("-m", "programs.target"), folder / "target.log", settings | environ), address


async def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    starting, address = await target(tmp_path, TARGET_DELAY="60", MESHWRIGHT_GRACE="60")
    async with starting as process, grpc.aio.insecure_channel(str(address)) as channel:
        await serving(address, "", process)
        call = asyncio.ensure_future(rpc.CalculatorStub(channel).Add(pb.Numbers()))
        await check(address)
        process.child.send_signal(signal.SIGTERM)
        await eventually(lambda: "stopping" in process.log.read_text())
        process.child.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.child.wait(), 10) == 0
        with pytest.raises(grpc.aio.AioRpcError):
            await call
    assert "cut off" in process.tail()


async def test_sigterm_lets_calls_in_flight_end(tmp_path: Path) -> None:
    starting, address = await target(tmp_path, TARGET_DELAY="0.3")
    async with starting as process, grpc.aio.insecure_channel(str(address)) as channel:
        await serving(address, "", process)
        calls = [asyncio.ensure_future(rpc.CalculatorStub(channel).Add(pb.Numbers(a=1))) for _ in range(20)]
        async with asyncio.timeout(5):
            while channel.get_state() is not grpc.ChannelConnectivity.READY:
                await channel.wait_for_state_change(channel.get_state())
        # The server has the calls once it has answered one that came after them.
        await check(address)
        process.child.send_signal(signal.SIGTERM)
        answers = await asyncio.gather(*calls)
        assert [answer.value for answer in answers] == [1] * 20
        assert await asyncio.wait_for(process.child.wait(), 10) == 0
