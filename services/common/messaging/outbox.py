"""The transactional outbox: a table of events beside a service's own rows, which `OutboxPublisher` publishes.

An event is inserted in the transaction that changes the state. The publisher reads the table by ascending id and never
looks back, so no id may appear below one that was read. SQLite has one writer at a time. PostgreSQL assigns ids at
insert, not at commit: two transactions could commit in the opposite order, and the publisher would skip one event. So
inserting takes a lock that is held from before the id is drawn until the commit. It is taken last in a transaction, for
the time of one commit; withholding events that could still be overtaken (by transaction ids) would avoid that wait, but
make every reader wait for the longest transaction of the database.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from services.common.messaging.events import Event
from services.common.runtime.trace_context import current_traceparent
from services.common.storage.columns import UtcDateTime
from services.common.storage.database import POSTGRESQL, translate_store_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

_LOCK = 0x6D77_0002


def outbox_table(metadata: sa.MetaData, *more: sa.schema.SchemaItem, name: str = "outbox") -> sa.Table:
    """Defines the table in `metadata`; `more`: columns and constraints of the service."""
    return sa.Table(
        name,
        metadata,
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("type", sa.String(100), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("occurred_at", UtcDateTime, nullable=False),
        sa.Column("traceparent", sa.String(60), nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        *more,
        # Ids are never reused, even after the last rows are deleted.
        sqlite_autoincrement=True,
    )


class Outbox:
    """The events of `source`, as in `payment`; their types are `demo.payment.<name>`. An EventLog.

    `upcast` converts the type and data of a stored event to those that are published.
    """

    def __init__(
        self,
        source: str,
        table: sa.Table,
        engine: AsyncEngine,
        upcast: Callable[[str, Mapping[str, Any]], tuple[str, Mapping[str, Any]]] = lambda kind, data: (kind, data),
    ) -> None:
        self._source = source
        self._table = table
        self._engine = engine
        self._upcast = upcast

    async def add(
        self, connection: AsyncConnection, name: str, subject: str, data: Mapping[str, Any], at: datetime, **more: Any
    ) -> int:
        """Inserts the event within the transaction of `connection`; returns its sequence. `name`: as in `Charged.v1`.

        Must be the last statement of the transaction. `more`: values of the service's own columns.
        """
        if connection.dialect.name == POSTGRESQL:
            await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        row = {
            "type": f"demo.{self._source}.{name}",
            "subject": subject,
            "occurred_at": at,
            "traceparent": current_traceparent(),
            "data": json.dumps(dict(data), default=datetime.isoformat, separators=(",", ":")),
            **more,
        }
        done = await connection.execute(sa.insert(self._table).values(row))
        key = done.inserted_primary_key
        return int(key[0]) if key else 0

    async def after(self, sequence: int, limit: int) -> Sequence[Event]:
        query = sa.select(self._table).where(self._table.c.id > sequence).order_by(self._table.c.id).limit(limit)
        with translate_store_errors():
            async with self._engine.connect() as connection:
                return [self._event(row) for row in await connection.execute(query)]

    def _event(self, row: sa.Row[Any]) -> Event:
        kind, data = self._upcast(row.type, json.loads(row.data))
        return Event(
            source=self._source,
            sequence=row.id,
            type=kind,
            subject=row.subject,
            time=row.occurred_at,
            data=data,
            traceparent=row.traceparent,
        )
