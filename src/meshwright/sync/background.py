"""An event loop in a thread of its own, for what synchronous channels need of asyncio: Consul's client, and questions
about names. It starts when it is first needed, once for each process, and its thread is a daemon: it keeps no process.
"""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Future

T = TypeVar("T")


class Background:
    """The loop of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = 0

    def start(self, work: Callable[[], Awaitable[T]]) -> Future[T]:
        """Run `work()` on the loop; the result, which may be waited for or cancelled."""

        async def run() -> T:
            return await work()

        return asyncio.run_coroutine_threadsafe(run(), self._running())

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Call `act` in so many seconds."""
        loop = self._running()
        loop.call_soon_threadsafe(loop.call_later, seconds, act)

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._process != os.getpid():  # forked: the thread has stayed behind
            self._lock, self._loop, self._process = threading.Lock(), None, os.getpid()
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, daemon=True, name="meshwright sync").start()
            return self._loop


BACKGROUND = Background()
