"""A stream that tells an open page that there is something new: server-sent events, at most a few per second."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from meshwright.dev.traces.store.trace_store import TraceStore

QUIET_SECONDS = 0.5
"""The least time between two events: a busy store must not keep its readers busy."""
HEARTBEAT_SECONDS = 15.0


class Changes:
    """The handler of `/ui/changes`, over one store."""

    def __init__(self, store: TraceStore) -> None:
        self._store = store
        self._closing = asyncio.Event()

    async def close(self, _app: web.Application) -> None:
        """End all streams: the server is stopping."""
        self._closing.set()

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Send the store's version now and after each change, until the reader or the server goes."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        changed = asyncio.Event()
        changed.set()
        unsubscribe = self._store.subscribe(changed.set)
        try:
            with contextlib.suppress(ConnectionError):
                while not self._closing.is_set():
                    news = changed.is_set()
                    changed.clear()
                    await response.write(b"data: %d\n\n" % self._store.version if news else b": still here\n\n")
                    await self._wait(self._closing, QUIET_SECONDS)
                    await self._wait(changed, HEARTBEAT_SECONDS)
        finally:
            unsubscribe()
        return response

    async def _wait(self, event: asyncio.Event, seconds: float) -> None:
        """Until the event, the end of the server, or the time is up."""
        if self._closing.is_set():
            return
        tasks = [asyncio.ensure_future(event.wait()), asyncio.ensure_future(self._closing.wait())]
        try:
            await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
