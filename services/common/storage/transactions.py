"""Transactions with competing inserts, and tables that several replicas create at once."""

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
"""Attempts of a transaction whose keys are inserted concurrently. The second attempt reads the winner's rows."""
SCHEMA_LOCK = 0x6D77_0001


async def in_transaction(engine: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """Runs `work` in a transaction, commits, and returns its result. Runs `work` again after a conflicting insert.

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
    """Creates missing tables; an advisory lock serialises replicas. Raises StoreUnavailableError."""
    with translate_store_errors():
        async with engine.execution_options(writes=True).begin() as connection:
            if connection.dialect.name == POSTGRESQL:
                await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(SCHEMA_LOCK)))
            await connection.run_sync(metadata.create_all)
