"""The HTTP client of `up` and its commands: one GET of a URL, and connections to the control API's unix socket.

The standard library's, because `meshwright ps` should start fast, and `up` probes before it has imported anything else.
No proxy is used: what is asked is on this machine, or was named in the topology. `http.client` blocks, so `up` asks in
a thread of its own for each request, which neither delays the others nor the end of `up`.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import threading
from dataclasses import dataclass
from urllib.parse import urlsplit

MOST = 1024 * 1024
"""Bytes of a body that are read by default."""

HTTPException = http.client.HTTPException


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: its status, and its body as far as it was read."""

    status: int
    body: bytes


class UnixConnection(http.client.HTTPConnection):
    """A connection to a server on a unix socket. `timeout`: seconds of one read or write; None: no limit."""

    def __init__(self, path: str, timeout: float | None) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def get(url: str, timeout: float, most: int = MOST) -> Answer:
    """GETs a URL, with `timeout` seconds for each wait and at most `most` bytes of the body.

    Raises OSError where it cannot be reached in time, `HTTPException` for an answer that is not HTTP.
    """
    with contextlib.closing(_connection(url, timeout)) as connection:
        return _get(connection, url, most)


async def get_async(url: str, timeout: float, most: int = MOST) -> Answer:
    """As `get`; `timeout`: seconds for the whole request."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Answer] = loop.create_future()
    connection = _connection(url, timeout)
    sockets: list[socket.socket] = []

    def settle(found: Answer | Exception) -> None:
        if answer.done():
            return
        if isinstance(found, Answer):
            answer.set_result(found)
        else:
            answer.set_exception(found)

    def ask() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, _outcome(connection, url, most, sockets))

    threading.Thread(target=ask, name=f"GET {url}", daemon=True).start()
    try:
        async with asyncio.timeout(timeout):
            return await answer
    finally:
        for each in sockets:  # wakes a thread that still reads from it
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def _outcome(
    connection: http.client.HTTPConnection, url: str, most: int, sockets: list[socket.socket]
) -> Answer | Exception:
    """The answer, or why there is none. `sockets` gets the connection's: it forgets it where the server will close."""
    try:
        with contextlib.closing(connection):
            connection.connect()
            sockets.append(connection.sock)
            return _get(connection, url, most)
    except Exception as error:  # noqa: BLE001 - raised by the caller of get_async
        return error


def _get(connection: http.client.HTTPConnection, url: str, most: int) -> Answer:
    parts = urlsplit(url)
    connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
    with connection.getresponse() as response:
        return Answer(response.status, response.read(most))


def _connection(url: str, timeout: float) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.hostname or "", parts.port, timeout=timeout)
