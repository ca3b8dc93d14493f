"""A task beside the server's own, and its end.

One `cancel` is not enough on Python 3.11: `asyncio.wait_for`, which the library of NATS uses for each request, takes a
cancellation that arrives together with the answer for nothing at all, and the task goes on. So it is asked again.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

AGAIN_SECONDS = 0.2


@contextlib.asynccontextmanager
async def running(work: Coroutine[Any, Any, None], name: str) -> AsyncIterator[None]:
    """Run `work` for as long as the context lasts, or until it is done. What it raised is raised at the end."""
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        await cancelled(task)


async def cancelled(task: asyncio.Future[Any]) -> None:
    """Cancel the task, and return when it has ended; raises what it had raised before."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=AGAIN_SECONDS)
    with contextlib.suppress(asyncio.CancelledError):
        task.result()
