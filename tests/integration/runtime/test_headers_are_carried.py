"""A header that chose the version of the first service chooses that of the second: over every kind of hop."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from opentelemetry import baggage, trace
from opentelemetry import context as otel_context

import meshwright
from demo.calculator.v1 import calculator_pb2 as pb
from demo.calculator.v1 import calculator_pb2_grpc as rpc
from integration.runtime.calculator import Everything, everything, numbers
from meshwright import sync
from meshwright.testing import Served, resolving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

PREVIEW = (("x-preview", "yes"), ("x-other", "1"), ("cookie", "secret"))


class Behind:
    """A service that notes the metadata of each call, whatever its kind, and the baggage that its handler has."""

    def __init__(self, served: Served, seen: list[dict[str, Any]]) -> None:
        self.served = served
        self.seen = seen
        self.stub = rpc.CalculatorStub(served.channel)
        self.streams = rpc.NumberServiceStub(served.channel)

    def previews(self) -> list[Any]:
        return [metadata.get("x-preview") for metadata in self.seen]


class Noting(Everything):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[dict[str, Any]] = []

    def note(self, context: Any) -> None:
        self.seen.append(dict(context.invocation_metadata()) | {"held": dict(baggage.get_all())})

    async def Add(self, request: Any, context: Any) -> Any:
        self.note(context)
        return await super().Add(request, context)

    async def GetPrimes(self, request: Any, context: Any) -> Any:
        self.note(context)
        async for prime in super().GetPrimes(request, context):
            yield prime

    async def SumNumbers(self, request_iterator: Any, context: Any) -> Any:
        self.note(context)
        return await super().SumNumbers(request_iterator, context)


@contextlib.asynccontextmanager
async def behind(**config: Any) -> AsyncIterator[Behind]:
    servicer = Noting()
    async with everything(servicer, **config) as served:
        yield Behind(served, servicer.seen)


async def asked(act: Callable[[Any], Awaitable[Any]], metadata: Any = PREVIEW, **config: Any) -> None:
    """Let a service in front do `act` while it answers a plain client's call."""
    async with (
        everything(Everything(act), **config) as front,
        grpc.aio.insecure_channel(str(front.address)) as plain,
    ):
        await rpc.CalculatorStub(plain).Multiply(pb.Numbers(), metadata=metadata)


async def test_a_call_of_each_kind_carries_it_on() -> None:
    async with behind() as back:

        async def act(_context: Any) -> None:
            await back.stub.Add(pb.Numbers())
            assert [prime.value async for prime in back.streams.GetPrimes(pb.PrimeRequest(limit=7))] == [2, 3, 5, 7]
            await back.streams.SumNumbers(numbers(1, 2))

        await asked(act)
    assert back.previews() == ["yes"] * 3
    assert {"x-other", "cookie"}.isdisjoint(set().union(*back.seen))
    assert [metadata["held"] for metadata in back.seen] == [{"x-preview": "yes"}] * 3


@pytest.mark.parametrize("flags", ["00", "01"])
async def test_it_makes_no_difference_whether_the_trace_is_sampled(flags: str) -> None:
    traceparent = f"00-{'1' * 32}-{'2' * 16}-{flags}"
    async with behind() as back:
        await asked(lambda _: back.stub.Add(pb.Numbers()), (*PREVIEW, ("traceparent", traceparent)))
    assert back.previews() == ["yes"]
    assert back.seen[0]["traceparent"].startswith(f"00-{'1' * 32}-")
    assert back.seen[0]["traceparent"].endswith(f"-{flags}")


async def test_a_service_between_that_knows_baggage_alone_does_not_lose_it() -> None:
    async with behind() as back:
        await asked(lambda _: back.stub.Add(pb.Numbers()), (("baggage", "x-preview=yes,authorization=stolen"),))
    assert back.previews() == ["yes"]
    assert "authorization" not in back.seen[0]


async def test_three_hops_and_a_task_that_is_detached_carry_it_too() -> None:
    async with behind() as back:

        async def middle(_context: Any) -> None:
            with meshwright.without_deadline():
                await asyncio.create_task(_add(back))

        async with everything(Everything(middle)) as between:
            await asked(lambda _: rpc.CalculatorStub(between.channel).Multiply(pb.Numbers()))
    assert back.previews() == ["yes"]


async def _add(back: Behind) -> None:
    await back.stub.Add(pb.Numbers())


async def test_calls_that_are_answered_side_by_side_keep_their_own() -> None:
    async with behind() as back:

        async def act(context: Any) -> None:
            await asyncio.sleep(0)
            await back.stub.Add(pb.Numbers(), metadata=(("for", dict(context.invocation_metadata())["for"]),))

        async with (
            everything(Everything(act)) as front,
            grpc.aio.insecure_channel(str(front.address)) as plain,
        ):
            stub = rpc.CalculatorStub(plain)
            given = [(("for", str(n)), ("x-preview", str(n))) if n % 2 else (("for", str(n)),) for n in range(20)]
            await asyncio.gather(*(stub.Multiply(pb.Numbers(), metadata=metadata) for metadata in given))
    assert {metadata["for"]: metadata.get("x-preview") for metadata in back.seen} == {
        str(n): str(n) if n % 2 else None for n in range(20)
    }


async def test_the_list_is_each_servers_own() -> None:
    async with behind(carried_headers=("x-other",)) as back:
        await asked(lambda _: back.stub.Add(pb.Numbers()), carried_headers=("x-other",))
        await asked(lambda _: back.stub.Add(pb.Numbers()), carried_headers=("-",))
    assert [(metadata.get("x-preview"), metadata.get("x-other")) for metadata in back.seen] == [
        (None, "1"),
        (None, None),
    ]


async def test_code_without_asyncio_carries_it_too() -> None:
    async with behind() as back:
        with resolving({"calculator": [back.served.address]}):
            channel = sync.channel("calculator", telemetry=back.served.telemetry)

        def call() -> None:
            with channel:
                stub = rpc.CalculatorStub(channel)
                stub.Add(pb.Numbers())
                stub.Add.future(pb.Numbers()).result()
                assert [prime.value for prime in rpc.NumberServiceStub(channel).GetPrimes(pb.PrimeRequest(limit=7))]

        await asked(lambda _: asyncio.to_thread(call))
    assert back.previews() == ["yes"] * 3


async def test_a_program_that_begins_a_trace_says_it_by_baggage() -> None:
    async with behind() as back:
        token = otel_context.attach(
            baggage.set_baggage("x-preview", "yes", trace.set_span_in_context(trace.INVALID_SPAN))
        )
        await back.stub.Add(pb.Numbers())
        otel_context.detach(token)
        await back.stub.Add(pb.Numbers())
    assert back.previews() == ["yes", None]
