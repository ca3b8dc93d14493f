"""A real NATS server with JetStream, of the tests' own."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from services.common.messaging.event_consumer import batches_after
from support.processes import frozen, promised_port, running
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator

    from services.common.messaging.bus import Bus
    from services.common.messaging.events import Event
    from support.processes import Process


PROGRAM = Path(sys.executable).with_name("nats-server")


class NatsServer:
    """Its port and its store survive `kill` and `start`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.store = folder / "store"
        self.config: Path | None = None
        self.port = promised_port()
        self._stack = contextlib.AsyncExitStack()
        self._process: Process | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    async def start(self) -> None:
        command = [PROGRAM, "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", self.store]
        if self.config:
            command += ["-c", self.config]
        process = running([str(part) for part in command], self.folder / "nats.log")
        self._process = await self._stack.enter_async_context(process)
        await eventually(self._answers, 10)

    async def kill(self) -> None:
        """kill -9."""
        assert self._process
        await self._process.kill()

    async def lose(self) -> None:
        """Come back empty, as with a new disk."""
        await self.kill()
        shutil.rmtree(self.store)
        await self.start()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Not gone, and not answering."""
        assert self._process
        with frozen(self._process.child.pid):
            yield

    async def _answers(self) -> bool:
        assert self._process
        assert self._process.running, self._process.tail()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        try:
            return (await reader.readline()).startswith(b"INFO")
        finally:
            writer.close()

    async def close(self) -> None:
        await self._stack.aclose()


@contextlib.asynccontextmanager
async def nats_server(folder: Path) -> AsyncIterator[NatsServer]:
    """A server that keeps its streams under `folder`."""
    server = NatsServer(folder)
    try:
        await server.start()
        yield server
    finally:
        await server.close()


async def events_after(bus: Bus, source: str, place: int) -> AsyncGenerator[tuple[int, Event]]:
    """The events of a service one by one, with their sequences, from after `place`."""
    async with contextlib.aclosing(batches_after(bus, source, place)) as batches:
        async for batch in batches:
            for at, event in batch.events:
                yield at, event
