"""One connection of a client, with one request at a time (RFC 9112; h11 has the grammar and the states).

The bytes of a response are parsed where they arrive, in the event loop's callback, so that a request costs its task one
wake-up. A connection that anything was wrong with is aborted, and never used again: a response that was given up
half way would be taken for the next one's. That goes for a cancelled request, for bytes that answer no request, and for
a server that says `Connection: close`.
"""

from __future__ import annotations

import asyncio
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import h11

from meshwright.http1.errors import BrokenResponseError, DisconnectedError, HttpError, reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MOST_HEAD_BYTES = 65536
"""Bytes of a response's status line and headers."""

_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
_CODINGS = {"gzip", "x-gzip", "deflate"}


@dataclass(frozen=True, slots=True)
class Response:
    """A whole response. `headers` have lower-case names; `body` is decoded where it was compressed."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class _Exchange:
    """A request that waits for its response, and what has come of it."""

    response: asyncio.Future[Response]
    begun: bool = False
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)


class Connection(asyncio.Protocol):
    """The protocol of one connection. `on_lost` hears of its end, once."""

    def __init__(self, on_lost: Callable[[Connection], None]) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the socket is closed."""
        self._on_lost = on_lost
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MOST_HEAD_BYTES)
        self._exchange: _Exchange | None = None
        self._transport: asyncio.Transport | None = None

    @property
    def usable(self) -> bool:
        """Whether another request may be sent."""
        open_ = self._transport is not None and not self._transport.is_closing()
        return open_ and self._exchange is None and self._http.our_state is h11.IDLE

    async def request(self, head: h11.Request, body: bytes = b"") -> Response:
        """Send one request and wait for its response. Raises `DisconnectedError`, `BrokenResponseError`."""
        if self._transport is None or not self.usable:
            raise DisconnectedError("it closed the connection")
        self._exchange = exchange = _Exchange(asyncio.get_running_loop().create_future())
        sent = self._http.send(head) or b""
        if body:
            sent += self._http.send(h11.Data(data=body)) or b""
        self._transport.write(sent + (self._http.send(h11.EndOfMessage()) or b""))
        try:
            return await exchange.response
        except BaseException:
            self.abort()
            raise
        finally:
            self._exchange = None

    def close(self) -> None:
        """Close it in the way of its transport, which for TLS tells the peer first."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close it now."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(DisconnectedError(reason(exc) if exc is not None else "it closed the connection"), exc)
        if not self.lost.done():
            self.lost.set_result(None)
        self._on_lost(self)

    def data_received(self, data: bytes) -> None:
        if self._exchange is None:
            self.abort()
            return
        self._exchange.begun = True
        self._http.receive_data(data)
        self._read(self._exchange)

    def eof_received(self) -> None:
        if self._exchange is not None and self._exchange.begun:
            self._http.receive_data(b"")
            self._read(self._exchange)

    def _read(self, exchange: _Exchange) -> None:
        try:
            while not exchange.response.done():
                event = self._http.next_event()
                if isinstance(event, h11.Response):
                    exchange.status = event.status_code
                    exchange.headers = _headers(event)
                elif isinstance(event, h11.Data):
                    exchange.body += event.data
                elif isinstance(event, h11.EndOfMessage):
                    self._finish(exchange)
                elif not isinstance(event, h11.InformationalResponse):
                    return
        except (h11.RemoteProtocolError, zlib.error, BrokenResponseError) as error:
            self._fail(BrokenResponseError(f"no whole HTTP response: {error}"), error)

    def _finish(self, exchange: _Exchange) -> None:
        body = _decoded(exchange.headers.get("content-encoding", ""), bytes(exchange.body))
        more, _ = self._http.trailing_data
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE and not more:
            self._http.start_next_cycle()
        else:
            self.close()
        self._exchange = None  # what comes from now on answers nothing
        exchange.response.set_result(Response(exchange.status, exchange.headers, body))

    def _fail(self, error: HttpError, cause: Exception | None) -> None:
        exchange = self._exchange
        if exchange is None or exchange.response.done():
            return
        if exchange.begun and isinstance(error, DisconnectedError):
            error = BrokenResponseError(f"no whole HTTP response: {error}")
        error.__cause__ = cause
        exchange.response.set_exception(error)


def _headers(event: h11.Response) -> dict[str, str]:
    """By name; of a header that is there twice, the first."""
    pairs = reversed(list(event.headers))
    return {name.decode("ascii"): value.decode("utf-8", "surrogateescape") for name, value in pairs}


def _decoded(coding: str, body: bytes) -> bytes:
    coding = coding.strip().lower()
    if coding in {"", "identity"} or not body:
        return body
    if coding not in _CODINGS:
        raise BrokenResponseError(f"its content coding {coding!r} was not asked for")
    stream = zlib.decompressobj(_GZIP_OR_ZLIB)
    plain = stream.decompress(body) + stream.flush()
    if not stream.eof:
        raise BrokenResponseError(f"its {coding} stream is cut off")
    return plain
