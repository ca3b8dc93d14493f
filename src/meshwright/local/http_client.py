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
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

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

    def settle(action: Callable[[], None]) -> None:
        if not answer.done():
            action()

    def ask() -> None:
        try:
            found = _get(connection, url, most)
            tell = lambda: answer.set_result(found)  # noqa: E731
        except Exception as error:  # noqa: BLE001 - raised by the caller of get_async
            failure = error
            tell = lambda: answer.set_exception(failure)  # noqa: E731
        connection.close()
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, tell)

    threading.Thread(target=ask, name=f"GET {url}", daemon=True).start()
    try:
        async with asyncio.timeout(timeout):
            return await answer
    finally:
        _abort(connection)


def _get(connection: http.client.HTTPConnection, url: str, most: int) -> Answer:
    parts = urlsplit(url)
    connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
    response = connection.getresponse()
    return Answer(response.status, response.read(most))


def _connection(url: str, timeout: float) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.hostname or "", parts.port, timeout=timeout)


def _abort(connection: http.client.HTTPConnection) -> None:
    """Wakes a thread that reads from the connection."""
    sock = connection.sock
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
