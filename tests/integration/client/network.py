"""The way between a client and the gateways, that a test can cut, take down and lead elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from meshwright.model import Address


class Network:
    """Forwards connections to `target`; None: refuses them. `opened` counts those that came."""

    def __init__(self, target: Address) -> None:
        self.target: Address | None = target
        self.url = ""
        self.opened = 0
        self.frozen = asyncio.Event()
        """Set: bytes of clients are read and go nowhere."""
        self._writers: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Every connection is lost."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        if self.target is None:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection(self.target.host, self.target.port)
        own = {writer, back}
        self._writers |= own
        try:
            await asyncio.gather(self._copy(reader, back, stoppable=True), self._copy(there, writer, stoppable=False))
        finally:
            self._writers -= own
            for end in own:
                end.transport.abort()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, stoppable: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if not (stoppable and self.frozen.is_set()):
                    writer.write(data)
                    await writer.drain()
        writer.transport.abort()


@contextlib.asynccontextmanager
async def network(target: Address) -> AsyncIterator[Network]:
    way = Network(target)
    server = await asyncio.start_server(way.handle, "127.0.0.1", 0)
    way.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield way
    finally:
        server.close()
        way.cut()
        await server.wait_closed()
