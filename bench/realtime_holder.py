"""One process that holds WebSockets: `python -m bench.realtime_holder URL`, told what to do on stdin."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time

from websockets.asyncio.client import ClientConnection, connect

AT_ONCE = 20


class Holder:
    def __init__(self, url: str) -> None:
        self.url = url
        self.delays: list[float] = []
        self.last = 0.0
        self.sockets: list[ClientConnection] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def connect(self, tokens: list[str], room: str) -> None:
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(token: str) -> None:
            async with turns:
                headers = {"Authorization": f"Bearer {token}"}
                socket = await connect(
                    self.url, additional_headers=headers, compression=None, proxy=None, open_timeout=60
                )
                self.sockets.append(socket)
                assert '"welcome"' in str(await socket.recv())
                if room:
                    await socket.send(json.dumps({"type": "join", "room": room, "history": 0}))
                    assert '"joined"' in str(await socket.recv())
            self.tasks.append(asyncio.create_task(self.listen(socket)))

        await asyncio.gather(*(one(token) for token in tokens))

    async def listen(self, socket: ClientConnection) -> None:
        async for text in socket:
            # Reading the time is all that is done with a message: what is measured is the gateway.
            _, found, rest = str(text).partition('"text":"')
            if found:
                self.last = time.time()
                self.delays.append(self.last - float(rest.partition('"')[0]))
            assert '"type":"missed"' not in str(text)

    async def heard(self, count: int) -> dict[str, object]:
        while len(self.delays) < count:
            for task in self.tasks:
                if task.done():
                    task.result()
                    raise AssertionError("a socket was closed")
            await asyncio.sleep(0.1)
        found = {"delays": self.delays, "missed": 0, "last": self.last}
        self.delays = []
        return found


async def main(url: str) -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    reader = asyncio.StreamReader(limit=2**26)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    holder = Holder(url)
    async for line in reader:
        command = json.loads(line)
        if "connect" in command:
            await holder.connect(command["connect"], command["room"])
            print(json.dumps({}), flush=True)
        else:
            print(json.dumps(await holder.heard(command["count"])), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
