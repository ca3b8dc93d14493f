"""What the peer of a WebSocket may ask of the protocol itself, below the messages that the application counts.

uvicorn answers each ping at once, keeps each piece of a message until the last has come, and closes a connection only
after the peer has taken all that waits for it. A peer that sends pings and reads nothing would so fill the memory, one
that sends empty pieces without end as well, and one that has gone while much was on its way would stay for as long as
the system tries to reach it. Here such frames are counted, and a connection that is to end does so.
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
"""Pings, pongs and pieces of messages that one peer may send: each second, and at once."""
LINGER_SECONDS = 12.0
"""How long what was sent last may take to be read, from when a connection is to end: longer than the ten seconds that
uvicorn waits for the answer to a close."""
POLICY = 1008


class LimitedWebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSockets, with bounds for what uvicorn leaves without."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._allowed = RateLimiter(FRAMES_RATE, FRAMES_BURST, self.loop.time)
        self._last: asyncio.TimerHandle | None = None

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if self.initial_response and self.close_sent:
            # A handshake that was answered with a problem is complete; uvicorn would log an error for each.
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
            # It is we who do not read, until what was said before is done: the answer may be here already.
            self.pong_timer = self.loop.call_later(self.ping_timeout or 0.0, self.keepalive_timeout)
            return
        super().keepalive_timeout()
        # Nobody is there to read what waits: it would hold up the end.
        self.transport.abort()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        super().on_task_complete(task)
        self._end_soon()

    def _may(self) -> bool:
        """Whether the frame counts; with one too many the connection ends."""
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
