"""Services whose first version is good and whose second is broken, each in a way of its own.

`python -m programs.broken` serves the one that `MESHWRIGHT_SERVICE` names. With `call` it calls all of
them until its stdin ends, and prints `[[service, code, began], ..]` then; `began` is monotonic, machine-wide.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from typing import TYPE_CHECKING, Any

import grpc

import meshwright
from demo.calculator.v1 import calculator_pb2 as pb
from demo.calculator.v1 import calculator_pb2_grpc as rpc
from meshwright.config import ServiceConfig, load_config
from programs.endings import ENDINGS, Ends

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from programs.endings import Ending


BROKEN = {
    "forgets": ("Multiply", "forgets to return"),
    "another": ("SumNumbers", "answers with another message"),
    "waits": ("Multiply", "waits for a task that was cancelled"),
    "partial": ("GetPrimes", "aborts with a fault"),
    "cancels": ("SumNumbers", "raises CancelledError"),
    "junk": ("GetPrimes", "answers with text"),
    "metadata": ("Chat", "sets a bad key"),
    "finally": ("GetPrimes", "fails at last"),
    "never": ("Multiply", "does not stop at the deadline"),
}
"""Service -> method that is called, and how the second version ends its calls."""
GOOD = "1.0.0"


def ending(service: str, version: str) -> Ending:
    name = "answers" if version == GOOD else BROKEN[service][1]
    return next(one for one in ENDINGS if one.name == name)


class Broken(Ends):
    """Ends each call in the same way."""

    def __init__(self, how: Ending) -> None:
        super().__init__({})
        self._how = how

    def script(self, context: Any) -> tuple[Ending, int]:
        del context
        return self._how, 2


async def serve() -> None:
    config = load_config(ServiceConfig)
    servicer = Broken(ending(config.service, config.version))
    async with meshwright.Server(config) as server:
        server.add(rpc.add_CalculatorServicer_to_server, servicer)
        server.add(rpc.add_NumberServiceServicer_to_server, servicer)
        await server.run()


async def messages() -> AsyncIterator[pb.ChatMessage]:
    yield pb.ChatMessage(text="hello")


async def one(channel: grpc.aio.Channel, method: str, timeout: float) -> str:
    """Make one call; its status."""
    calculator, numbers = rpc.CalculatorStub(channel), rpc.NumberServiceStub(channel)
    try:
        match method:
            case "Multiply":
                await calculator.Multiply(pb.Numbers(), timeout=timeout)
            case "SumNumbers":
                await numbers.SumNumbers(iter([pb.Number()]), timeout=timeout)
            case "GetPrimes":
                async for _ in numbers.GetPrimes(pb.PrimeRequest(), timeout=timeout):
                    pass
            case "Chat":
                async for _ in numbers.Chat(messages(), timeout=timeout):
                    pass
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


async def call_all() -> None:
    config = load_config(ServiceConfig, service="caller")
    outcomes: list[tuple[str, str, float]] = []
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)

    async def keep_calling(service: str, channel: grpc.aio.Channel) -> None:
        timeout = 1.0 if service == "never" else 10.0  # the others answer, if late: the machine may be busy
        while True:
            began = time.monotonic()
            outcomes.append((service, await one(channel, BROKEN[service][0], timeout), began))
            await asyncio.sleep(0.03)

    async with contextlib.AsyncExitStack() as stack:
        channels = {name: await stack.enter_async_context(meshwright.channel(name, config)) for name in BROKEN}
        tasks = [asyncio.create_task(keep_calling(*pair)) for pair in channels.items() for _ in range(2)]
        await reader.read()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    print(json.dumps(outcomes), flush=True)


if __name__ == "__main__":
    asyncio.run(call_all() if sys.argv[1:] == ["call"] else serve())
