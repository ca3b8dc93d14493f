"""The calculator over the mesh: proto <-> domain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from demo.calculator.v1 import calculator_pb2 as calculator_pb
from demo.calculator.v1 import calculator_pb2_grpc as calculator_rpc
from services.gateway.grpc_errors import translate_grpc_errors

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import grpc


class CalculatorClient:
    """The calculator."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._calculator = calculator_rpc.CalculatorStub(channel)
        self._numbers = calculator_rpc.NumberServiceStub(channel)

    async def add(self, a: float, b: float, timeout: float) -> float:
        with translate_grpc_errors():
            return _value(await self._calculator.Add(calculator_pb.Numbers(a=a, b=b), timeout=timeout))

    async def multiply(self, a: float, b: float, timeout: float) -> float:
        with translate_grpc_errors():
            return _value(await self._calculator.Multiply(calculator_pb.Numbers(a=a, b=b), timeout=timeout))

    async def primes(self, limit: int, timeout: float) -> AsyncGenerator[int]:
        """Yields the primes; closing the generator ends the call."""
        call = self._numbers.GetPrimes(calculator_pb.PrimeRequest(limit=limit), timeout=timeout)
        try:
            with translate_grpc_errors():
                async for prime in call:
                    yield prime.value
        finally:
            call.cancel()


def _value(result: calculator_pb.Result) -> float:
    return result.value
