"""The library's recorders, with one row for each order beside its events, written in the events' own transaction.

That row serves lists, leases and the unique idempotency key: a read model without lag. The library passes keyword
arguments of `save` to its recorders, inside the transaction; here `row`.

PostgreSQL's recorders, including that of snapshots, retry ten times, for half a minute, while the database is
unavailable. Here calls fail at once, and callers decide: the methods are unwrapped from that decorator. The library
pipelines its statements, so that the error of two possible ones may be the wrong one: here they run one after the
other. Its connection pool retries with growing pauses, which doubles an outage: here it gives up soon, and the next
call retries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import sqlalchemy as sa
from eventsourcing.postgres import PostgresAggregateRecorder, PostgresApplicationRecorder, PostgresFactory
from eventsourcing.sqlite import SQLiteApplicationRecorder
from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventsourcing.utils import Environment

SSLMODE = "POSTGRES_SSLMODE"
"""An additional variable; empty: libpq's default."""
RECONNECT_SECONDS = 2.0
"""How long the pool retries a connection in the background."""
CONNECTIONS = {
    "connect_timeout": 3,
    "options": "-c statement_timeout=5000",
    # Detects networks that drop packets.
    "tcp_user_timeout": 5000,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
}
"""libpq parameters beyond the library's; seconds, and milliseconds for four digits."""

metadata = sa.MetaData()
orders = sa.Table(
    "orders",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("key", sa.String(100), nullable=False, unique=True),
    sa.Column("user_id", sa.String(64), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    # Time of the next action, in milliseconds since 1970; None if the order rests.
    sa.Column("due_at", sa.BigInteger, nullable=True),
    # The order, encoded by the library's transcoder.
    sa.Column("document", sa.Text, nullable=False),
    # The lease, which is not part of the events.
    sa.Column("driver", sa.String(100), nullable=False, server_default=""),
    sa.Column("lease_until", sa.BigInteger, nullable=False, server_default="0"),
    sa.Index("orders_by_user", "user_id", "id"),
    sa.Index("orders_by_due", "due_at"),
    # For listing the few that need a decision.
    sa.Index("orders_by_state", "state", "id"),
)
WRITTEN = ("id", "key", "user_id", "state", "version", "due_at", "document")


def _upsert(insert: Any, dialect: sa.Dialect) -> str:
    statement = insert(orders).values({name: sa.bindparam(name) for name in WRITTEN})
    changing = {name: statement.excluded[name] for name in ("state", "version", "due_at", "document")}
    return str(statement.on_conflict_do_update(index_elements=["id"], set_=changing).compile(dialect=dialect))


SQLITE_UPSERT = _upsert(sqlite.insert, sqlite.dialect(paramstyle="named"))
POSTGRESQL_UPSERT = _upsert(postgresql.insert, sa.make_url("postgresql+psycopg://").get_dialect()())


class SQLiteOrdersRecorder(SQLiteApplicationRecorder):
    def _insert_events(self, c: Any, stored_events: Sequence[Any], **kwargs: Any) -> Sequence[int] | None:
        numbers = super()._insert_events(c, stored_events, **kwargs)
        c.execute(SQLITE_UPSERT, kwargs["row"])
        return numbers


class PostgresOrdersRecorder(PostgresApplicationRecorder):
    select_events = PostgresApplicationRecorder.select_events.__wrapped__
    select_notifications = PostgresApplicationRecorder.select_notifications.__wrapped__

    def insert_events(self, stored_events: Sequence[Any], **kwargs: Any) -> Sequence[int] | None:
        with self.datastore.get_connection() as connection, connection.transaction(), connection.cursor() as curs:
            self._insert_stored_events(curs, stored_events, **kwargs)
            numbers = self._fetch_ids_after_insert_events(curs, stored_events, **kwargs)
            connection.execute(POSTGRESQL_UPSERT, kwargs["row"])
        return numbers


class PostgresSnapshotsRecorder(PostgresAggregateRecorder):
    insert_events = PostgresAggregateRecorder.insert_events.__wrapped__
    select_events = PostgresAggregateRecorder.select_events.__wrapped__


class PostgresOrdersFactory(PostgresFactory):
    """The factory that `PERSISTENCE_MODULE` names."""

    aggregate_recorder_class = PostgresSnapshotsRecorder
    application_recorder_class = PostgresOrdersRecorder

    def __init__(self, env: Environment) -> None:
        super().__init__(env)
        pool = self.datastore.pool
        pool.reconnect_timeout = RECONNECT_SECONDS
        sslmode = env.get(SSLMODE)
        pool.kwargs = {
            **cast("dict[str, Any]", pool.kwargs),
            **CONNECTIONS,
            **({"sslmode": sslmode} if sslmode else {}),
        }
