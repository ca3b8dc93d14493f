"""A server of one page, rendered for each request on the event loop's thread.

What could hold it up is bounded: a client has `HEAD_SECONDS` for the head of its first request and for taking the page,
and `IDLE_SECONDS` between two requests; of more than `MOST_CONNECTIONS`, the one that has been quiet longest is closed
(so that clients that send nothing cannot keep Prometheus out). A request body ends the connection: no page needs one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING

import h11

from meshwright.errors import ValidationError, Violation
from meshwright.model import Address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

log = logging.getLogger(__name__)

HEAD_SECONDS = 10.0
IDLE_SECONDS = 75.0
GRACE_SECONDS = 1.0
"""How long responses that are being sent get when the server ends."""
MOST_CONNECTIONS = 64
MOST_HEAD_BYTES = 16384

_CHUNK = 65536
_ALLOWED = (b"GET", b"HEAD")


@contextlib.asynccontextmanager
async def serving_page(
    path: str, render: Callable[[], bytes], content_type: str, host: str, port: int
) -> AsyncIterator[Address]:
    """Serve `render()` at `path` for as long as the context lasts; yields the address bound (port 0: any free one).

    Raises `ValidationError` naming the address where it cannot be bound.
    """
    page = _Page(path, render, content_type)
    try:
        server = await asyncio.start_server(page.accept, host, port)
    except OSError as error:
        raise ValidationError(f"address {Address(host, port)}", [Violation("", f"cannot listen: {error}")]) from error
    try:
        yield Address(host, int(server.sockets[0].getsockname()[1]))
    finally:
        server.close()
        await page.aclose()
        await server.wait_closed()


class _Page:
    """The page, and the connections to it."""

    def __init__(self, path: str, render: Callable[[], bytes], content_type: str) -> None:
        self._path = path.encode()
        self._render = render
        self._type = content_type
        self._tasks: set[asyncio.Task[None]] = set()
        self._by_quiet: dict[object, asyncio.Task[None]] = {}
        """The tasks of connections by their writers, that of the one that has been quiet longest first."""

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a new connection in a task of its own."""
        if len(self._by_quiet) >= MOST_CONNECTIONS:
            self._by_quiet.pop(next(iter(self._by_quiet))).cancel()
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        self._by_quiet[writer] = task
        task.add_done_callback(lambda ended: self._forget(ended, writer))

    def _forget(self, task: asyncio.Task[None], writer: asyncio.StreamWriter) -> None:
        self._tasks.discard(task)
        self._by_quiet.pop(writer, None)
        writer.transport.abort()  # a task that is cancelled before its first step runs no line of its own

    async def aclose(self) -> None:
        """End all connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MOST_HEAD_BYTES)
        timeout, grace = HEAD_SECONDS, HEAD_SECONDS
        try:
            while await self._exchange(connection, reader, writer, timeout):
                timeout = IDLE_SECONDS
                connection.start_next_cycle()
        except (TimeoutError, OSError):
            writer.transport.abort()  # the client is gone, or too slow
        except asyncio.CancelledError:
            grace = GRACE_SECONDS
            raise
        finally:
            await _close(writer, grace)

    async def _exchange(
        self, connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeout: float
    ) -> bool:
        """Answer one request. Returns whether another one may follow."""
        try:
            async with asyncio.timeout(timeout):
                request, whole = await _next_request(connection, reader)
        except h11.RemoteProtocolError as error:
            await _send(connection, writer, _Answer(HTTPStatus(error.error_status_hint)))
            return False
        if request is None:
            return False
        if writer in self._by_quiet:
            self._by_quiet[writer] = self._by_quiet.pop(writer)
        answer = self._answer(request)
        if not whole:
            answer.headers["Connection"] = "close"
        await _send(connection, writer, answer, bodiless=request.method == b"HEAD")
        return connection.our_state is h11.DONE and connection.their_state is h11.DONE

    def _answer(self, request: h11.Request) -> _Answer:
        if _path(request.target) != self._path:
            return _Answer(HTTPStatus.NOT_FOUND)
        if request.method not in _ALLOWED:
            return _Answer(HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "GET, HEAD"})
        try:
            return _Answer(HTTPStatus.OK, self._render(), {"Content-Type": self._type})
        except Exception:
            log.exception("%s cannot be rendered", self._path.decode())
            return _Answer(HTTPStatus.INTERNAL_SERVER_ERROR)


@dataclass(slots=True)
class _Answer:
    """A response. Without a body of its own, its status is the body."""

    status: HTTPStatus
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)


async def _next_request(connection: h11.Connection, reader: asyncio.StreamReader) -> tuple[h11.Request | None, bool]:
    """The head of the next request, None where the client has closed the connection; and whether that is all of it.

    Raises `h11.RemoteProtocolError` for what is no request.
    """
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(await reader.read(_CHUNK))
    if not isinstance(event, h11.Request):
        return None, False
    return event, isinstance(connection.next_event(), h11.EndOfMessage)


async def _send(
    connection: h11.Connection, writer: asyncio.StreamWriter, answer: _Answer, *, bodiless: bool = False
) -> None:
    body = answer.body if answer.body is not None else f"{answer.status.value}: {answer.status.phrase}\n".encode()
    headers = {"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(body))}
    headers |= {"Date": formatdate(usegmt=True)} | answer.headers
    events: list[h11.Event] = [h11.Response(status_code=answer.status, headers=list(headers.items()))]
    events += [] if bodiless else [h11.Data(data=body)]
    writer.write(b"".join(connection.send(event) or b"" for event in (*events, h11.EndOfMessage())))
    async with asyncio.timeout(HEAD_SECONDS):
        await writer.drain()


async def _close(writer: asyncio.StreamWriter, grace: float) -> None:
    """Let what was written go out, for `grace` seconds at most."""
    writer.close()
    try:
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(grace):
                await writer.wait_closed()
    finally:
        writer.transport.abort()


def _path(target: bytes) -> bytes:
    """The path of a request target, in origin form or absolute form (RFC 9112, 3.2)."""
    path = target.partition(b"?")[0]
    if path.startswith((b"http://", b"https://")):
        path = b"/" + path.split(b"/", 3)[3:][0] if path.count(b"/") > 2 else b"/"  # noqa: PLR2004 - scheme and host
    return path
