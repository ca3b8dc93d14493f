"""A server on an event loop of its own, in a thread: what synchronous code calls."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

from support.calculator import everything

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshwright.testing import Served
    from support.calculator import Everything


@contextlib.contextmanager
def in_a_thread(servicer: Everything, **options: object) -> Iterator[Served]:
    """`servicer`, served as `calculator`."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    serving = everything(servicer, **options)
    try:
        yield asyncio.run_coroutine_threadsafe(serving.__aenter__(), loop).result(30)
    finally:
        asyncio.run_coroutine_threadsafe(serving.__aexit__(None, None, None), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
