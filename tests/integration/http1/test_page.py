"""The page for Prometheus: what it answers, and that no client holds it up."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from functools import partial
from typing import TYPE_CHECKING

import httpx
import pytest

from meshwright.errors import ValidationError
from meshwright.http1 import page as page_module
from meshwright.http1 import serving_page
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from meshwright.model import Address

TYPE = "text/plain; version=1.0.0; charset=utf-8"
TEXT = b"calls_total 7\n"


@contextlib.asynccontextmanager
async def served(render: Callable[[], bytes] = lambda: TEXT) -> AsyncIterator[Address]:
    async with serving_page("/metrics", render, TYPE, "127.0.0.1", 0) as address:
        yield address


@contextlib.asynccontextmanager
async def connected(address: Address) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def said(address: Address, request: bytes) -> bytes:
    """All that the server sends until it closes the connection."""
    async with connected(address) as (reader, writer):
        writer.write(request)
        return await reader.read()


async def ended(reader: asyncio.StreamReader) -> bytes:
    """What is left until the server's end; nothing where it was reset."""
    with contextlib.suppress(ConnectionError):
        return await reader.read()
    return b""


def connections_served() -> int:
    """How many tasks serve a connection."""
    return sum("_Page._serve" in repr(task.get_coro()) for task in asyncio.all_tasks())


def is_open(client: socket.socket) -> bool:
    """Whether the server has not closed its end."""
    client.setblocking(False)
    try:
        return client.recv(1) != b""
    except BlockingIOError:
        return True
    except ConnectionError:
        return False


async def test_get_and_head() -> None:
    async with served() as address, httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as client:
        got = await client.get("/metrics")
        assert (got.status_code, got.content, got.headers["content-type"]) == (200, TEXT, TYPE)
        assert "date" in got.headers
        assert (await client.get("/metrics?name=x")).content == TEXT
        head = await client.head("/metrics")
        assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(TEXT)))


async def test_another_path_and_another_method() -> None:
    async with served() as address, httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as client:
        for path in ("/", "/metrics/", "/Metrics", "/%00"):
            found = await client.get(path)
            assert (found.status_code, found.text) == (404, "404: Not Found\n")
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            refused = await client.request(method, "/metrics", content=b"x" if method in {"POST", "PUT"} else None)
            assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET http://prometheus.example/metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"200"),
        (b"GET http://prometheus.example HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"404"),
        (b"GET /metrics HTTP/1.0\r\n\r\n", b"200"),
        (b"GET /metrics HTTP/1.1\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 what a TLS client says first\r\n\r\n", b"400"),
        (b"garbage\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno length\r\n", b"400"),
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 100_000, b"431"),
        (b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nnot all of it", b"405"),
    ],
)
async def test_odd_requests_are_answered_and_end_the_connection(request_: bytes, status: bytes) -> None:
    async with served() as address:
        async with asyncio.timeout(20):
            answer = await said(address, request_)
        assert answer.startswith(b"HTTP/1.1 " + status)
        assert (await said(address, b"GET /metrics HTTP/1.0\r\n\r\n")).endswith(TEXT)


async def test_a_connection_serves_many_requests() -> None:
    async with served() as address, connected(address) as (reader, writer):
        for _ in range(5):
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(TEXT)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
        for _ in range(3):
            await reader.readuntil(TEXT)


async def test_a_page_that_cannot_be_rendered_is_an_error_and_the_next_one_is_served(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outcomes = iter([ValueError("a collector's"), None])

    def render() -> bytes:
        if error := next(outcomes):
            raise error
        return TEXT

    async with served(render) as address, httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as client:
        assert (await client.get("/metrics")).status_code == 500
        assert (await client.get("/metrics")).content == TEXT
    assert "/metrics cannot be rendered" in caplog.text
    assert "a collector's" in caplog.text


async def test_the_page_is_rendered_on_the_loops_thread() -> None:
    async with served(lambda: str(asyncio.get_running_loop().time()).encode()) as address:
        assert float((await said(address, b"GET /metrics HTTP/1.0\r\n\r\n")).rpartition(b"\r\n")[2]) > 0


@pytest.mark.parametrize("sent", [b"", b"GET /met", b"GET /metrics HTTP/1.1\r\nHost: x\r\n"])
async def test_a_client_that_sends_no_whole_request_is_cut_off(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "HEAD_SECONDS", 0.2)
    async with served() as address, connected(address) as (reader, writer):
        writer.write(sent)
        async with asyncio.timeout(20):
            assert await ended(reader) == b""


async def test_a_client_that_is_idle_too_long_between_requests_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "IDLE_SECONDS", 0.2)
    async with served() as address, connected(address) as (reader, writer):
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(TEXT)
        async with asyncio.timeout(20):
            assert await ended(reader) == b""


