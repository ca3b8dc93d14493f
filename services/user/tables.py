"""The tables, for queries. `migrations` creates them."""

from __future__ import annotations

import sqlalchemy as sa

from services.common.event_sourcing.event_store import event_tables
from services.common.storage.columns import UtcDateTime

metadata = sa.MetaData()

users = sa.Table(
    "users",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("email", sa.String(254), nullable=False),
    sa.Column("email_key", sa.String(254), nullable=False),
    sa.Column("phone", sa.String(16), nullable=False),
    sa.Column("active", sa.Boolean, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.Column("avatar", sa.String(500), nullable=False, server_default=""),
    sa.Column("balance_cents", sa.BigInteger, nullable=False, server_default="0"),
    # The updated_at with recorded events; it differs after a change by a release without events.
    sa.Column("recorded_at", UtcDateTime, nullable=True),
    sa.UniqueConstraint("email_key", name="users_email_key_unique"),
)

events, snapshots = event_tables(metadata, "user")

places = sa.Table(
    "user_places",
    metadata,
    sa.Column("source", sa.String(40), primary_key=True),
    sa.Column("place", sa.BigInteger, nullable=False),
)
"""The sequences up to which events of other services were consumed."""
