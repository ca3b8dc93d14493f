"""uvicorn, started and stopped by us.

uvicorn's own `serve` takes over the signals and stops when *it* hears one. Here the process has an order to keep: out
of Consul first, then no new requests, then those in flight, then the channels that they use, and traces last. So the
parts of `serve` are called one by one, and stopping is the end of a context.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from typing import TYPE_CHECKING, Any

import uvicorn

from meshwright.errors import ValidationError, Violation
from meshwright.model import Address
from services.gateway.http.http_timeouts import HEADER_SECONDS, SEND_SECONDS, http_protocol
from services.gateway.http.websocket_limits import LimitedWebSocketProtocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BACKLOG = 2048
KEEP_ALIVE_SECONDS = 30
PING_SECONDS = 20.0
"""Between pings on a WebSocket, and how long each may stay unanswered."""

_ALWAYS: dict[str, Any] = {
    # uvicorn would believe what any client on this machine writes into X-Forwarded-For (GATEWAY_PROXIES decides).
    "proxy_headers": False,
    # What is compressed is small, and a compressor for each of thousands of sockets is not.
    "ws_per_message_deflate": False,
    "lifespan": "off",
    "log_config": None,
    "access_log": False,
    "server_header": False,
    "timeout_keep_alive": KEEP_ALIVE_SECONDS,
}
"""Fixed settings of uvicorn."""


@contextlib.asynccontextmanager
async def serving(
    app: Any,
    host: str,
    port: int,
    *,
    grace: float,
    header_seconds: float = HEADER_SECONDS,
    send_seconds: float = SEND_SECONDS,
    websockets: Any = LimitedWebSocketProtocol,
    max_message: int = 65536,
    ping_seconds: float = PING_SECONDS,
) -> AsyncIterator[Address]:
    """Serve the ASGI application `app` for as long as the context lasts; yields the address bound.

    When it ends, requests in flight get `grace` seconds. `header_seconds`: for the head of a request to come.
    `send_seconds`: how long a client may leave unread what keeps more from being sent.
    `websockets`: what uvicorn is to speak them with, by its name or class; `max_message`: bytes of a message on one;
    `ping_seconds`: between pings, and for the answer to one, without which the socket is closed.
    Raises `ValidationError` where the address cannot be bound.
    """
    listener = bind(host, port)
    config = uvicorn.Config(
        app,
        http=http_protocol(header_seconds, send_seconds),
        ws=websockets,
        ws_max_size=max_message,
        ws_ping_interval=ping_seconds,
        ws_ping_timeout=ping_seconds,
        timeout_graceful_shutdown=max(1, round(grace)),
        **_ALWAYS,
    )
    logging.getLogger("uvicorn.error").addFilter(_not_said_already)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])
    ticking = asyncio.create_task(server.main_loop())
    try:
        yield Address(host, listener.getsockname()[1])
    finally:
        server.should_exit = True
        await ticking
        await server.shutdown(sockets=[listener])
        await _ended(server.server_state.tasks)


def bind(host: str, port: int) -> socket.socket:
    """A listening socket at that address. Raises `ValidationError`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named, not left to the default: asyncio switches Nagle's algorithm off only for sockets that name it, and with it
    # the 40 ms that a response in two writes waits for the client's delayed acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ValidationError(f"address {Address(host, port)}", [Violation("", f"cannot listen: {error}")]) from error
    listener.setblocking(False)
    return listener


async def _ended(tasks: set[asyncio.Task[None]]) -> None:
    """Waits for cancelled requests before closing what they use."""
    if tasks:
        await asyncio.wait(tasks)


def _not_said_already(record: logging.LogRecord) -> bool:
    """Filters log records of uvicorn: unhandled exceptions are logged with their trace ids in problems.py, and invalid
    UTF-8 is the peer's error (answered with 1007), without a traceback."""
    return not record.getMessage().startswith(("Exception in ASGI application", "Invalid UTF-8 sequence"))
