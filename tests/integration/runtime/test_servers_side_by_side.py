"""Several servers in one process, and calls before any server: whose identity is in what."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from typing import TYPE_CHECKING

import aiohttp
import grpc
import pytest
from opentelemetry import trace

import meshwright
from demo.calculator.v1 import calculator_pb2 as pb
from demo.calculator.v1 import calculator_pb2_grpc as rpc
from integration.runtime.calculator import Everything, add_everything
from meshwright import logs
from meshwright.config import ServiceConfig, load_config
from meshwright.consul import Consul
from meshwright.errors import ValidationError
from meshwright.model import ServiceName
from meshwright.telemetry import Identity, Telemetry, current
from meshwright.telemetry.recording import SpanRecorder
from meshwright.telemetry.tracing import isolated_provider
from meshwright.testing import resolving
from support.consul.servers import dev_consul
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from meshwright.model import Address
    from support.consul.servers import ConsulServer


@pytest.fixture(autouse=True)
def no_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")


@pytest.fixture
async def registry() -> AsyncIterator[ConsulServer]:
    async with dev_consul() as consul:
        yield consul


def config(service: str, **fields: object) -> ServiceConfig:
    settings = {"service": service, "register": False, "propagation": 0.0, "grace": 0.0} | fields
    return load_config(ServiceConfig, {}, **settings)


async def serve(server: meshwright.Server, servicer: Everything | None = None) -> None:
    server.add(add_everything, servicer or Everything())
    await server.start()


async def trailers(address: Address) -> dict[str, str]:
    """The trailing metadata of a call to the server at that address."""
    async with grpc.aio.insecure_channel(str(address)) as channel:
        call = rpc.CalculatorStub(channel).Multiply(pb.Numbers(a=1, b=2))
        await call
        return {key: value for key, value in await call.trailing_metadata() if key.startswith("meshwright-")}


async def page(server: meshwright.Server) -> str:
    async with aiohttp.ClientSession() as session, session.get(f"http://{server.metrics_address}/metrics") as answer:
        return await answer.text()


async def registered(consul: Consul, *services: str) -> dict[str, list[str]]:
    """Service name to its instances' ids."""
    return {name: [instance.id for instance in (await consul.instances(ServiceName(name))).value] for name in services}


async def test_two_services_of_one_process_are_registered_as_two(registry: ConsulServer) -> None:
    one, two = (config(name, register=True, consul=registry.config) for name in ("one", "two"))
    async with meshwright.Server(one) as first, meshwright.Server(two) as second, Consul(registry.config) as consul:
        await serve(first)
        await serve(second)
        assert await registered(consul, "one", "two") == {
            "one": [first.identity.instance],
            "two": [second.identity.instance],
        }
        assert (await trailers(first.address))["meshwright-instance"] == first.identity.instance
        assert (await trailers(second.address))["meshwright-instance"] == second.identity.instance
        assert 'service="two"' not in await page(first)
        assert 'service="two"' in await page(second)
        await second.stop()
        assert await registered(consul, "one", "two") == {"one": [first.identity.instance], "two": []}


async def test_two_instances_of_one_service_in_one_process_are_two(registry: ConsulServer) -> None:
    mine = config("one", register=True, consul=registry.config)
    async with meshwright.Server(mine) as first, meshwright.Server(mine) as second, Consul(registry.config) as consul:
        await serve(first)
        await serve(second)
        found = await registered(consul, "one")
        assert sorted(found["one"]) == sorted({first.identity.instance, second.identity.instance})
        assert len(found["one"]) == 2


async def test_an_instance_id_is_that_of_one_server(registry: ConsulServer) -> None:
    one, two = (config(name, instance="same", register=True, consul=registry.config) for name in ("one", "two"))
    async with meshwright.Server(one) as first, Consul(registry.config) as consul:
        await serve(first)
        async with meshwright.Server(two) as second:
            with pytest.raises(meshwright.ValidationError, match="MESHWRIGHT_INSTANCE: same is the id of another"):
                await serve(second)
        assert await registered(consul, "one", "two") == {"one": ["same"], "two": []}
        await first.stop()
        async with meshwright.Server(two) as third:
            await serve(third)
            assert await registered(consul, "one", "two") == {"one": [], "two": ["same"]}


