"""What Alembic runs to apply revisions: on the connection, and in the transaction, that it is handed."""

from __future__ import annotations

from alembic import context

from services.user.migrations import VERSION_TABLE
from services.user.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
