"""What the gateway keeps, all replicas in one database. Times are seconds since 1970.

The tables are made when the first replica starts. No secret is readable in them: passwords are argon2id hashes, refresh
tokens and the states of logins SHA-256 digests; signing keys are encrypted where a passphrase is configured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from services.common.storage.database import POSTGRESQL, translate_store_errors

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

metadata = sa.MetaData()

signing_keys = sa.Table(
    "signing_keys",
    metadata,
    sa.Column("serial", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("kid", sa.String(64), nullable=False),
    sa.Column("pem", sa.LargeBinary, nullable=False),
    sa.Column("active_from", sa.Double, nullable=False),
)
accounts = sa.Table(
    "accounts",
    metadata,
    sa.Column("subject", sa.String(64), primary_key=True),
    sa.Column("email_key", sa.String(254), nullable=False, unique=True),
    sa.Column("password_hash", sa.String(255), nullable=False),
    sa.Column("roles", sa.String(255), nullable=False),
    sa.Column("created_at", sa.Double, nullable=False),
)
refresh_tokens = sa.Table(
    "refresh_tokens",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("family", sa.String(64), nullable=False, index=True),
    sa.Column("subject", sa.String(64), nullable=False, index=True),
    sa.Column("expires_at", sa.Double, nullable=False, index=True),
    sa.Column("spent", sa.Boolean, nullable=False),
)
identities = sa.Table(
    "identities",
    metadata,
    sa.Column("issuer", sa.String(255), primary_key=True),
    sa.Column("external_subject", sa.String(255), primary_key=True),
    sa.Column("subject", sa.String(64), nullable=False, index=True),
    sa.Column("provider", sa.String(64), nullable=False),
    sa.Column("linked_at", sa.Double, nullable=False),
)
social_logins = sa.Table(
    "social_logins",
    metadata,
    sa.Column("state_digest", sa.String(64), primary_key=True),
    sa.Column("provider", sa.String(64), nullable=False),
    sa.Column("nonce", sa.String(64), nullable=False),
    sa.Column("verifier", sa.String(128), nullable=False),
    sa.Column("link_to", sa.String(64), nullable=False),
    sa.Column("expires_at", sa.Double, nullable=False, index=True),
)
sign_ups = sa.Table(
    "sign_ups",
    metadata,
    sa.Column("email_key", sa.String(254), primary_key=True),
    sa.Column("subject", sa.String(64), nullable=False),
)
tenants = sa.Table(
    "tenants",
    metadata,
    sa.Column("name", sa.String(40), primary_key=True),
    sa.Column("created_at", sa.Double, nullable=False),
)
tenant_members = sa.Table(
    "tenant_members",
    metadata,
    sa.Column("user_id", sa.String(64), primary_key=True),
    sa.Column("tenant", sa.String(40), nullable=False, index=True),
)
idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    sa.Column("client", sa.String(255), primary_key=True),
    sa.Column("key", sa.String(255), primary_key=True),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("begun_at", sa.Double, nullable=False, index=True),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("headers", sa.Text, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)

_LOCK = 4_717_283_901
"""For replicas that start at once: an arbitrary number, the same for all."""


async def prepare(engine: AsyncEngine) -> None:
    """Make the tables that are not there yet. Raises StoreUnavailableError."""
    with translate_store_errors():
        async with engine.execution_options(writes=True).begin() as connection:
            if engine.dialect.name == POSTGRESQL:
                await connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            await connection.run_sync(metadata.create_all)
