"""Tasks beside the server end with it."""

from __future__ import annotations

import asyncio

import pytest

from services.kit.running import running


async def test_a_task_that_takes_a_cancellation_for_nothing_is_cancelled_again():
    ignored = 0

    async def deaf() -> None:
        nonlocal ignored
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                ignored += 1
                if ignored == 2:
                    raise

    async with running(deaf(), "deaf"):
        await asyncio.sleep(0)
    assert ignored == 2


async def test_what_a_task_raised_is_raised_at_the_end_and_one_that_is_done_is_no_trouble():
    async def fail() -> None:
        raise RuntimeError("why")

    async def done() -> None: ...

    async with running(done(), "done"):
        await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="why"):
        async with running(fail(), "failing"):
            await asyncio.sleep(0)
