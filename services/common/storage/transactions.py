"""Transactions whose keys are won or lost, and tables that several replicas make at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import sqlalchemy as sa
from sqlalchemy import exc

from services.common.storage.database import POSTGRESQL, translate_store_errors

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

T = TypeVar("T")

ATTEMPTS = 5
"""Times that a transaction is tried where others insert the same keys. The second try finds what the winner wrote."""
SCHEMA_LOCK = 0x6D77_0001


async def in_transaction(engine: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """What `work` returns, its writes committed; where another was first to insert one of its keys, `work` runs again.

    Raises StoreUnavailableError.
    """
    writing = engine.execution_options(writes=True)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with translate_store_errors():
                async with writing.begin() as connection:
                    return await work(connection)
        except exc.IntegrityError:
            if attempt == ATTEMPTS:
                raise
    raise AssertionError("the last attempt returns or raises")


async def make_tables(engine: AsyncEngine, metadata: sa.MetaData) -> None:
    """Make the tables that are missing; of replicas that start at once, one does. Raises StoreUnavailableError."""
    with translate_store_errors():
        async with engine.execution_options(writes=True).begin() as connection:
            if connection.dialect.name == POSTGRESQL:
                await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(SCHEMA_LOCK)))
            await connection.run_sync(metadata.create_all)
