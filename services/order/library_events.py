"""Databases of earlier releases, in which the `eventsourcing` library kept the events of orders.

The first start copies the events, with their positions: what was published stays at its sequence. The library's table
gets another name, so that a replica of an earlier release fails instead of writing what this one does not read.
"""

from __future__ import annotations

import json
import logging
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import sqlalchemy as sa

from services.common.storage.database import POSTGRESQL, SQLITE
from services.common.storage.transactions import SCHEMA_LOCK
from services.order.event_types import CODEC
from services.order.tables import events, orders

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.common.event_sourcing.event_store import EventStore
    from services.order.domain import Order
    from services.order.events import Event

log = logging.getLogger(__name__)

_TABLES = {SQLITE: ("stored_events", "rowid"), POSTGRESQL: ("ordersapplication_events", "notification_id")}
"""The library's table of events, and its column of positions."""
COPIED = "_copied"
"""Added to the name of a table whose events were copied."""
_BATCH = 500
_PACKAGE = "demo.order"


async def copy_library_events(connection: AsyncConnection, store: EventStore[Order, Event]) -> int:
    """Copies the events of an earlier release within the transaction of `connection`; returns their number."""
    table, position = _TABLES[connection.dialect.name]
    if connection.dialect.name == POSTGRESQL:
        await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(SCHEMA_LOCK)))
    if table not in await connection.run_sync(lambda found: sa.inspect(found).get_table_names()):
        return 0
    if await connection.scalar(sa.select(sa.func.count()).select_from(events)):
        log.error("the table %s, of an earlier release, has events that are not read: there are newer ones", table)
        return 0
    # This waits for writers, and keeps others out.
    await connection.execute(sa.text(f"ALTER TABLE {table} RENAME TO {table}{COPIED}"))
    columns = sa.text(
        f"SELECT {position} AS position, originator_id, originator_version, topic, state "  # noqa: S608 - names of ours
        f"FROM {table}{COPIED} ORDER BY {position}"
    )
    rows = list(_converted((await connection.execute(columns)).all()))
    for start in range(0, len(rows), _BATCH):
        await connection.execute(sa.insert(events), rows[start : start + _BATCH])
    if rows and connection.dialect.name == POSTGRESQL:
        sequence = sa.func.pg_get_serial_sequence(events.name, "id")
        await connection.execute(sa.select(sa.func.setval(sequence, rows[-1]["id"])))
    for order_id in (await connection.scalars(sa.select(orders.c.id))).all():
        order, _ = await store.state(connection, order_id)
        if order is not None:
            document = CODEC.encode(order)
            await connection.execute(sa.update(orders).where(orders.c.id == order_id).values(document=document))
    log.warning("copied %d events of an earlier release; the table %s%s can be dropped", len(rows), table, COPIED)
    return len(rows)


def _converted(rows: Any) -> Iterator[dict[str, Any]]:
    traces: dict[str, str] = {}
    for row in rows:
        data = _plain(json.loads(bytes(row.state)))
        order_id = str(UUID(str(row.originator_id)))
        at = datetime.fromisoformat(data.pop("timestamp"))
        version = data.pop("class_version", 1)
        data.pop("originator_topic", None)
        # All events of an order belong to the trace of its first one.
        trace = traces.setdefault(order_id, data.pop("traceparent", ""))
        yield {
            "id": row.position,
            "type": f"{_PACKAGE}.{row.topic.rpartition('.')[2]}.v{version}",
            "subject": order_id,
            "occurred_at": at,
            "traceparent": trace,
            "data": json.dumps(data, separators=(",", ":")),
            "version": row.originator_version,
        }


def _plain(value: Any) -> Any:
    """The library tags values that JSON has no type for."""
    match value:
        case {"_type_": _, "_data_": data}:
            return _plain(data)
        case dict():
            return {name: _plain(each) for name, each in value.items()}
        case list():
            return [_plain(each) for each in value]
    return value
