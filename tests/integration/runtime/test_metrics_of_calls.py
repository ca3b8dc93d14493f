from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import aiohttp
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from demo.calculator.v1 import calculator_pb2 as pb
from demo.calculator.v1 import calculator_pb2_grpc as rpc
from integration.runtime.calculator import Everything, everything, failure
from meshwright.client import channel
from meshwright.testing import resolving
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

ADD = "demo.calculator.v1.Calculator/Add"
MULTIPLY = "demo.calculator.v1.Calculator/Multiply"


def value(calculator, name: str, **labels: str) -> float | None:
    return calculator.telemetry.metrics.registry.get_sample_value(name, labels)


def of(side: str, method: str, **more: str) -> dict[str, str]:
    return {"side": side, "service": "calculator", "method": method, **more}


async def test_both_sides_count_calls_by_method_status_service_and_version() -> None:
    async def act(context):
        raise ValueError

    async with everything(Everything(act)) as calculator:
        stub = rpc.CalculatorStub(calculator.channel)
        for _ in range(3):
            await stub.Add(pb.Numbers())
        await failure(stub.Multiply(pb.Numbers()))
        failed = of("server", MULTIPLY, version="1.2.3", status="INTERNAL")
        # An error is counted when it has been sent.
        await eventually(lambda: value(calculator, "grpc_requests_total", **failed) == 1)
        for side in ("client", "server"):
            assert value(calculator, "grpc_requests_total", **of(side, ADD, version="1.2.3", status="OK")) == 3
            assert (
                value(calculator, "grpc_requests_total", **of(side, MULTIPLY, version="1.2.3", status="INTERNAL")) == 1
            )
            duration = "grpc_request_duration_seconds"
            assert value(calculator, f"{duration}_count", **of(side, ADD, version="1.2.3")) == 3
            assert value(calculator, f"{duration}_bucket", **of(side, ADD, version="1.2.3", le="10.0")) == 3
            assert 0 < value(calculator, f"{duration}_sum", **of(side, ADD, version="1.2.3")) < 3


async def test_calls_in_flight_are_a_gauge() -> None:
    servicer = Everything(lambda context: asyncio.Event().wait())
    async with everything(servicer) as calculator:
        call = rpc.CalculatorStub(calculator.channel).Multiply(pb.Numbers())
        await servicer.entered.wait()
        for side in ("client", "server"):
            assert value(calculator, "grpc_requests_in_flight", **of(side, MULTIPLY)) == 1
        call.cancel()
        for side in ("client", "server"):
            await eventually(lambda side=side: value(calculator, "grpc_requests_in_flight", **of(side, MULTIPLY)) == 0)


async def test_each_call_is_a_line_in_the_log_for_who_wants_to_read_them(caplog: pytest.LogCaptureFixture) -> None:
    async with everything(Everything()) as calculator:
        with caplog.at_level(logging.INFO, "meshwright"):
            await rpc.CalculatorStub(calculator.channel).Add(pb.Numbers())
        assert ADD not in caplog.text
        with caplog.at_level(logging.DEBUG, "meshwright"):
            await rpc.CalculatorStub(calculator.channel).Add(pb.Numbers())
            await eventually(lambda: f"{ADD}: OK in " in caplog.text)


async def test_a_call_without_a_response_has_no_version() -> None:
    async with everything(Everything()) as calculator:
        with resolving({}):
            lonely = channel("calculator", telemetry=calculator.telemetry)
        async with lonely:
            await failure(rpc.CalculatorStub(lonely).Add(pb.Numbers()))
        labels = of("client", ADD, version="", status="UNAVAILABLE")
        assert value(calculator, "grpc_requests_total", **labels) == 1


async def test_the_page_is_what_prometheus_reads() -> None:
    async with everything(Everything()) as calculator, aiohttp.ClientSession() as http:
        await rpc.CalculatorStub(calculator.channel).Add(pb.Numbers())
        async with http.get(f"http://{calculator.server.metrics_address}/metrics") as answer:
            assert answer.content_type == "text/plain"
            families = {family.name for family in text_string_to_metric_families(await answer.text())}
    assert {"grpc_requests", "grpc_request_duration_seconds", "grpc_requests_in_flight"} <= families


async def test_methods_that_do_not_exist_share_one_label() -> None:
    async with (
        everything(Everything()) as calculator,
        grpc.aio.insecure_channel(str(calculator.address)) as plain,
    ):
        for number in range(5):
            method = plain.unary_unary(f"/demo.calculator.v1.Calculator/Guess{number}")
            error = await failure(method(b""))
            assert error.code() is grpc.StatusCode.UNIMPLEMENTED
        labels = of("server", "unknown", version="1.2.3", status="UNIMPLEMENTED")
        assert value(calculator, "grpc_requests_total", **labels) == 5
        assert "Guess" not in calculator.telemetry.metrics.page().decode()


async def test_health_checks_are_not_counted() -> None:
    async with (
        everything(Everything()) as calculator,
        grpc.aio.insecure_channel(str(calculator.address)) as plain,
    ):
        await health_pb2_grpc.HealthStub(plain).Check(health_pb2.HealthCheckRequest())
        assert "health" not in calculator.telemetry.metrics.page().decode()
        assert calculator.spans.spans == []


class Endless(Everything):
    async def GetPrimes(self, request: pb.PrimeRequest, context: grpc.aio.ServicerContext) -> AsyncIterator[pb.Prime]:
        try:
            while True:
                yield pb.Prime(value=2)
        finally:
            self.cancelled.set()


async def test_a_stream_that_ends_while_grpc_sends_is_counted_once() -> None:
    servicer = Endless()
    async with everything(servicer) as calculator:
        call = rpc.NumberServiceStub(calculator.channel).GetPrimes(pb.PrimeRequest())
        assert (await call.read()).value == 2
        call.cancel()
        await asyncio.wait_for(servicer.cancelled.wait(), 10)
        primes = "demo.calculator.v1.NumberService/GetPrimes"
        for side in ("client", "server"):
            await eventually(lambda side=side: value(calculator, "grpc_requests_in_flight", **of(side, primes)) == 0)
        labels = of("server", primes, version="1.2.3", status="CANCELLED")
        assert value(calculator, "grpc_requests_total", **labels) == 1
        assert len(calculator.spans.servers) == 1
