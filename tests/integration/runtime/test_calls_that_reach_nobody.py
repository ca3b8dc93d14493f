"""What the caller is told where no server was there for the call: a wrong name, a control plane or Consul away."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import grpc
import pytest

import meshwright
from demo.calculator.v1 import calculator_pb2 as pb
from demo.calculator.v1 import calculator_pb2_grpc as rpc
from integration.runtime.calculator import Everything, add_everything, everything, failure
from meshwright.config import ConsulConfig, Discovery, ServiceConfig, load_config
from meshwright.errors import UnavailableError
from support.consul.servers import dev_consul
from support.mesh.mesh import Caller, mesh
from support.processes import promised_port, python, running
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path


@pytest.fixture(autouse=True)
def no_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")


@contextlib.asynccontextmanager
async def serving(service: str, consul: ConsulConfig) -> AsyncIterator[meshwright.Server]:
    config = load_config(ServiceConfig, {}, service=service, consul=consul, propagation=0.0)
    async with meshwright.Server(config) as server:
        server.add(add_everything, Everything())
        await server.start()
        yield server


async def test_a_wrong_name_is_answered_with_the_right_one_until_there_is_such_a_service(tmp_path: Path) -> None:
    async with (
        dev_consul() as registry,
        mesh(registry, tmp_path) as built,
        serving("weather", registry.config),
    ):
        caller = await built.caller("wether")

        async def answer() -> str:
            (outcome,) = await caller.call()
            return outcome.message or outcome.code

        await eventually(lambda: says(answer, "no service is called wether; did you mean weather?"))
        async with serving("wether", registry.config):
            await eventually(lambda: says(answer, "OK"), timeout=20)


async def says(answer: Callable[[], Awaitable[str]], expected: str) -> bool:
    return await answer() == expected


async def test_without_a_control_plane_the_caller_hears_how_to_start_one(tmp_path: Path) -> None:
    address = f"127.0.0.1:{promised_port()}"
    command, log = python("-m", "programs.caller", "weather"), tmp_path / "caller.log"
    async with running(command, log, {"MESHWRIGHT_XDS": address}, pipes=True) as process:
        caller = Caller(process)
        await caller.answer()
        (outcome,) = await caller.call(timeout=60)
    assert outcome.code == "UNAVAILABLE"
    assert outcome.message.startswith(f"no control plane answers at {address} (MESHWRIGHT_XDS): `meshwright up` starts")
    assert outcome.seconds < 5


def by_consul(address: str) -> ServiceConfig:
    consul = load_config(ConsulConfig, {}, address=address)
    return load_config(ServiceConfig, {}, service="caller", discovery=Discovery.CONSUL, consul=consul)


async def test_without_a_control_plane_consul_knows_the_names() -> None:
    async with dev_consul() as registry, serving("weather", registry.config):
        async with meshwright.channel("wether", by_consul(registry.config.address)) as channel:
            error = await failure(rpc.CalculatorStub(channel).Add(pb.Numbers()))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert error.details() == "no service is called wether; did you mean weather?"
        assert "no-instance-of-wether" in error.debug_error_string()


async def test_streams_say_it_too() -> None:
    async with meshwright.channel("weather", by_consul(f"127.0.0.1:{promised_port()}")) as channel:
        stub = rpc.NumberServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError, match="CONSUL_HTTP_ADDR"):
            async for _ in stub.GetPrimes(pb.PrimeRequest(limit=3)):
                pass
        with pytest.raises(grpc.aio.AioRpcError, match="CONSUL_HTTP_ADDR"):
            await stub.GetPrimes(pb.PrimeRequest(limit=3)).read()
        call = stub.GetPrimes(pb.PrimeRequest(limit=3))
        assert isinstance(call, grpc.aio.UnaryStreamCall)
        assert "CONSUL_HTTP_ADDR" in (await call.details() or "")
        assert await call.code() is grpc.StatusCode.UNAVAILABLE


async def test_what_a_server_says_is_left_as_it_is() -> None:
    async def act(_context: object) -> None:
        raise UnavailableError("closed on Sundays")

    async with everything(Everything(act)) as calculator:
        error = await failure(rpc.CalculatorStub(calculator.channel).Multiply(pb.Numbers()))
    assert error.details() == "closed on Sundays"
