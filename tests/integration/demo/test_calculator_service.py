"""The calculator over gRPC."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import grpc
import pytest

import meshwright
from demo.calculator.v1 import calculator_pb2 as pb
from demo.calculator.v1 import calculator_pb2_grpc as rpc
from support.demo.gateway import Demo, demo
from support.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from meshwright.calls.errors import ErrorDetails


class Gate:
    """A pace that the test holds in its hand, and that knows who waits."""

    def __init__(self) -> None:
        self.waiting = 0
        self.cancelled = 0
        self._open = asyncio.Semaphore(0)

    def let_through(self) -> None:
        self._open.release()

    async def next(self) -> None:
        self.waiting += 1
        try:
            await self._open.acquire()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.waiting -= 1


@pytest.fixture
def calculator(served: Demo) -> rpc.CalculatorStub:
    return rpc.CalculatorStub(served.calculator_channel)


@pytest.fixture
def numbers(served: Demo) -> rpc.NumberServiceStub:
    return rpc.NumberServiceStub(served.calculator_channel)


async def refusal(call) -> ErrorDetails:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return meshwright.error_details(caught.value)


async def test_it_adds_and_multiplies(calculator):
    assert (await calculator.Add(pb.Numbers(a=1, b=2))).value == 3
    assert (await calculator.Multiply(pb.Numbers(a=6, b=7))).value == 42


async def test_what_is_no_number_is_an_invalid_argument_with_its_field(calculator):
    found = await refusal(calculator.Add(pb.Numbers(a=1, b=math.nan)))
    assert (found.code, found.reason, found.domain) == ("INVALID_ARGUMENT", "INVALID_NUMBERS", "calculator")
    assert found.message == "b must be a finite number"
    assert found.fields == {"b": "must be a finite number"}


async def test_a_result_that_no_double_holds_is_out_of_range(calculator):
    found = await refusal(calculator.Multiply(pb.Numbers(a=1e200, b=1e200)))
    assert (found.code, found.reason) == ("OUT_OF_RANGE", "TOO_LARGE")


async def test_primes_are_streamed(numbers):
    assert [prime.value async for prime in numbers.GetPrimes(pb.PrimeRequest(limit=20))] == [2, 3, 5, 7, 11, 13, 17, 19]
    assert [prime async for prime in numbers.GetPrimes(pb.PrimeRequest())] == []


@pytest.mark.parametrize("limit", [-1, 100_001, -(2**31), 2**31 - 1])
async def test_a_limit_has_bounds(numbers, limit):
    found = await refusal(numbers.GetPrimes(pb.PrimeRequest(limit=limit)).read())
    assert (found.code, found.fields) == ("INVALID_ARGUMENT", {"limit": "must be from 0 to 100000"})


async def test_each_prime_is_sent_when_the_pace_says_so(tmp_path: Path) -> None:
    gate = Gate()
    async with demo(tmp_path, pace=gate) as running:
        call = rpc.NumberServiceStub(running.calculator_channel).GetPrimes(pb.PrimeRequest(limit=10))
        assert (await call.read()).value == 2
        await eventually(lambda: gate.waiting == 1)
        gate.let_through()
        assert (await call.read()).value == 3
        call.cancel()


async def test_a_caller_that_goes_away_ends_the_work(tmp_path: Path) -> None:
    gate = Gate()
    async with demo(tmp_path, pace=gate) as running:
        call = rpc.NumberServiceStub(running.calculator_channel).GetPrimes(pb.PrimeRequest(limit=10))
        await call.read()
        await eventually(lambda: gate.waiting == 1)
        call.cancel()
        await eventually(lambda: gate.cancelled == 1)


async def test_a_deadline_that_passes_ends_the_work(tmp_path: Path) -> None:
    gate = Gate()
    async with demo(tmp_path, pace=gate) as running:
        await asyncio.wait_for(running.calculator_channel.channel_ready(), 60)
        call = rpc.NumberServiceStub(running.calculator_channel).GetPrimes(pb.PrimeRequest(limit=10), timeout=2)
        assert (await call.read()).value == 2
        assert (await refusal(call.read())).code == "DEADLINE_EXCEEDED"
        await eventually(lambda: gate.cancelled == 1)


async def test_numbers_are_summed_as_they_come(numbers):
    async def stream():
        for _ in range(1000):
            yield pb.Number(value=0.1)

    assert (await numbers.SumNumbers(stream())).value == 100.0


async def test_a_sum_of_nothing_is_zero(numbers):
    call = numbers.SumNumbers()
    await call.done_writing()
    assert (await call).value == 0


async def test_a_sum_names_the_number_that_is_none(numbers):
    found = await refusal(numbers.SumNumbers(iter([pb.Number(value=1), pb.Number(value=math.inf)])))
    assert (found.code, found.fields) == ("INVALID_ARGUMENT", {"numbers[1].value": "must be a finite number"})


async def test_a_chat_answers_each_message_before_the_next_is_sent(numbers):
    call = numbers.Chat()
    for text, answer in [("2 + 3", "5"), ("hello", "hello"), ("4 * 5", "20")]:
        await call.write(pb.ChatMessage(user="ada", text=text))
        assert await call.read() == pb.ChatMessage(user="calculator", text=answer)
    await call.done_writing()
    assert await call.read() == grpc.aio.EOF
