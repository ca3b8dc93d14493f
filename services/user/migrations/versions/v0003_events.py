"""Users have a history: events, snapshots of states, and how far other services were followed.

A process of before the change goes on beside it. What it writes has no events; they are made up for when a process that
knows events starts, or touches the user (services.user.event_log).
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("users", sa.Column("balance_cents", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("users", sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "user_events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("type", sa.String(100), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("traceparent", sa.String(60), nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("subject", "version", name="user_events_version_unique"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "user_snapshots",
        sa.Column("user_id", sa.String(36), primary_key=True),
        sa.Column("version", sa.BigInteger, primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text, nullable=False),
    )
    op.create_table(
        "user_places",
        sa.Column("source", sa.String(40), primary_key=True),
        sa.Column("place", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    for table in ("user_places", "user_snapshots", "user_events"):
        op.drop_table(table)
    op.drop_column("users", "recorded_at")
    op.drop_column("users", "balance_cents")
