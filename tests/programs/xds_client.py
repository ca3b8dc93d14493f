"""A bare gRPC client on xDS in a process of its own, without the runtime.

`python -m programs.xds_client HOST:PORT [plain]`

It shows what gRPC itself does with what a control plane publishes. Each line on stdin is a JSON command:
`{"times": n, "concurrent": c, "target": t, "path": p, "metadata": [[k, v], ..], "timeout": s}`; each line on stdout the
outcomes in the order of the calls: `[[status, answer, seconds, details], ..]`.

gRPC fires xDS timeouts early by one second plus the fraction of the monotonic clock when it was initialised; the
client measures that and sends it with its node, as a service's channel does; with `plain` it does not, like any client
that knows nothing of Meshwright.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any

import grpc


def bootstrap(address: str, *, plain: bool) -> None:
    before = time.clock_gettime(time.CLOCK_MONOTONIC)
    grpc.insecure_channel("ipv4:127.0.0.1:1").close()  # initialises gRPC
    after = time.clock_gettime(time.CLOCK_MONOTONIC)
    skew_ms = round((1 + ((before + after) / 2) % 1) * 1000)
    document = {
        "xds_servers": [
            {
                "server_uri": address,
                "channel_creds": [{"type": "insecure"}],
                "server_features": ["xds_v3", "ignore_resource_deletion"],
            }
        ],
        "node": {
            "id": f"test-{os.getpid()}",
            "cluster": "test",
            "metadata": {} if plain else {"meshwright.timeout_skew_ms": skew_ms},
        },
    }
    os.environ["GRPC_XDS_BOOTSTRAP_CONFIG"] = json.dumps(document)


class Client:
    def __init__(self) -> None:
        self._channels: dict[str, grpc.aio.Channel] = {}

    async def calls(self, command: dict[str, Any]) -> list[list[Any]]:
        gate = asyncio.Semaphore(command["concurrent"])

        async def one() -> list[Any]:
            async with gate:
                return await self._call(command)

        return await asyncio.gather(*(one() for _ in range(command["times"])))

    async def _call(self, command: dict[str, Any]) -> list[Any]:
        target = command["target"]
        if target not in self._channels:
            self._channels[target] = grpc.aio.insecure_channel(f"xds:///{target}")
        call: Any = self._channels[target].unary_unary(command["path"])
        began = time.monotonic()
        try:
            answer = await call(
                b"", timeout=command["timeout"], metadata=[(key, value) for key, value in command["metadata"]]
            )
            outcome = ["OK", answer.decode(), time.monotonic() - began, ""]
        except grpc.aio.AioRpcError as error:
            outcome = [error.code().name, "", time.monotonic() - began, error.details() or ""]
        return outcome

    async def close(self) -> None:
        for channel in self._channels.values():
            await channel.close()


async def main() -> None:
    client = Client()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(await client.calls(json.loads(line))), flush=True)
    await client.close()


if __name__ == "__main__":
    bootstrap(sys.argv[1], plain=sys.argv[2:] == ["plain"])
    asyncio.run(main())
