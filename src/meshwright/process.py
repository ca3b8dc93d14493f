"""The life of a process: until a signal asks it to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def stop_event() -> Iterator[asyncio.Event]:
    """An event that SIGINT and SIGTERM set, for as long as the context lasts. Needs a running loop."""
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, event.set)
    try:
        yield event
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)