async def test_a_channel_that_is_opened_first_does_not_name_the_server(
    registry: ConsulServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MESHWRIGHT_SERVICE", raising=False)
    mine = config("hello", version="2.0.0", register=True, consul=registry.config)
    with resolving({}):
        early = meshwright.channel("elsewhere")
    async with early, meshwright.Server(mine) as server, Consul(registry.config) as consul:
        await serve(server)
        assert server.identity.service == "hello"
        assert server.identity.version == "2.0.0"
        assert (await registered(consul, "hello"))["hello"] == [server.identity.instance]
        assert (await trailers(server.address))["meshwright-version"] == "2.0.0"
        with pytest.raises(grpc.aio.AioRpcError):
            await rpc.CalculatorStub(early).Add(pb.Numbers())
        assert 'method="demo.calculator.v1.Calculator/Add",service="elsewhere",side="client"' in await page(server)
        await early.close()
        assert 'service="elsewhere",side="client"' in await page(server)


async def test_a_channel_of_the_servers_configuration_is_counted_by_that_server() -> None:
    mine = config("one")
    async with meshwright.Server(config("other")) as other, meshwright.Server(mine) as server:
        await serve(other)
        await serve(server)
        with resolving({"other": [other.address]}):
            channel = meshwright.channel("other", mine)
        async with channel:
            await rpc.CalculatorStub(channel).Add(pb.Numbers())
        assert 'service="other",side="client"' in await page(server)
        assert 'side="client"' not in await page(other)


async def test_a_servers_own_channel_calls_as_that_server_in_any_context_and_ends_with_it() -> None:
    spans = SpanRecorder()
    provider = isolated_provider(Identity.of(config("one")), spans)
    mine = Telemetry(config("one"), provider=provider)
    async with meshwright.Server(config("one"), telemetry=mine) as server, meshwright.Server(config("other")) as other:
        await serve(server)
        await serve(other)  # the context from here on is that of this one
        with resolving({"other": [other.address]}):
            channel = await server.channel("other", timeout=5)
        await rpc.CalculatorStub(channel).Add(pb.Numbers())
        assert 'service="other",side="client"' in await page(server)
        assert 'side="client"' not in await page(other)
        (span,) = spans.clients
        assert span.resource.attributes["service.name"] == "one"
    with pytest.raises(grpc.aio.UsageError):
        await rpc.CalculatorStub(channel).Add(pb.Numbers())
    with pytest.raises(ValidationError, match="the name of a service"):
        async with meshwright.Server(config("one")) as again:
            await again.channel("a/../b")


async def test_a_handlers_own_spans_and_channels_are_its_servers() -> None:
    seen: dict[str, object] = {}

    def noting(name: str) -> Everything:
        async def act(_context: object) -> None:
            with trace.get_tracer("mine").start_as_current_span("work") as span:
                seen[name] = span.resource.attributes["service.name"], span.instrumentation_scope.name
            running = current()
            assert running is not None
            seen[f"{name} runs"] = running.identity.service

        return Everything(act)

    async with meshwright.Server(config("one")) as first, meshwright.Server(config("two")) as second:
        await serve(second, noting("two"))
        await serve(first, noting("one"))
        await trailers(first.address)
        await trailers(second.address)
    assert seen == {"one": ("one", "mine"), "one runs": "one", "two": ("two", "mine"), "two runs": "two"}


async def test_a_second_start_in_the_same_process_traces_and_counts_as_the_first_did() -> None:
    identities = []
    for _ in range(2):
        resources = []

        async def act(_context: object, found: list[str] = resources) -> None:
            with trace.get_tracer("mine").start_as_current_span("work") as span:
                found.append(span.resource.attributes["service.instance.id"])

        async with meshwright.Server(config("one")) as server:
            await serve(server, Everything(act))
            await trailers(server.address)
            assert 'grpc_requests_total{method="demo.calculator.v1.Calculator/Multiply"' in await page(server)
            assert resources == [server.identity.instance]
        identities.append(server.identity.instance)
    assert len(set(identities)) == 2
    assert current() is None


async def test_log_lines_name_the_server_that_writes_them(capsys: pytest.CaptureFixture[str]) -> None:
    async def act(_context: object) -> None:
        logging.getLogger("mine").warning("at work")

    handlers = logging.getLogger().handlers[:]
    try:
        logs.configure("process", format=logs.LogFormat.JSON)
        async with meshwright.Server(config("one")) as first, meshwright.Server(config("two")) as second:
            await serve(first, Everything(act))
            await serve(second, Everything(act))
            await trailers(second.address)
            await trailers(first.address)
        logging.getLogger("mine").warning("at rest")
    finally:
        logging.getLogger().handlers[:] = handlers
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    said = [(line["message"].partition(" at 127")[0], line["service"]) for line in lines]
    assert [entry for entry in said if entry[0].startswith("at")] == [
        ("at work", "two"),
        ("at work", "one"),
        ("at rest", "process"),
    ]
    assert {service for message, service in said if message.startswith("serving")} == {"one", "two"}


async def test_a_signal_stops_every_server() -> None:
    async with meshwright.Server(config("one")) as first, meshwright.Server(config("two")) as second:
        running = [asyncio.create_task(server.run()) for server in (first, second)]
        await eventually(lambda: first.health.serving() and second.health.serving())
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(asyncio.gather(*running), 10)
    assert not first.health.serving()
    assert not second.health.serving()


async def test_a_span_names_the_library_and_the_service_each_with_its_version() -> None:
    async with meshwright.Server(config("one", version="7.0.0")) as server:
        span = server.telemetry.tracer.start_span("work")
        assert span.resource.attributes["service.version"] == "7.0.0"
        assert span.instrumentation_scope.name == "meshwright"
        assert span.instrumentation_scope.version == "0.1.0"
