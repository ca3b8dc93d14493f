"""A gRPC client in Python, told by JSON lines what to call: `python client.py plain | runtime | HOST:PORT`.

- `plain`: gRPC's own xDS client, without Meshwright's runtime
- `runtime`: channels that `meshwright.channel` makes
- an address: no xDS at all, through the Envoy that listens there

Commands and answers are those of `programs.caller`, and each command names its target, `xds:///user`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from typing import Any

import grpc

import meshwright
from demo.calculator.v1 import calculator_pb2_grpc as rpc
from meshwright.config import ServiceConfig, load_config
from programs.caller import Caller


def channel(mode: str, target: str) -> Any:
    service = target.removeprefix("xds:///")
    if mode == "plain":
        return grpc.aio.insecure_channel(target)
    if mode == "runtime":
        return meshwright.channel(service, load_config(ServiceConfig, service="caller"))
    return grpc.aio.insecure_channel(mode, options=[("grpc.default_authority", service)])


async def main() -> None:
    (mode,) = sys.argv[1:]
    reader = asyncio.StreamReader(limit=2**26)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    callers: dict[str, Caller] = {}
    async with AsyncExitStack() as stack:
        print(json.dumps({"version": f"grpcio {grpc.__version__}"}), flush=True)
        async for line in reader:
            command = json.loads(line)
            target = command["target"]
            if target not in callers:
                opened = await stack.enter_async_context(channel(mode, target))
                callers[target] = Caller(rpc.CalculatorStub(opened))
            print(json.dumps(await callers[target].obey(command)), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
