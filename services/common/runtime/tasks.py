"""A task beside the server's own, and its end.

One `cancel` is not enough on Python 3.11: `asyncio.wait_for`, which the library of NATS uses for each request, takes a
cancellation that arrives together with the answer for nothing at all, and the task goes on. So it is asked again,
though not at once: a task that is about to end may have work to take back, and a second cancellation would cut into
that.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

AGAIN_SECONDS = 1.0


@contextlib.asynccontextmanager
async def background_task(work: Coroutine[Any, Any, None], name: str) -> AsyncIterator[None]:
    """Run `work` for as long as the context lasts, or until it is done. What it raised is raised at the end."""
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        await cancel_and_wait(task)


async def cancel_and_wait(*tasks: asyncio.Future[Any]) -> None:
    """Cancel the tasks, and return when all have ended; raises what one of them had raised before.

    Who waits here may be cancelled itself, and is when they have ended, not before: none is left behind.
    """
    clock = asyncio.get_running_loop().time
    ask_at, interrupted = clock(), False
    while left := [task for task in tasks if not task.done()]:
        if clock() >= ask_at:
            for task in left:
                task.cancel()
            ask_at = clock() + AGAIN_SECONDS
        try:
            await asyncio.wait(left, timeout=ask_at - clock())
        except asyncio.CancelledError:
            interrupted = True
    failures = [failure for task in tasks if not task.cancelled() and (failure := task.exception())]
    if interrupted:
        raise asyncio.CancelledError from next(iter(failures), None)
    if failures:
        raise failures[0]
