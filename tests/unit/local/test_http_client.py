from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from typing import TYPE_CHECKING

import pytest

from meshwright.local import http_client
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@contextlib.asynccontextmanager
async def answering(text: bytes, *, ends: bool = True) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that answers every request with that text, and then closes the connection, or does nothing."""
    heard: list[bytes] = []
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(text)
        if not ends:
            await over.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heard
        finally:
            over.set()


async def test_a_url_is_asked_with_its_path_and_query() -> None:
    async with answering(b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nabcde") as (url, heard):
        assert await http_client.get_async(f"{url}/a%20b?c=d", 5, most=3) == http_client.Answer(404, b"abc")
        assert heard[0].startswith(b"GET /a%20b?c=d HTTP/1.1\r\n")
        assert await asyncio.to_thread(http_client.get, url, 5) == http_client.Answer(404, b"abcde")
        assert heard[1].startswith(b"GET / HTTP/1.1\r\n")


@pytest.mark.parametrize("text", [b"SSH-2.0-OpenSSH_9.2\r\n", b"", b"HTTP/1.1 many\r\n\r\n"])
async def test_an_answer_that_is_not_http_is_told(text: bytes) -> None:
    async with answering(text) as (url, _):
        with pytest.raises(http_client.HTTPException):
            await http_client.get_async(url, 5)


async def test_where_nothing_listens_the_connection_is_refused(tmp_path: Path) -> None:
    async with answering(b"") as (url, _):
        pass
    with pytest.raises(ConnectionRefusedError):
        await http_client.get_async(url, 5)
    connection = http_client.UnixConnection(str(tmp_path / "none.sock"), 5)
    with contextlib.closing(connection), pytest.raises(FileNotFoundError):
        connection.request("GET", "/")


@pytest.mark.parametrize(
    "text", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\nabc", b"HTTP/1.0 200 OK\r\n\r\n"]
)
async def test_neither_thread_nor_socket_stays_behind_a_server_that_does_not_end_its_answer(text: bytes) -> None:
    def asking() -> bool:
        return any(thread.name == f"GET {url}" for thread in threading.enumerate())

    async with answering(text, ends=False) as (url, heard):
        with pytest.raises(TimeoutError):
            await http_client.get_async(url, 0.2)
        await eventually(lambda: not asking())
        waiting = asyncio.create_task(http_client.get_async(url, 600))
        await eventually(lambda: len(heard) == 2)
        waiting.cancel()
        await eventually(lambda: not asking())
        await asyncio.gather(waiting, return_exceptions=True)
    gc.collect()  # a socket that was left open is a ResourceWarning
