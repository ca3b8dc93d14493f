"""Many ADS streams in one process: `bench.control_plane_load ADDRESS STREAMS CONNECTIONS SERVICES SUBSCRIBED`.

Each stream subscribes to all four types for SUBSCRIBED of the SERVICES services, acknowledges as gRPC does (all names,
every time), and does nothing else: what arrives is not even decoded. Each has a timeout skew of its own, as the
processes of a mesh have. On stdin, each line arms a measurement; on stdout come the times (monotonic, machine-wide) at
which each stream that is concerned got something after it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import grpc

from meshwright.controlplane.model.snapshot import ResourceType
from meshwright.controlplane.xds.server import METHOD
from meshwright.messages.xds import DiscoveryRequest

_NONCE = 5


class Streams:
    def __init__(self) -> None:
        self.arrived: list[float] = []
        self.expected = 0
        self.complete = asyncio.Event()
        self.connected = 0
        self.ready = asyncio.Event()

    def arm(self, expected: int) -> None:
        self.arrived = []
        self.expected = expected
        self.complete.clear()

    def note(self) -> None:
        self.arrived.append(time.monotonic())
        if len(self.arrived) == self.expected:
            self.complete.set()

    async def stream(self, channel: grpc.aio.Channel, number: int, names: dict[ResourceType, list[str]]) -> None:
        call = channel.stream_stream(METHOD)()
        requests = {kind: DiscoveryRequest(type_url=kind.value, resource_names=names[kind]) for kind in ResourceType}
        encoded = {kind.value.encode(): request.SerializeToString() for kind, request in requests.items()}
        for kind, request in requests.items():
            if kind is ResourceType.LISTENER:
                request.node.id = f"bench-{number}"
                request.node.user_agent_name = "bench"
                request.node.metadata.update({"meshwright.timeout_skew_ms": 1000 + number % 1000})
            await call.write(request.SerializeToString())
        waiting = len(requests)
        while isinstance(data := await call.read(), bytes):
            self.note()
            await call.write(encoded[_kind(data)] + _nonce(data))
            waiting -= 1
            if waiting == 0:
                self.connected += 1
                self.ready.set()


def _kind(data: bytes) -> bytes:
    """The type URL: the second field, after the version; both are short."""
    version = data[1]
    start = 2 + version + 2
    return data[start : start + data[start - 1]]


def _nonce(data: bytes) -> bytes:
    """The request field `response_nonce` has the number of the response field `nonce`, which is the last one."""
    start = data.rindex(bytes([_NONCE << 3 | 2]), 0, len(data))
    return data[start:]


async def main() -> None:
    address, streams, connections, services, subscribed = sys.argv[1], *map(int, sys.argv[2:])
    state = Streams()
    channels = [
        grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) for _ in range(connections)
    ]
    tasks = []
    for number in range(streams):
        chosen = [f"service-{(number + step) % services:03}" for step in range(subscribed)]
        chosen.sort()
        targets = [f"{name}.default.dc1" for name in chosen]
        names = {
            ResourceType.LISTENER: chosen,
            ResourceType.ROUTE: chosen,
            ResourceType.CLUSTER: targets,
            ResourceType.ENDPOINTS: targets,
        }
        tasks.append(asyncio.create_task(state.stream(channels[number % connections], number, names)))
    while state.connected < streams:
        state.ready.clear()
        await state.ready.wait()
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print("{}", flush=True)
    async for line in reader:
        state.arm(json.loads(line)["expected"])
        print("{}", flush=True)
        await state.complete.wait()
        print(json.dumps(state.arrived), flush=True)
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(main())
