"""A server that sends what a test says, byte by byte: what a well-behaved one would never do included."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable

    Serve: TypeAlias = "Callable[[RawConnection], Awaitable[None]]"

FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"


class RawConnection:
    """The server's end of one connection. `number` counts from 1."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self._reader = reader
        self._writer = writer
        self.number = number
        self.ended = False
        """Whether the client has closed it."""

    async def head(self) -> bytes:
        """The head of the next request. Raises IncompleteReadError where the client closed the connection."""
        return await self._reader.readuntil(b"\r\n\r\n")

    async def body(self, size: int) -> bytes:
        """That many bytes after the head."""
        return await self._reader.readexactly(size)

    async def send(self, data: bytes) -> None:
        """Write, and wait until the kernel has it."""
        self._writer.write(data)
        await self._writer.drain()

    async def until_closed(self) -> None:
        """Wait until the client has closed the connection."""
        while await self._reader.read(65536):
            pass


class RawServer:
    """What it has seen: its connections, and the heads of the requests."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self.connections: list[RawConnection] = []
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def open(self) -> int:
        """The connections that neither end has closed."""
        return len([one for one in self.connections if not one.ended])

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = RawConnection(reader, writer, len(self.connections) + 1)
        self.connections.append(connection)
        task = asyncio.create_task(self._run(connection, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, connection: RawConnection, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                await self._serve(connection)
        finally:
            connection.ended = True
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def raw_server(serve: Serve, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
    """Serve each connection with `serve`; it is closed when that returns."""
    made = RawServer(serve)
    server = await asyncio.start_server(made.accept, "127.0.0.1", 0, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await made.aclose()
        await server.wait_closed()


async def answer_all(connection: RawConnection) -> None:
    """Answer each request of the connection, until the client closes it."""
    while True:
        await connection.head()
        await connection.send(FINE)
