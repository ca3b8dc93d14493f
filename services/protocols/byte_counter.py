"""A TCP proxy that counts payload bytes in both directions, frames, headers and trailers included."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from services.protocols.domain import Traffic

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

_CHUNK = 2**16


class CountingProxy:
    """Counts the bytes of all connections through it; `port`: the proxy's own; `connections`: how many were opened."""

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0
        self._up = self._down = 0
        self._moved = 0

    def read(self) -> Traffic:
        """All bytes so far."""
        return Traffic(self._up, self._down)

    async def settled(self) -> Traffic:
        """Waits until no bytes move for 50 ms (acknowledgements and window updates trail); returns the count."""
        before = -1
        while before != self._moved:
            before = self._moved
            await asyncio.sleep(0.05)
        return self.read()

    def add_up(self, count: int) -> None:
        self._up += count
        self._moved += 1

    def add_down(self, count: int) -> None:
        self._down += count
        self._moved += 1


@contextlib.asynccontextmanager
async def counting_proxy(target: int) -> AsyncIterator[CountingProxy]:
    """Runs a proxy to the local port `target`, for as long as the context lasts."""
    proxy = CountingProxy()
    pipes: set[asyncio.Task[None]] = set()
    ends: list[asyncio.StreamWriter] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        proxy.connections += 1
        there, back = await asyncio.open_connection("127.0.0.1", target)
        ends.extend((writer, back))
        for task in (
            asyncio.create_task(_pipe(reader, back, proxy.add_up)),
            asyncio.create_task(_pipe(there, writer, proxy.add_down)),
        ):
            pipes.add(task)
            task.add_done_callback(pipes.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for task in tuple(pipes):
            task.cancel()
        await asyncio.gather(*pipes, return_exceptions=True)
        for end in ends:
            end.close()
        await asyncio.gather(*(end.wait_closed() for end in ends), return_exceptions=True)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: Callable[[int], None]) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(_CHUNK):
            count(len(data))
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(ConnectionError, RuntimeError):
        writer.close()
