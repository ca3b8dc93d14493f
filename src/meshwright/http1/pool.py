"""A client: a bounded number of connections to one server, kept open between requests.

A connection that is idle for `IDLE_SECONDS` is closed, since a server counts connections; one that the server has
closed leaves the pool when the loop hears of it. A server may also close one in the moment in which a request is
sent. Such a request is sent once more, on a new connection, where its method is idempotent and no byte of an answer
has come (RFC 9110, 9.2.2; RFC 9112, 9.3.1).

Redirects are not followed, cookies not kept, and neither proxies nor anything else is taken from the environment.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import h11

from meshwright.http1.connection import Connection
from meshwright.http1.errors import ConnectError, DisconnectedError, reason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from meshwright.http1.connection import Response
    from meshwright.http1.origin import Origin

T = TypeVar("T")

IDLE_SECONDS = 15.0
CLOSE_SECONDS = 1.0
"""How long peers get to answer the end of a TLS connection."""

HEADERS = {"Accept": "*/*", "Accept-Encoding": "gzip, deflate", "User-Agent": "meshwright"}
"""What each request says: bodies are decoded."""

_IDEMPOTENT = {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"}
_WITH_BODY = {"PUT", "POST", "PATCH"}


class Pool:
    """Requests to one server over at most `limit` connections. `connect_timeout`: seconds for getting one.

    Made and used in one event loop. `aclose` ends what is under way, too.
    """

    def __init__(self, origin: Origin, limit: int, connect_timeout: float) -> None:
        self._origin = origin
        self._connect_timeout = connect_timeout
        self._free = asyncio.Semaphore(limit)
        self._open: set[Connection] = set()
        self._idle: dict[Connection, float] = {}
        """Since when each is idle, by the loop's clock; the one that was used last is the last one."""
        self._expiry: asyncio.TimerHandle | None = None
        self._fields: tuple[list[tuple[str, str]], Any] = ([], [])
        """The headers of the last request, and as h11 has checked them: most requests have the same."""
        self._closed = False

    async def request(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes = b"", *, timeout: float
    ) -> Response:
        """Send one request. `target`: path and query, percent-encoded. `timeout`: seconds for all of it.

        Raises `TimeoutError`, and of `HttpError` the kind that says how far it came.
        """
        head = self._head(method, target, headers, body)
        async with asyncio.timeout(timeout):
            used, connection = await self._acquire()
            try:
                try:
                    return await connection.request(head, body)
                except DisconnectedError:
                    if not used or method not in _IDEMPOTENT or self._closed:
                        raise
                connection = await self._in_time(self._opened())
                return await connection.request(head, body)
            finally:
                self._release(connection)

    async def aclose(self) -> None:
        """Close all connections, those in use as well, and wait until their sockets are closed."""
        self._closed = True
        if self._expiry is not None:
            self._expiry.cancel()
        for connection in list(self._open):
            if connection in self._idle:
                connection.close()
            else:
                connection.abort()
        if self._open:
            _, slow = await asyncio.wait([each.lost for each in self._open], timeout=CLOSE_SECONDS)
            if slow:
                for connection in list(self._open):
                    connection.abort()
                await asyncio.wait(slow)

    async def _acquire(self) -> tuple[bool, Connection]:
        """A connection, and whether it has been used before."""
        if not self._free.locked() and (idle := self._take_idle()) is not None:
            await self._free.acquire()  # at once
            return True, idle
        return await self._in_time(self._reused_or_opened())

    async def _reused_or_opened(self) -> tuple[bool, Connection]:
        await self._free.acquire()
        try:
            idle = self._take_idle()
            return (True, idle) if idle is not None else (False, await self._opened())
        except BaseException:
            self._free.release()
            raise

    def _take_idle(self) -> Connection | None:
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.usable:
                return connection
        return None

    async def _opened(self) -> Connection:
        connection = await self._origin.connect(lambda: Connection(self._forget))
        if not connection.lost.done():
            self._open.add(connection)
        if self._closed:
            connection.abort()
        return connection

    async def _in_time(self, getting: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._connect_timeout):
                return await getting
        except TimeoutError as error:
            raise ConnectError("no connection in time") from error
        except OSError as error:
            raise ConnectError(reason(error)) from error

    def _release(self, connection: Connection) -> None:
        self._free.release()
        if connection.usable and not self._closed:
            loop = asyncio.get_running_loop()
            self._idle[connection] = loop.time()
            if self._expiry is None:
                self._expiry = loop.call_later(IDLE_SECONDS, self._expire)
        else:
            connection.close()

    def _expire(self) -> None:
        """Close what has been idle for long enough, and come back for the next one."""
        loop = asyncio.get_running_loop()
        for connection, since in list(self._idle.items()):
            if since + IDLE_SECONDS <= loop.time():
                del self._idle[connection]
                connection.close()
        first = next(iter(self._idle.values()), None)
        self._expiry = None if first is None else loop.call_at(first + IDLE_SECONDS, self._expire)

    def _forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        self._idle.pop(connection, None)

    def _head(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> h11.Request:
        fields = [("Host", self._origin.host_header), *headers.items()]
        if body or method in _WITH_BODY:
            fields.append(("Content-Length", str(len(body))))
        known, checked = self._fields
        head = h11.Request(method=method, target=target, headers=checked if fields == known else fields)
        self._fields = (fields, head.headers)
        return head
