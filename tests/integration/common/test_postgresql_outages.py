"""PostgreSQL restarts, falls silent, or has no connection left: calls fail soon, and succeed soon after."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from services.common.runtime.errors import StoreUnavailableError, with_cause
from services.common.storage.database import open_database, translate_store_errors
from services.common.storage.postgresql import SILENCE_SECONDS
from support.processes import frozen
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncEngine

    from support.servers.postgres import Cluster


@pytest.fixture
async def engine(own_postgres: Cluster) -> AsyncIterator[AsyncEngine]:
    made = open_database("X", own_postgres.new_database())
    yield made
    await made.dispose()


async def answer(engine: AsyncEngine, query: str = "SELECT 1") -> object:
    with translate_store_errors():
        async with engine.connect() as connection:
            return await connection.scalar(sa.text(query))


async def answered(engine: AsyncEngine) -> bool:
    return await answer(engine) == 1


async def test_a_restart_costs_no_call_after_it(engine: AsyncEngine, own_postgres: Cluster) -> None:
    assert await asyncio.gather(*(answer(engine) for _ in range(5))) == [1] * 5
    await asyncio.to_thread(own_postgres.stop)
    for _ in range(5):
        with pytest.raises(StoreUnavailableError) as caught:
            await answer(engine)
        assert "Connection refused" in with_cause(caught.value)
    await asyncio.to_thread(own_postgres.start)
    assert await asyncio.gather(*(answer(engine) for _ in range(10))) == [1] * 10


async def test_a_transaction_that_a_restart_interrupts_fails_as_unavailable(
    engine: AsyncEngine, own_postgres: Cluster
) -> None:
    with pytest.raises(StoreUnavailableError), translate_store_errors():  # noqa: PT012 - in the midst of it
        async with engine.begin() as connection:
            await connection.execute(sa.text("SELECT 1"))
            await asyncio.to_thread(own_postgres.stop)
            await asyncio.to_thread(own_postgres.start)
            await connection.execute(sa.text("SELECT 1"))
    assert await answered(engine)


async def test_a_server_that_falls_silent_fails_open_connections_soon(
    engine: AsyncEngine, own_postgres: Cluster
) -> None:
    async with engine.connect() as connection:
        await connection.scalar(sa.text("SELECT 1"))
        with frozen(*own_postgres.processes()):
            began = time.monotonic()
            with pytest.raises(StoreUnavailableError) as caught, translate_store_errors():
                await connection.scalar(sa.text("SELECT 1"))
            assert time.monotonic() - began < SILENCE_SECONDS + 5
            assert "no answer in time" in with_cause(caught.value)
    await eventually(lambda: answered(engine), 10, ignore=(StoreUnavailableError,))


async def test_a_statement_that_takes_too_long_is_cancelled_by_the_server(engine: AsyncEngine) -> None:
    """Its connection stays."""
    async with engine.connect() as connection:
        own = await connection.scalar(sa.text("SELECT pg_backend_pid()"))
        with pytest.raises(StoreUnavailableError) as caught, translate_store_errors():
            await connection.scalar(sa.text("SELECT pg_sleep(60)"))
        assert "statement timeout" in with_cause(caught.value)
        await connection.rollback()
        assert await connection.scalar(sa.text("SELECT pg_backend_pid()")) == own


async def test_an_exhausted_pool_refuses_a_call_and_serves_the_next(
    own_postgres: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.common.storage.database.POOL_SECONDS", 0.2)
    engine = open_database("X", own_postgres.new_database())
    held = [await engine.connect() for _ in range(10)]
    with pytest.raises(StoreUnavailableError) as caught:
        await answer(engine)
    assert "QueuePool limit" in with_cause(caught.value)
    for connection in held:
        await connection.close()
    assert await answered(engine)
    await engine.dispose()


async def test_a_cancelled_statement_does_not_go_on(engine: AsyncEngine) -> None:
    task = asyncio.create_task(answer(engine, "SELECT pg_sleep(60)"))
    sleeping = "SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"

    async def asleep() -> bool:
        return bool(await answer(engine, sleeping))

    await eventually(asleep, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not await asleep()
