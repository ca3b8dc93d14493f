"""A servicer of the demo's contracts whose behaviour a test chooses by what it sends.

`everything` serves it on the test's event loop, `in_a_thread` on one of its own: what synchronous code calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any

import grpc

from demo.calculator.v1 import calculator_pb2 as pb
from demo.calculator.v1 import calculator_pb2_grpc as rpc
from meshwright.errors import InvalidArgumentError
from meshwright.testing import Served, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator


class Everything(rpc.CalculatorServicer, rpc.NumberServiceServicer):
    """Add answers; Multiply runs `act`. Streams behave; a message or limit below zero makes them fail."""

    def __init__(self, act: Callable[[Any], Any] | None = None) -> None:
        self.act = act
        self.entered = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.release = asyncio.Event()

    async def Add(self, request: pb.Numbers, context: grpc.aio.ServicerContext[Any, Any]) -> pb.Result:
        return pb.Result(value=request.a + request.b)

    async def Multiply(self, request: pb.Numbers, context: grpc.aio.ServicerContext[Any, Any]) -> pb.Result:
        self.entered.set()
        try:
            result = await self.act(context) if self.act else None
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return pb.Result(value=result if isinstance(result, int | float) else request.a * request.b)

    async def GetPrimes(
        self, request: pb.PrimeRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[pb.Prime]:
        for value in (2, 3, 5, 7):
            yield pb.Prime(value=value)
        if request.limit < 0:
            raise ValueError("secret")
        if request.limit > 7:
            self.entered.set()
            await self.release.wait()

    async def SumNumbers(
        self, request_iterator: AsyncIterator[pb.Number], context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.Sum:
        total = 0.0
        async for number in request_iterator:
            if number.value < 0:
                raise InvalidArgumentError("negative", fields={"value": "must not be negative"})
            total += number.value
        return pb.Sum(value=total)

    async def Chat(
        self, request_iterator: AsyncIterator[pb.ChatMessage], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[pb.ChatMessage]:
        async for message in request_iterator:
            yield pb.ChatMessage(user="server", text=message.text.upper())


def add_everything(servicer: Everything, server: Any) -> None:
    rpc.add_CalculatorServicer_to_server(servicer, server)
    rpc.add_NumberServiceServicer_to_server(servicer, server)


def everything(servicer: Everything, **options: Any) -> contextlib.AbstractAsyncContextManager[Served]:
    """`servicer` served as `calculator`, version 1.2.3."""
    return served(add_everything, servicer, service="calculator", version="1.2.3", **options)


async def numbers(*values: float) -> AsyncIterator[pb.Number]:
    for value in values:
        yield pb.Number(value=value)


async def failure(call: Any) -> grpc.aio.AioRpcError:
    """The error that the call ends with."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError("the call succeeded")


@contextlib.contextmanager
def in_a_thread(servicer: Everything, **options: object) -> Iterator[Served]:
    """`servicer`, served as `calculator`."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    serving = everything(servicer, **options)
    try:
        yield asyncio.run_coroutine_threadsafe(serving.__aenter__(), loop).result(30)
    finally:
        asyncio.run_coroutine_threadsafe(serving.__aexit__(None, None, None), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
