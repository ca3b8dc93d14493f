"""The gRPC services of the calculator: proto <-> domain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from demo.calculator.v1 import calculator_pb2 as pb
from demo.calculator.v1 import calculator_pb2_grpc as rpc
from meshwright.errors import InvalidArgumentError, OutOfRangeError
from services.calculator import app, domain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import grpc

    from meshwright.errors import ServiceError

    Context = grpc.aio.ServicerContext[Any, Any]

ERRORS: Mapping[type[Exception], type[ServiceError]] = {
    domain.InvalidNumbersError: InvalidArgumentError,
    domain.TooLargeError: OutOfRangeError,
}
"""gRPC statuses and reasons of the domain's errors."""

NAME = "calculator"
"""The name of the answering chat user."""


PUBLIC = frozenset({"/demo.calculator.v1.Calculator/*", "/demo.calculator.v1.NumberService/*"})
"""Methods without authentication: all."""


class Calculator(rpc.CalculatorServicer):
    async def Add(self, request: pb.Numbers, context: Context) -> pb.Result:
        return pb.Result(value=domain.add(request.a, request.b))

    async def Multiply(self, request: pb.Numbers, context: Context) -> pb.Result:
        return pb.Result(value=domain.multiply(request.a, request.b))


class NumberService(rpc.NumberServiceServicer):
    def __init__(self, pace: app.Pace) -> None:
        self._pace = pace

    async def GetPrimes(self, request: pb.PrimeRequest, context: Context) -> AsyncIterator[pb.Prime]:
        async for prime in app.paced_primes(request.limit, self._pace):
            yield pb.Prime(value=prime)

    async def SumNumbers(self, request_iterator: AsyncIterator[pb.Number], context: Context) -> pb.Sum:
        return pb.Sum(value=await app.sum_of(number.value async for number in request_iterator))

    async def Chat(
        self, request_iterator: AsyncIterator[pb.ChatMessage], context: Context
    ) -> AsyncIterator[pb.ChatMessage]:
        async for message in request_iterator:
            yield pb.ChatMessage(user=NAME, text=domain.answer(message.text))
