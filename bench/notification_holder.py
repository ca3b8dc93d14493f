"""One process that holds subscribers: `python -m bench.notification_holder TARGET NUMBER`, told what to do on stdin."""

from __future__ import annotations

import asyncio
import json
import sys
import time

import grpc

from demo.notification.v1 import notification_pb2 as pb
from demo.notification.v1 import notification_pb2_grpc as rpc

CHANNELS = 5
"""Connections; a gateway has one to each replica."""


class Holder:
    def __init__(self, target: str) -> None:
        # Channels with the same arguments would share one connection.
        self.stubs = [
            rpc.NotificationServiceStub(grpc.aio.insecure_channel(target, options=[("bench.channel", number)]))
            for number in range(CHANNELS)
        ]
        self.delays: list[float] = []
        self.missed = 0
        self.last = 0.0
        self.tasks: list[asyncio.Task[None]] = []

    async def subscribe(self, users: list[str]) -> None:
        welcomed = [asyncio.Event() for _ in users]
        for number, (user, event) in enumerate(zip(users, welcomed, strict=True)):
            self.tasks.append(asyncio.create_task(self.listen(self.stubs[number % CHANNELS], user, event)))
        await asyncio.gather(*(event.wait() for event in welcomed))

    async def listen(self, stub: rpc.NotificationServiceStub, user: str, welcomed: asyncio.Event) -> None:
        async for item in stub.Subscribe(pb.SubscribeRequest(user_id=user)):
            if welcomed.is_set():
                self.last = time.time()
                self.delays.append(self.last - float(item.data["sent"]))
                self.missed += item.missed
            welcomed.set()

    async def heard(self, count: int) -> dict[str, object]:
        while len(self.delays) + self.missed < count:
            failed = [task for task in self.tasks if task.done()]
            for task in failed:
                task.result()
            await asyncio.sleep(0.05)
        found = {"delays": self.delays, "missed": self.missed, "last": self.last}
        self.delays, self.missed = [], 0
        return found


async def main(target: str) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    holder = Holder(target)
    async for line in reader:
        command = json.loads(line)
        if "subscribe" in command:
            await holder.subscribe(command["subscribe"])
            print(json.dumps({}), flush=True)
        else:
            print(json.dumps(await holder.heard(command["count"])), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
