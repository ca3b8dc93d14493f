"""How a database gets the tables: Alembic revisions, run by the service itself when it starts.

Several replicas may start at once, on one database. The first takes a lock, the others wait for it and then find
nothing to do: on PostgreSQL an advisory lock of the transaction, on SQLite the write lock that `BEGIN IMMEDIATE`
takes. Both databases have transactional DDL, so that a revision is applied whole or not at all, lock included.

A database that is *ahead* of this code is left as it is: while a new version is being rolled out, the old one still
restarts. Revisions must therefore be such that the version before can live with them (add first, remove a version
later).
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

log = logging.getLogger(__name__)

LOCK = 0x6D657368_75736572
"""The key of the advisory lock; unique in the database."""
VERSION_TABLE = "users_schema_version"


async def migrate(engine: AsyncEngine) -> None:
    """Applies missing migrations."""
    async with engine.connect() as connection:
        locking = await connection.execution_options(writes=True)
        async with locking.begin():
            await locking.run_sync(upgrade)


def upgrade(connection: sa.Connection) -> None:
    """Applies missing migrations in the transaction of `connection`."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))
    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    scripts = ScriptDirectory.from_config(config)
    known = {revision.revision for revision in scripts.walk_revisions()}
    applied = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_heads()
    strange = sorted(set(applied) - known)
    if strange:
        log.warning("the database is ahead of this version (at %s) and is left as it is", ", ".join(strange))
        return
    command.upgrade(config, "head")
    if applied != (head := tuple(scripts.get_heads())):
        log.info("the database was brought from revision %s to %s", ", ".join(applied) or "none", ", ".join(head))
