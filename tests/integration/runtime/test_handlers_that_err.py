"""What gRPC would do with a handler's or a caller's mistake only after it was too late to say so."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING, Any

import grpc
import pytest

import meshwright
from demo.calculator.v1 import calculator_pb2 as pb
from demo.calculator.v1 import calculator_pb2_grpc as rpc
from integration.runtime.calculator import Everything, everything, failure
from meshwright.errors import NotFoundError
from meshwright.testing import served
from support.processes import python, running
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from meshwright.testing import Served

SERVICES = {"Multiply": "Calculator", "GetPrimes": "NumberService", "SumNumbers": "NumberService"}


def counted(calculator: Served, method: str, status: str) -> float | None:
    labels = {"side": "server", "service": "calculator", "version": "1.2.3", "status": status}
    name = f"demo.calculator.v1.{SERVICES[method]}/{method}"
    return calculator.telemetry.metrics.registry.get_sample_value("grpc_requests_total", labels | {"method": name})


def plain(calculator: Served) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(str(calculator.address))


@pytest.mark.parametrize("method", SERVICES)
async def test_a_request_that_cannot_be_read_is_internal_and_counted(method: str) -> None:
    async with everything(Everything()) as calculator, plain(calculator) as channel:
        path = f"/demo.calculator.v1.{SERVICES[method]}/{method}"
        call: Any = channel.stream_stream(path)(iter([b"\xff\xff"]), timeout=10)
        error = await failure(call.read())
        kind = {"Multiply": "Numbers", "GetPrimes": "PrimeRequest", "SumNumbers": "Number"}[method]
        assert meshwright.error_details(error).reason == "UNREADABLE_REQUEST"
        assert error.details() == f"the request cannot be read as demo.calculator.v1.{kind}"
        await eventually(lambda: counted(calculator, method, "INTERNAL") == 1)


async def test_a_call_without_a_request_is_answered_and_counted() -> None:
    async with everything(Everything()) as calculator, plain(calculator) as channel:
        call: Any = channel.stream_unary("/demo.calculator.v1.Calculator/Multiply")(iter([]), timeout=10)
        error = await failure(call)
        assert (error.code(), error.details()) == (
            grpc.StatusCode.UNIMPLEMENTED,
            "the call has no request; this method takes one",
        )
        await eventually(lambda: counted(calculator, "Multiply", "UNIMPLEMENTED") == 1)


class Yields(rpc.CalculatorServicer):
    async def Add(self, request: pb.Numbers, context: Any) -> AsyncIterator[pb.Result]:
        yield pb.Result()


async def test_a_generator_that_should_return_one_message_is_refused_when_it_is_added() -> None:
    with pytest.raises(TypeError, match="Calculator/Add answers with one message: return it"):
        async with served(rpc.add_CalculatorServicer_to_server, Yields()):
            pass


class Wrong(Everything):
    """`answer` is what each method comes to."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer

    async def Multiply(self, request: pb.Numbers, context: Any) -> Any:
        return self.answer

    async def Chat(self, request_iterator: Any, context: Any) -> Any:
        return self.answer


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "Multiply answers with demo.calculator.v1.Result, not NoneType; was `return` or `yield` forgotten?"),
        (pb.Numbers(), "Multiply answers with demo.calculator.v1.Result, not demo.calculator.v1.Numbers"),
        ("text", "Multiply answers with demo.calculator.v1.Result, not str"),
    ],
)
async def test_the_log_says_what_the_answer_should_have_been(
    answer: Any, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with everything(Wrong(answer)) as calculator:
        error = await failure(rpc.CalculatorStub(calculator.channel).Multiply(pb.Numbers()))
    assert meshwright.error_details(error).message == "internal error"
    (record,) = [item for item in caplog.records if "unhandled error in" in item.message]
    assert record.exc_info is not None
    assert str(record.exc_info[1]).endswith(words)


async def test_a_stream_that_returns_its_message_is_a_bug() -> None:
    async with everything(Wrong(pb.ChatMessage())) as calculator:
        call = rpc.NumberServiceStub(calculator.channel).Chat(iter([]))
        error = await failure(call.read())
    assert error.code() is grpc.StatusCode.INTERNAL


async def aborted_with(act: Callable[[Any], Any]) -> grpc.aio.AioRpcError:
    async with everything(Everything(act)) as calculator:
        return await failure(rpc.CalculatorStub(calculator.channel).Multiply(pb.Numbers(), timeout=10))


async def test_a_handlers_own_trailing_metadata_goes_beside_the_meshs() -> None:
    async def act(context: Any) -> None:
        await context.abort(grpc.StatusCode.ABORTED, "no", (("x-own", "1"), ("meshwright-version", "9")))

    trailers = list((await aborted_with(act)).trailing_metadata() or ())
    assert trailers == [("x-own", "1"), ("meshwright-instance", "calculator-test"), ("meshwright-version", "1.2.3")]


async def test_what_is_too_long_for_a_client_is_cut_and_not_lost() -> None:
    async def act(context: Any) -> None:
        raise NotFoundError("ü" * 40_000, metadata={"why": "x" * 40_000})

    error = await aborted_with(act)
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert (error.details() or "").startswith("üüüü")
    assert (error.details() or "").endswith("…")
    assert dict(error.trailing_metadata() or ())["meshwright-version"] == "1.2.3"


async def test_errors_stay_below_what_grpcs_core_begins_to_refuse_at_random() -> None:
    async def act(_context: Any) -> None:
        raise NotFoundError("é" * 50_000)

    limit = 8 * 1024  # the soft limit, here without the stretch above it in which only some responses are refused
    options = [("grpc.max_metadata_size", limit), ("grpc.absolute_max_metadata_size", limit)]
    async with (
        everything(Everything(act)) as calculator,
        grpc.aio.insecure_channel(str(calculator.address), options=options) as channel,
    ):
        error = await failure(rpc.CalculatorStub(channel).Multiply(pb.Numbers(), timeout=10))
        assert (error.code(), (error.details() or "")[:2]) == (grpc.StatusCode.NOT_FOUND, "éé")


async def test_a_callers_cancellation_is_not_a_bug(caplog: pytest.LogCaptureFixture) -> None:
    servicer = Everything(lambda context: asyncio.Event().wait())
    async with everything(servicer) as calculator:
        call = rpc.CalculatorStub(calculator.channel).Multiply(pb.Numbers())
        await servicer.entered.wait()
        call.cancel()
        await eventually(lambda: counted(calculator, "Multiply", "CANCELLED") == 1)
    assert not [item for item in caplog.records if item.levelno >= logging.ERROR]


async def test_calls_that_a_stopping_server_cuts_off_are_unavailable_on_both_sides() -> None:
    servicer = Everything(lambda context: asyncio.Event().wait())
    async with everything(servicer, grace=0.2) as calculator:
        call = rpc.CalculatorStub(calculator.channel).Multiply(pb.Numbers())
        await servicer.entered.wait()
        await calculator.server.stop()
        assert (await failure(call)).code() is grpc.StatusCode.UNAVAILABLE
        await eventually(lambda: counted(calculator, "Multiply", "UNAVAILABLE") == 1)


ENDS_ITSELF = """
import asyncio, sys
import meshwright
from integration.runtime.calculator import Everything, add_everything

async def act(context):
    sys.exit(3)

async def main():
    given = dict(service="calculator", register=False, propagation=0.0)
    async with meshwright.Server(meshwright.load_config(meshwright.ServiceConfig, {}, **given)) as server:
        server.add(add_everything, Everything(act))
        await server.start()
        print(server.address, flush=True)
        try:
            await server.run()
        finally:
            print(server.telemetry.metrics.page().decode(), flush=True)

asyncio.run(main())
"""


async def test_a_handler_that_ends_the_process_answers_first(tmp_path: Path) -> None:
    async with running(python("-c", ENDS_ITSELF), tmp_path / "log", pipes=True) as process:
        output = process.child.stdout
        assert output is not None
        address = (await asyncio.wait_for(output.readline(), 60)).decode().strip()
        async with grpc.aio.insecure_channel(address) as channel:
            error = await failure(rpc.CalculatorStub(channel).Multiply(pb.Numbers(), timeout=10))
        assert (error.code(), error.details()) == (grpc.StatusCode.INTERNAL, "internal error")
        page = (await asyncio.wait_for(output.read(), 30)).decode()
        assert re.search(r'grpc_requests_total{.*status="INTERNAL".*} 1.0', page)
        assert await asyncio.wait_for(process.child.wait(), 30) == 3, process.tail()
