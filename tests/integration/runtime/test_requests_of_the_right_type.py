"""A stub that is given a wrong request says so before anything is sent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from demo.calculator.v1 import calculator_pb2 as pb
from demo.calculator.v1 import calculator_pb2_grpc as rpc
from integration.runtime.calculator import Everything, everything
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WRONG: list[Any] = [None, "text", 7, {"a": 1}, pb.Result(), pb.Numbers]
FIRST = pb.Number(value=1)


class Hears(Everything):
    """Remembers the numbers that it got."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.heard: list[float] = []

    async def Add(self, request: pb.Numbers, context: Any) -> pb.Result:
        self.calls += 1
        return pb.Result()

    async def GetPrimes(self, request: pb.PrimeRequest, context: Any) -> AsyncIterator[pb.Prime]:
        self.calls += 1
        yield pb.Prime()

    async def SumNumbers(self, request_iterator: AsyncIterator[pb.Number], context: Any) -> pb.Sum:
        async for number in request_iterator:
            self.heard.append(number.value)
        return pb.Sum()

    async def Chat(self, request_iterator: Any, context: Any) -> AsyncIterator[pb.ChatMessage]:
        async for message in request_iterator:
            self.heard.append(1.0 if message.text else 0.0)
            yield message


@pytest.mark.parametrize("wrong", WRONG, ids=str)
async def test_one_request_of_a_wrong_type_is_the_callers_error(wrong: Any) -> None:
    servicer = Hears()
    async with everything(servicer) as served:
        with pytest.raises(TypeError, match=r"Calculator/Add takes demo.calculator.v1.Numbers, not "):
            rpc.CalculatorStub(served.channel).Add(wrong)
        with pytest.raises(TypeError, match=r"NumberService/GetPrimes takes demo.calculator.v1.PrimeRequest, not "):
            rpc.NumberServiceStub(served.channel).GetPrimes(wrong)
        assert "grpc_requests_total{" not in served.telemetry.metrics.page().decode()
        await rpc.CalculatorStub(served.channel).Add(pb.Numbers())
        assert servicer.calls == 1


async def later(*items: Any) -> AsyncIterator[Any]:
    for item in items:
        yield item


@pytest.mark.parametrize("wrong", WRONG, ids=str)
@pytest.mark.parametrize("make", [later, lambda *items: iter(items), lambda *items: list(items)])
async def test_an_item_of_a_wrong_type_ends_the_call_with_the_callers_error(make: Any, wrong: Any) -> None:
    servicer = Hears()
    async with everything(servicer) as served:
        stub = rpc.NumberServiceStub(served.channel)
        with pytest.raises(TypeError, match=r"NumberService/SumNumbers takes demo.calculator.v1.Number, not "):
            await stub.SumNumbers(make(FIRST, wrong))
        await eventually(lambda: servicer.heard == [1.0] or "CANCELLED" in served.telemetry.metrics.page().decode())
        servicer.heard.clear()
        with pytest.raises(TypeError, match=r"NumberService/Chat takes demo.calculator.v1.ChatMessage, not "):
            async for _ in stub.Chat(make(pb.ChatMessage(text="x"), wrong)):
                pass
        assert 0.0 not in servicer.heard, "an empty message was sent"


async def test_writing_a_wrong_item_is_refused_and_the_call_goes_on() -> None:
    servicer = Hears()
    async with everything(servicer) as served:
        stub = rpc.NumberServiceStub(served.channel)
        call = stub.SumNumbers()
        await call.write(FIRST)
        with pytest.raises(TypeError, match=r"takes demo.calculator.v1.Number, not NoneType"):
            await call.write(None)
        await call.write(FIRST)
        await call.done_writing()
        await call
        assert servicer.heard == [1.0, 1.0]
        chat = stub.Chat()
        with pytest.raises(TypeError, match=r"takes demo.calculator.v1.ChatMessage, not str"):
            await chat.write("text")
        await chat.write(pb.ChatMessage(text="x"))
        await chat.done_writing()
        assert (await chat.read()).text == "x"
        assert await chat.read() is grpc.aio.EOF


async def breaking() -> AsyncIterator[Any]:
    yield FIRST
    raise LookupError("mine")


async def test_what_the_callers_iterator_raises_is_what_the_caller_gets() -> None:
    async with everything(Hears()) as served:
        stub = rpc.NumberServiceStub(served.channel)
        with pytest.raises(LookupError, match="mine"):
            await stub.SumNumbers(breaking())


async def test_a_caller_that_is_cancelled_is_cancelled() -> None:
    async def endless() -> AsyncIterator[pb.Number]:
        yield FIRST
        await asyncio.Event().wait()

    async with everything(Hears()) as served:
        call = rpc.NumberServiceStub(served.channel).SumNumbers(endless())
        asyncio.get_running_loop().call_later(0.05, call.cancel)
        with pytest.raises(asyncio.CancelledError):
            await call
