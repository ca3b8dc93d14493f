"""Serving a small HTTP API or pages, for what the extra `standard` brings. A service has its one page by `http1`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from aiohttp import web

from meshwright.errors import ValidationError, Violation
from meshwright.model import Address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@contextlib.asynccontextmanager
async def serving(
    app: web.Application,
    host: str,
    port: int,
    *,
    grace: float = 1.0,
    auto_decompress: bool = True,
    handler_cancellation: bool = False,
) -> AsyncIterator[Address]:
    """Serve `app` for as long as the context lasts; yields the address bound (port 0: any free one).

    `grace` is the seconds that requests in flight get when the context ends. `auto_decompress=False` leaves compressed
    request bodies to the handlers. `handler_cancellation=True` cancels the handler of a client that went away: each
    must bear that at any of its awaits. Raises `ValidationError` naming the address where it cannot be bound.
    """
    runner = web.AppRunner(
        app,
        access_log=None,
        shutdown_timeout=grace,
        auto_decompress=auto_decompress,
        handler_cancellation=handler_cancellation,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise ValidationError(
                f"address {Address(host, port)}", [Violation("", f"cannot listen: {error}")]
            ) from error
        bound = runner.addresses[0]
        yield Address(host, int(bound[1]))
    finally:
        await runner.cleanup()