async def test_a_client_that_does_not_take_the_page_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "HEAD_SECONDS", 0.3)
    large = b"x" * 20_000_000
    async with served(lambda: large) as address:
        with socket.create_connection((address.host, address.port)) as client:
            client.setblocking(False)
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            loop = asyncio.get_running_loop()
            assert await loop.sock_recv(client, 10) == b"HTTP/1.1 2"
            assert connections_served() == 1
            await eventually(lambda: connections_served() == 0)
            received = 10
            with contextlib.suppress(ConnectionError):
                while piece := await loop.sock_recv(client, 1_000_000):
                    received += len(piece)
            assert received < len(large)


async def test_clients_that_send_nothing_do_not_keep_others_out() -> None:
    async with served() as address, contextlib.AsyncExitStack() as stack:
        silent = [await stack.enter_async_context(connected(address)) for _ in range(page_module.MOST_CONNECTIONS + 10)]
        assert (await said(address, b"GET /metrics HTTP/1.0\r\n\r\n")).endswith(TEXT)
        # The first ones made room, the last ones are still there.
        assert await ended(silent[0][0]) == b""
        reader, writer = silent[-1]
        writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert (await reader.read()).endswith(TEXT)


async def test_more_clients_at_once_than_there_is_room_for_leave_none_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "MOST_CONNECTIONS", 10)
    async with served() as address, contextlib.AsyncExitStack() as stack:
        # All are accepted in one pass of the loop, so that some are closed before their tasks have begun.
        made = [socket.create_connection((address.host, address.port)) for _ in range(40)]
        for client in made:
            stack.callback(client.close)
        await eventually(lambda: sum(is_open(client) for client in made) == 10)
        assert connections_served() == 10
        await stack.aclose()
        await eventually(lambda: connections_served() == 0)


async def test_who_asks_regularly_keeps_its_connection_among_many() -> None:
    async with served() as address, contextlib.AsyncExitStack() as stack:
        reader, writer = await stack.enter_async_context(connected(address))
        for _ in range(page_module.MOST_CONNECTIONS * 2):
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(TEXT)
            await stack.enter_async_context(connected(address))


async def test_many_clients_at_once_are_all_served() -> None:
    async with served() as address:
        each = [said(address, b"GET /metrics HTTP/1.0\r\n\r\n") for _ in range(page_module.MOST_CONNECTIONS)]
        assert all(answer.endswith(TEXT) for answer in await asyncio.gather(*each))


async def test_the_end_does_not_wait_for_clients_that_are_connected() -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with served() as address:
            silent, _ = await stack.enter_async_context(connected(address))
            idle, writer = await stack.enter_async_context(connected(address))
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            await idle.readuntil(TEXT)
            began = time.monotonic()
        assert time.monotonic() - began < page_module.HEAD_SECONDS
        assert (await ended(silent), await ended(idle)) == (b"", b"")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(address.host, address.port)


async def test_an_answer_that_is_being_taken_at_the_end_is_sent_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "GRACE_SECONDS", 20.0)
    large = b"x" * 20_000_000
    async with contextlib.AsyncExitStack() as stack:
        async with served(lambda: large) as address:
            reader, writer = await stack.enter_async_context(connected(address))
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            received = [await reader.read(10)]
            rest = asyncio.create_task(reader.read())
        received.append(await rest)
        assert sum(map(len, received)) > len(large)


async def test_an_address_that_is_taken_is_named() -> None:
    async with served() as address:
        with pytest.raises(ValidationError, match=rf"address {address} .*\n.*cannot listen: .*in use"):
            async with serving_page("/metrics", lambda: TEXT, TYPE, address.host, address.port):
                pass


async def test_a_client_that_goes_away_is_forgotten() -> None:
    rendered: list[None] = []

    def render() -> bytes:
        rendered.append(None)
        return b"x" * 5_000_000

    def asked(times: int) -> bool:
        return len(rendered) == times

    async with served(render) as address:
        for number in range(1, 6):
            async with connected(address) as (_, writer):
                writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
                await eventually(partial(asked, number))
                writer.transport.abort()
        await eventually(lambda: connections_served() == 0)
