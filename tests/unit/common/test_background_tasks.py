"""Tasks beside the server end with it."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from services.common.runtime.tasks import background_task, cancel_and_wait


async def test_a_task_that_takes_a_cancellation_for_nothing_is_cancelled_again() -> None:
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

    async with background_task(deaf(), "deaf"):
        await asyncio.sleep(0)
    assert ignored == 2


async def test_what_a_task_raised_is_raised_at_the_end_and_one_that_is_done_is_no_trouble() -> None:
    async def fail() -> None:
        raise RuntimeError("why")

    async def done() -> None: ...

    async with background_task(done(), "done"):
        await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="why"):
        async with background_task(fail(), "failing"):
            await asyncio.sleep(0)


async def test_who_is_cancelled_while_he_waits_for_the_end_of_others_leaves_none_of_them_behind() -> None:
    """As a service does whose stop is asked for again."""
    let_go, ended = asyncio.Event(), []

    async def work(name: str) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            with contextlib.suppress(asyncio.CancelledError):
                await let_go.wait()
            ended.append(name)

    async def parent() -> None:
        children = [asyncio.create_task(work(name)) for name in ("first", "second")]
        try:
            await asyncio.sleep(60)
        finally:
            await cancel_and_wait(*children)

    task = asyncio.create_task(parent())
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    let_go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(ended) == ["first", "second"]


async def test_who_is_cancelled_stays_so_though_one_of_those_it_waits_for_fails() -> None:
    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            with contextlib.suppress(asyncio.CancelledError):
                await let_go.wait()
            raise RuntimeError("why")

    let_go = asyncio.Event()
    child = asyncio.create_task(work())
    await asyncio.sleep(0)
    waiting = asyncio.create_task(cancel_and_wait(child))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.sleep(0)
    let_go.set()
    await asyncio.wait({waiting})
    assert waiting.cancelled()


async def test_who_takes_work_back_is_not_cut_short_where_the_one_that_waits_is_cancelled() -> None:
    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await let_go.wait()
            ended.append("took it back")

    let_go, ended = asyncio.Event(), []
    child = asyncio.create_task(work())
    await asyncio.sleep(0)
    waiting = asyncio.create_task(cancel_and_wait(child))
    for _ in range(3):
        await asyncio.sleep(0)
        waiting.cancel()
    await asyncio.sleep(0)
    let_go.set()
    await asyncio.wait({waiting})
    assert ended == ["took it back"]
