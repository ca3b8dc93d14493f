"""A client of the mesh in a process of its own, told by JSON lines what to call.

`python -m programs.caller SERVICE`

gRPC reads its xDS bootstrap once for each process, so a test that wants its own control plane needs its own process.
Commands on stdin, one answer a line on stdout:

- `{"do": "call", "times": n, "workers": w, "method": m, "timeout": s, "metadata": {..}}`
  -> `{"outcomes": [[code, instance, version, seconds, message, began], ..]}`; `began` is monotonic, machine-wide
- `{"do": "start", "workers": n}`: keeps calling in the background
- `{"do": "stop"}` -> the same shape as `call`, for all calls since the start
- `{"do": "count"}` -> `{"count": calls so far}`
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import grpc

import meshwright
from demo.calculator.v1 import calculator_pb2 as pb
from demo.calculator.v1 import calculator_pb2_grpc as rpc
from meshwright.config import ServiceConfig, load_config

Outcome = list[Any]


class Caller:
    def __init__(self, stub: rpc.CalculatorStub) -> None:
        self._stub = stub
        self._outcomes: list[Outcome] = []
        self._running: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()

    async def one(self, command: dict[str, Any]) -> Outcome:
        method = getattr(self._stub, command.get("method", "Add"))
        began = time.monotonic()
        call = method(
            pb.Numbers(a=1, b=2),
            timeout=command.get("timeout", 10.0),
            metadata=tuple((key, value) for key, value in command.get("metadata", {}).items()),
            wait_for_ready=command.get("wait_for_ready"),
        )
        try:
            await call
        except grpc.aio.AioRpcError as error:
            return [error.code().name, "", "", time.monotonic() - began, error.details(), began]
        answered = dict(await call.trailing_metadata() or ())
        seconds = time.monotonic() - began
        return [
            "OK",
            answered.get("meshwright-instance", ""),
            answered.get("meshwright-version", ""),
            seconds,
            "",
            began,
        ]

    async def many(self, command: dict[str, Any]) -> list[Outcome]:
        left = iter(range(command.get("times", 1)))
        outcomes: list[Outcome] = []

        async def worker() -> None:
            for _ in left:
                outcomes.append(await self.one(command))  # noqa: PERF401 - workers share the list

        await asyncio.gather(*(worker() for _ in range(command.get("workers", 1))))
        return outcomes

    def start(self, command: dict[str, Any]) -> None:
        self._outcomes = []
        self._stopping.clear()

        async def worker() -> None:
            while not self._stopping.is_set():
                self._outcomes.append(await self.one(command))
                await asyncio.sleep(command.get("pause", 0.002))

        self._running = [asyncio.create_task(worker()) for _ in range(command.get("workers", 10))]

    async def stop(self) -> list[Outcome]:
        self._stopping.set()
        await asyncio.gather(*self._running)
        return self._outcomes

    async def obey(self, command: dict[str, Any]) -> dict[str, Any]:
        match command["do"]:
            case "call":
                return {"outcomes": await self.many(command)}
            case "start":
                self.start(command)
                return {}
            case "count":
                return {"count": len(self._outcomes)}
            case "stop":
                return {"outcomes": await self.stop()}
        raise ValueError(command["do"])


async def main() -> None:
    config = load_config(ServiceConfig, service="caller")
    reader = asyncio.StreamReader(limit=2**26)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with meshwright.channel(sys.argv[1], config) as channel:
        caller = Caller(rpc.CalculatorStub(channel))
        print("{}", flush=True)
        async for line in reader:
            print(json.dumps(await caller.obey(json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
