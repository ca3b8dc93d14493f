"""A plain gRPC client on xDS, without Meshwright's runtime.

`python -m programs.plain_caller TARGET [ADDRESS ...]`

TARGET is a channel's target, `xds:///user` for example; ADDRESSes are control planes, in order of preference: one
`xds_server` with several addresses, because gRPC turns to the next *server* of its list only while it lacks a resource
(gRFC A71). Commands and answers are those of `programs.caller`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

import grpc

from demo.calculator.v1 import calculator_pb2_grpc as rpc
from programs.caller import Caller


def bootstrap(addresses: list[str]) -> str:
    server = {
        "server_uri": f"ipv4:{','.join(addresses)}",
        "channel_creds": [{"type": "insecure"}],
        "server_features": ["xds_v3", "ignore_resource_deletion"],
    }
    node = {"id": f"client-{os.getpid()}", "cluster": "test", "metadata": {"meshwright.timeout_skew_ms": 1500}}
    return json.dumps({"xds_servers": [server], "node": node})


async def main() -> None:
    target, *addresses = sys.argv[1:]
    os.environ["GRPC_XDS_BOOTSTRAP_CONFIG"] = bootstrap(addresses)
    reader = asyncio.StreamReader(limit=2**26)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with grpc.aio.insecure_channel(target) as channel:
        caller = Caller(rpc.CalculatorStub(channel))
        print("{}", flush=True)
        async for line in reader:
            print(json.dumps(await caller.obey(json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
