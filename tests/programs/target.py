"""A service for tests whose behaviour the environment chooses: `python -m programs.target`.

It serves the demo's Calculator contract, because a test of the mesh needs some contract and none of its own.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import meshwright
from demo.calculator.v1 import calculator_pb2 as pb
from demo.calculator.v1 import calculator_pb2_grpc as rpc
from meshwright.config import ServiceConfig, env_field, load_config
from meshwright.errors import ServiceError

if TYPE_CHECKING:
    import grpc


@dataclass(frozen=True)
class TargetConfig:
    fail: str | None = env_field("TARGET_FAIL", None, help="gRPC status code name to answer every call with")
    end: str = env_field("TARGET_END", "", help="words to write before it ends at once, with exit code 3")
    service_name: str = env_field("TARGET_SERVICE", "", help="another service to register as")
    version: str = env_field("TARGET_VERSION", "", help="another version to register as")
    delay: float = env_field("TARGET_DELAY", 0.0, help="seconds before each answer")
    service: ServiceConfig = field(default_factory=lambda: load_config(ServiceConfig))


class Target(rpc.CalculatorServicer):
    def __init__(self, config: TargetConfig) -> None:
        self._config = config

    async def Add(self, request: pb.Numbers, context: grpc.aio.ServicerContext[Any, Any]) -> pb.Result:
        await self._behave()
        return pb.Result(value=request.a + request.b)

    async def Multiply(self, request: pb.Numbers, context: grpc.aio.ServicerContext[Any, Any]) -> pb.Result:
        await self._behave()
        return pb.Result(value=request.a * request.b)

    async def _behave(self) -> None:
        if self._config.delay:
            await asyncio.sleep(self._config.delay)
        if self._config.fail:
            error = ServiceError("told to fail")
            error.code = self._config.fail  # type: ignore[misc]
            raise error


async def main() -> None:
    config = load_config(TargetConfig)
    if config.end:
        print(config.end, flush=True)
        sys.exit(3)
    service = replace(
        config.service,
        service=config.service_name or config.service.service,
        version=config.version or config.service.version,
    )
    async with meshwright.Server(service) as server:
        server.add(rpc.add_CalculatorServicer_to_server, Target(config))
        await server.run()


if __name__ == "__main__":
    asyncio.run(main())
