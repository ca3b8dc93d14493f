"""The tables of orders: one row for each, beside its events.

The row serves lists, leases and the unique idempotency key: a read model without lag.
"""

from __future__ import annotations

import sqlalchemy as sa

from services.common.event_sourcing.event_store import event_tables

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
    # The order as JSON.
    sa.Column("document", sa.Text, nullable=False),
    # The lease, which is not part of the events.
    sa.Column("driver", sa.String(100), nullable=False, server_default=""),
    sa.Column("lease_until", sa.BigInteger, nullable=False, server_default="0"),
    sa.Index("orders_by_user", "user_id", "id"),
    sa.Index("orders_by_due", "due_at"),
    # For listing the few that need a decision.
    sa.Index("orders_by_state", "state", "id"),
)

events, snapshots = event_tables(metadata, "order")
