"""Timeouts for request heads and for unread responses: uvicorn has neither, which slow-loris attacks exploit.

A connection that sends a header every few seconds holds a file descriptor and a buffer. A timer runs from the start of
a connection or of a request's head until the head is complete; when it expires, the answer is 408, and the connection
closes. `BodyLimitMiddleware` limits the time for bodies. Another timer runs while the send buffer is full; when it
expires, the connection is aborted.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from services.gateway.errors import ProblemDetails, title
from services.gateway.http.problems import MEDIA_TYPE

if TYPE_CHECKING:
    import asyncio

HEADER_SECONDS = 10.0
SEND_SECONDS = 30.0


class TimeoutHttpProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 protocol with timeouts: `header_seconds` for the head of a request, `send_seconds` for a full
    send buffer."""

    header_seconds = HEADER_SECONDS
    send_seconds = SEND_SECONDS
    _head_timer: asyncio.TimerHandle | None = None
    _unread_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._is_read()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread_timer = self.loop.call_later(self.send_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._is_read()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.get_protocol() is self and self.conn.their_state is h11.IDLE:
            self._await_head()
        else:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # Between requests uvicorn's keep-alive timer runs, unless a part of the next head has arrived.
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            self._await_head()

    def _await_head(self) -> None:
        if self._head_timer is None and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(self.header_seconds, self._too_late)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _is_read(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None

    def _too_late(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        detail = f"the head of the request did not come within {self.header_seconds:g} seconds"
        body = json.dumps(ProblemDetails(title(408), 408, detail, "").document()).encode()
        headers = f"Content-Type: {MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        self.transport.write(f"HTTP/1.1 408 {title(408)}\r\n{headers}".encode() + body)
        self.transport.close()


def http_protocol(header_seconds: float, send_seconds: float) -> type[TimeoutHttpProtocol]:
    """The protocol class with these timeouts."""
    times = {"header_seconds": header_seconds, "send_seconds": send_seconds}
    return type("TimeoutHttpProtocol", (TimeoutHttpProtocol,), times)
