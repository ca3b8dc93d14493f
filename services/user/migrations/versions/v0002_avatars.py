"""Users may have an avatar. A process of before the change goes on beside it: the column fills itself."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("users", sa.Column("avatar", sa.String(500), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("users", "avatar")
