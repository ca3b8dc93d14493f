"""Background tasks and their cancellation.

One `cancel` is not enough on Python 3.11: `asyncio.wait_for`, which nats-py uses for each request, swallows a
cancellation that arrives together with the result, and the task continues. So `cancel` is repeated after
RETRY_SECONDS, not at once: a second cancellation would interrupt the task's cleanup.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

RETRY_SECONDS = 1.0


@contextlib.asynccontextmanager
async def background_task(work: Coroutine[Any, Any, None], name: str) -> AsyncIterator[None]:
    """Runs `work` as a task for as long as the context lasts. Its exception is raised at the end."""
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        await cancel_and_wait(task)


async def cancel_and_wait(*tasks: asyncio.Future[Any]) -> None:
    """Cancels the tasks and waits until all have ended. Raises the first exception that one of them raised.

    If the caller is cancelled meanwhile, CancelledError is raised after all tasks have ended.
    """
    clock = asyncio.get_running_loop().time
    ask_at, interrupted = clock(), False
    while left := [task for task in tasks if not task.done()]:
        if clock() >= ask_at:
            for task in left:
                task.cancel()
            ask_at = clock() + RETRY_SECONDS
        try:
            await asyncio.wait(left, timeout=ask_at - clock())
        except asyncio.CancelledError:
            interrupted = True
    failures = [failure for task in tasks if not task.cancelled() and (failure := task.exception())]
    if interrupted:
        raise asyncio.CancelledError from next(iter(failures), None)
    if failures:
        raise failures[0]
