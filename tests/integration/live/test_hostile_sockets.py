"""Peers that break the rules of the WebSocket protocol, or keep them and ask too much of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import struct
from typing import TYPE_CHECKING

import pytest
import websockets

from support.demo.people import sign_up
from support.demo.sockets import bare, ending, line, raw_frame

if TYPE_CHECKING:
    from support.demo.realtime import Edge

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
BROKEN = {
    "text that is no UTF-8": (raw_frame(TEXT, b"\xff\xfe"), 1007),
    "an unknown opcode": (raw_frame(3, b"x"), 1002),
    "no mask": (b"\x81\x01x", 1002),
    "a ping in pieces": (raw_frame(PING, b"x", final=False), 1002),
    "a long ping": (raw_frame(PING, b"x" * 126), 1002),
    "a piece of nothing": (raw_frame(0, b"x"), 1002),
    "a message inside a message": (raw_frame(TEXT, b"a", final=False) + raw_frame(TEXT, b"b"), 1002),
    "compression that was not agreed": (b"\xc1\x80" + bytes(4), 1002),
    "a length without end": (b"\x81\xff" + b"\xff" * 8 + bytes(4), 1009),
    "too much in pieces": (raw_frame(TEXT, b"x" * 40_000, final=False) + raw_frame(0, b"x" * 40_000)[:8], 1009),
    "a close of one byte": (raw_frame(CLOSE, b"x"), 1002),
    "a close with a code that is not sent": (raw_frame(CLOSE, struct.pack("!H", 1005)), 1002),
}


@pytest.mark.parametrize("what", BROKEN)
async def test_a_broken_frame_ends_the_socket_with_its_code_and_is_no_error_of_ours(
    edge: Edge, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    served = edge.gateways[0]
    sent, code = BROKEN[what]
    async with bare(served.address, await sign_up(served)) as (reader, writer):
        writer.write(sent)
        assert ending(await asyncio.wait_for(reader.read(), 10))[0] == code
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize(
    ("first", "flood"),
    [
        (b"", raw_frame(PING, b"p" * 125)),
        (b"", raw_frame(PONG)),
        (raw_frame(TEXT, b"{", final=False), raw_frame(0, b"", final=False)),
        (b"", raw_frame(BINARY, b"", final=False) + raw_frame(0)),
    ],
    ids=["pings", "pongs", "empty pieces", "messages of empty pieces"],
)
async def test_a_flood_below_the_messages_ends_the_socket(edge: Edge, first: bytes, flood: bytes) -> None:
    served = edge.gateways[0]
    async with bare(served.address, await sign_up(served)) as (reader, writer):
        writer.write(first)
        received = asyncio.create_task(reader.read())
        with contextlib.suppress(OSError):
            for _ in range(200):
                writer.write(flood * 100)
                await writer.drain()
        with contextlib.suppress(OSError):
            assert ending(await asyncio.wait_for(received, 10)) in {(1008, "TOO_MANY_FRAMES"), (1008, "RATE_LIMITED")}
        assert received.done()


async def test_binary_messages_count_as_messages(edge: Edge) -> None:
    served = edge.gateways[0]
    async with line(served.address, await sign_up(served)) as one:
        with contextlib.suppress(websockets.ConnectionClosed):
            for _ in range(3000):
                await one.connection.send(b"\0")
        assert await one.closed() == (1008, "RATE_LIMITED")
        assert {frame["reason"] for frame in one.of("error")} == {"NO_TEXT", "RATE_LIMITED"}


async def test_half_a_character_is_refused_and_the_socket_goes_on(edge: Edge) -> None:
    served = edge.gateways[0]
    async with line(served.address, await sign_up(served)) as one:
        await one.join()
        fields = ("room", "name", "ref", "text", "client_id", "resume_after", "token")
        kinds = {"text": "say", "client_id": "say", "token": "authenticate"}
        for count, field in enumerate(fields, 1):
            message = {"type": kinds.get(field, "join"), "room": "hall", "text": "t", field: "\ud800"}
            await one.connection.send(json.dumps(message))
            await one.first("error", count)
        assert {frame["reason"] for frame in one.of("error")} == {"INVALID_MESSAGE"}
        await one.say("ping")
        await one.first("pong")


@pytest.mark.parametrize("origin", ["http://[", "null", "", "http://:0", "https://x.example:99999999"])
async def test_an_origin_that_is_none_is_refused(edge: Edge, origin: str) -> None:
    with pytest.raises(websockets.InvalidStatus) as caught:
        async with line(edge.gateways[0].address, origin=origin):
            pass
    assert caught.value.response.status_code == 403
