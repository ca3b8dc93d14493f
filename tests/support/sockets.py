"""A client of the gateway's WebSocket, that takes down everything it hears."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import websockets

from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from websockets.asyncio.client import ClientConnection

    from meshwright.model import Address
    from support.people import Person


@dataclass
class Line:
    """One socket."""

    connection: ClientConnection
    heard: list[dict[str, Any]] = field(default_factory=list)

    async def say(self, kind: str, **fields: Any) -> None:
        await self.connection.send(json.dumps({"type": kind, **fields}))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [frame for frame in self.heard if frame["type"] == kind]

    async def first(self, kind: str, count: int = 1) -> dict[str, Any]:
        """The frame of that type with that number, which must come."""
        await eventually(lambda: len(self.of(kind)) >= count, 15)
        return self.of(kind)[count - 1]

    async def join(self, room: str = "hall", **fields: Any) -> dict[str, Any]:
        before = len(self.of("joined"))
        await self.say("join", room=room, **fields)
        return await self.first("joined", before + 1)

    async def error(self) -> tuple[str, str]:
        """Code and reason of the last error, the first of which must come."""
        await self.first("error")
        last = self.of("error")[-1]
        return last["code"], last["reason"]

    @property
    def texts(self) -> list[str]:
        return [frame["text"] for frame in self.of("message")]

    async def closed(self) -> tuple[int | None, str | None]:
        """How the server ended it."""
        await asyncio.wait_for(self.connection.wait_closed(), 15)
        return self.connection.close_code, self.connection.close_reason

    async def _listen(self) -> None:
        with contextlib.suppress(websockets.ConnectionClosed):
            async for text in self.connection:
                self.heard.append(json.loads(text))


@contextlib.asynccontextmanager
async def line(address: Address, person: Person | None = None, **options: Any) -> AsyncIterator[Line]:
    """A socket, with a person's token in its header if there is one. `options`: those of `websockets.connect`."""
    headers = person.headers if person else {}
    uri = f"ws://{address}/ws"
    async with websockets.connect(uri, additional_headers=headers, compression=None, proxy=None, **options) as made:
        opened = Line(made)
        listening = asyncio.create_task(opened._listen())
        try:
            if person:
                await opened.first("welcome")
            yield opened
        finally:
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listening
