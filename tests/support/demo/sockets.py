"""A client of the gateway's WebSocket, that takes down everything it hears."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import websockets

from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from websockets.asyncio.client import ClientConnection

    from meshwright.model import Address
    from support.demo.people import Person


NARROW = 16384
"""Bytes that the system takes for a connection that is to be slow."""


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

    async def listen(self) -> None:
        """Takes down what comes, until the end."""
        with contextlib.suppress(websockets.ConnectionClosed):
            async for text in self.connection:
                self.heard.append(json.loads(text))


@contextlib.asynccontextmanager
async def line(address: Address, person: Person | None = None, **options: Any) -> AsyncIterator[Line]:
    """A socket, with a user's token in its header if there is one. `options`: those of `websockets.connect`."""
    headers = person.headers if person else {}
    uri = f"ws://{address}/ws"
    async with websockets.connect(uri, additional_headers=headers, compression=None, proxy=None, **options) as made:
        opened = Line(made)
        listening = asyncio.create_task(opened.listen())
        try:
            if person:
                await opened.first("welcome")
            yield opened
        finally:
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listening


@contextlib.asynccontextmanager
async def bare(
    address: Address, person: Person, receive: int = 0
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A WebSocket after its handshake, without a library that would keep the rules. `receive`: the system's buffer."""
    peer = socket.socket()
    if receive:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    peer.setblocking(False)
    await asyncio.get_running_loop().sock_connect(peer, (address.host, address.port))
    reader, writer = await asyncio.open_connection(sock=peer)
    try:
        writer.write(
            f"GET /ws HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            f"Authorization: {person.headers['Authorization']}\r\n\r\n".encode()
        )
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        yield reader, writer
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def transport_of(writer: asyncio.StreamWriter) -> asyncio.Transport:
    """The transport of a bare WebSocket, whose reading may be paused: a client that does not read."""
    assert isinstance(writer.transport, asyncio.Transport)
    return writer.transport


def raw_frame(opcode: int, data: bytes = b"", *, final: bool = True) -> bytes:
    """As a client sends it, masked with zeros."""
    length = len(data)
    if length < 126:
        size = bytes([0x80 | length])
    elif length < 65536:
        size = b"\xfe" + struct.pack("!H", length)
    else:
        size = b"\xff" + struct.pack("!Q", length)
    return bytes([(final << 7) | opcode]) + size + bytes(4) + data


def ending(received: bytes) -> tuple[int, str]:
    """Code and reason of the close frame that ends what a server sent."""
    start = received.rindex(b"\x88")
    code, reason = received[start + 2 : start + 4], received[start + 4 : start + 2 + received[start + 1]]
    return int.from_bytes(code, "big"), reason.decode()


def narrowly_bound(bind: Callable[..., socket.socket]) -> Callable[..., socket.socket]:
    """Connections inherit the listener's buffers: the system would take megabytes for a client that does not read."""

    def narrow(*arguments: Any) -> socket.socket:
        listener = bind(*arguments)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, NARROW)
        return listener

    return narrow
