"""Limits of the WebSocket protocol below the application's messages.

uvicorn answers each ping at once, buffers the fragments of a message, and closes a connection only after the peer has
read all pending data. A peer that sends pings and reads nothing, or sends fragments without end, would exhaust memory;
a vanished peer with pending data would stay until the system gives up. Here control frames and fragments are rate
limited, and a closing connection is aborted after LINGER_SECONDS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from services.gateway.http.middleware.rate_limit import RateLimiter

if TYPE_CHECKING:
    import asyncio

    from uvicorn._types import ASGISendEvent
    from websockets.frames import Frame

FRAMES_RATE, FRAMES_BURST = 100.0, 1000
"""Pings, pongs and fragments allowed per peer: per second, and at once."""
LINGER_SECONDS = 12.0
"""Time for a closing connection to send pending data: longer than the ten seconds that uvicorn waits for the answer to
a close."""
POLICY = 1008


class LimitedWebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol with limits."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._allowed = RateLimiter(FRAMES_RATE, FRAMES_BURST, self.loop.time)
        self._last: asyncio.TimerHandle | None = None

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if self.initial_response and self.close_sent:
            # A handshake rejected with a problem is complete; uvicorn would log an error.
            self.handshake_complete = True

    def connection_lost(self, exc: Exception | None) -> None:
        if self._last:
            self._last.cancel()
        super().connection_lost(exc)

    def handle_text(self, event: Frame) -> None:
        if event.fin or self._may():
            super().handle_text(event)

    def handle_bytes(self, event: Frame) -> None:
        if event.fin or self._may():
            super().handle_bytes(event)

    def handle_cont(self, event: Frame) -> None:
        if self._may():
            super().handle_cont(event)

    def handle_pong(self, event: Frame) -> None:
        if self._may():
            super().handle_pong(event)

    def handle_ping(self) -> None:
        if self._may():
            super().handle_ping()

    def handle_close(self, event: Frame) -> None:
        super().handle_close(event)
        self._end_soon()

    def handle_parser_exception(self) -> None:
        super().handle_parser_exception()
        self._end_soon()

    def keepalive_timeout(self) -> None:
        if self.read_paused and self.writable.is_set():
            # Reading is paused, so the pong may have arrived unread.
            self.pong_timer = self.loop.call_later(self.ping_timeout or 0.0, self.keepalive_timeout)
            return
        super().keepalive_timeout()
        # Pending data would delay closing a dead connection.
        self.transport.abort()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        super().on_task_complete(task)
        self._end_soon()

    def _may(self) -> bool:
        """Whether the frame is allowed; closes the connection above the limit."""
        if self.close_sent:
            return False
        if self._allowed.check("").allowed:
            return True
        self.conn.fail(POLICY, "TOO_MANY_FRAMES")
        self.handle_parser_exception()
        return False

    def _end_soon(self) -> None:
        if self._last is None and not self.disconnected:
            self._last = self.loop.call_later(LINGER_SECONDS, self.transport.abort)
