"""Devices and bindings in a database.

An account is a row of its own, which never goes: a name that belonged to one user is not given to another, who would
get the calls of the first. The transactions that change devices or bindings lock it, so that two requests of one
account follow each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from services.common.storage.columns import UtcDateTime
from services.common.storage.database import translate_store_errors
from services.common.storage.transactions import in_transaction, make_tables
from services.voice.domain import (
    MAX_DEVICES,
    AccountTakenError,
    Binding,
    Device,
    InvalidDeviceError,
    TooManyDevicesError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

SOURCE = "voice"
metadata = sa.MetaData()
accounts = sa.Table(
    "accounts",
    metadata,
    sa.Column("account", sa.String(32), primary_key=True),
    sa.Column("user_id", sa.String(128), nullable=False, unique=True),
)
devices_table = sa.Table(
    "devices",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("account", sa.ForeignKey("accounts.account"), nullable=False, index=True),
    sa.Column("label", sa.String(60), nullable=False),
    sa.Column("md5", sa.String(32), nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
)
bindings_table = sa.Table(
    "bindings",
    metadata,
    sa.Column("account", sa.ForeignKey("accounts.account"), primary_key=True),
    sa.Column("contact", sa.String(500), primary_key=True),
    sa.Column("device_id", sa.String(36), nullable=False),
    sa.Column("source", sa.String(100), nullable=False),
    sa.Column("call_id", sa.Text, nullable=False),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("expires_at", UtcDateTime, nullable=False, index=True),
    sa.Column("user_agent", sa.Text, nullable=False),
)
_DEVICES = sa.select(devices_table, accounts.c.user_id).join(accounts).order_by(devices_table.c.id)


class DatabaseStore:
    """Implements `app.Store`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def prepare(self) -> None:
        """Creates missing tables."""
        await make_tables(self._engine, metadata)

    async def add(self, device: Device) -> None:
        async def work(connection: AsyncConnection) -> None:
            await _take_account(connection, device)
            count = sa.select(sa.func.count()).select_from(devices_table)
            if (await connection.scalar(count.where(devices_table.c.account == device.account)) or 0) >= MAX_DEVICES:
                raise TooManyDevicesError
            await connection.execute(sa.insert(devices_table).values(_device_row(device)))

        await in_transaction(self._engine, work)

    async def devices(self, user_id: str) -> Sequence[Device]:
        return await self._devices(accounts.c.user_id == user_id)

    async def devices_of_account(self, account: str) -> Sequence[Device]:
        return await self._devices(devices_table.c.account == account)

    async def remove(self, user_id: str, device_id: str) -> bool:
        async def work(connection: AsyncConnection) -> bool:
            found = await connection.scalar(
                sa.select(accounts.c.account).where(accounts.c.user_id == user_id).with_for_update()
            )
            own = (devices_table.c.id == device_id, devices_table.c.account == found)
            removed = await connection.execute(sa.delete(devices_table).where(*own))
            if not removed.rowcount:
                return False
            await connection.execute(sa.delete(bindings_table).where(bindings_table.c.device_id == device_id))
            return True

        return await in_transaction(self._engine, work)

    async def bindings(self, account: str) -> Sequence[Binding]:
        with translate_store_errors():
            async with self._engine.connect() as connection:
                return await _bindings(connection, account)

    async def change_bindings(
        self, account: str, device_id: str, change: Callable[[Sequence[Binding]], Sequence[Binding]]
    ) -> Sequence[Binding] | None:
        async def work(connection: AsyncConnection) -> Sequence[Binding] | None:
            await connection.execute(sa.select(accounts).where(accounts.c.account == account).with_for_update())
            known = sa.select(devices_table.c.id).where(devices_table.c.id == device_id)
            if await connection.scalar(known) is None:
                return None
            after = change(await _bindings(connection, account))
            await connection.execute(sa.delete(bindings_table).where(bindings_table.c.account == account))
            if after:
                rows = [_binding_row(account, binding) for binding in after]
                await connection.execute(sa.insert(bindings_table), rows)
            return after

        return await in_transaction(self._engine, work)

    async def registered(self, now: datetime) -> int:
        count = sa.select(sa.func.count()).select_from(bindings_table).where(bindings_table.c.expires_at > now)
        with translate_store_errors():
            async with self._engine.connect() as connection:
                return await connection.scalar(count) or 0

    async def _devices(self, which: sa.ColumnElement[bool]) -> Sequence[Device]:
        with translate_store_errors():
            async with self._engine.connect() as connection:
                rows = await connection.execute(_DEVICES.where(which))
                return [_device(row) for row in rows]


async def _take_account(connection: AsyncConnection, device: Device) -> None:
    """Makes the account the user's. A user has one account, and an account one user."""
    either = sa.or_(accounts.c.account == device.account, accounts.c.user_id == device.user_id)
    query = sa.select(accounts).where(either).order_by(accounts.c.account).with_for_update()
    rows = (await connection.execute(query)).all()
    if any(row.account == device.account and row.user_id != device.user_id for row in rows):
        raise AccountTakenError
    if other := next((row.account for row in rows if row.account != device.account), None):
        raise InvalidDeviceError({"account": f"must be {other}, which this user has already"})
    if not rows:
        await connection.execute(sa.insert(accounts).values(account=device.account, user_id=device.user_id))


async def _bindings(connection: AsyncConnection, account: str) -> Sequence[Binding]:
    query = sa.select(bindings_table).where(bindings_table.c.account == account).order_by(bindings_table.c.contact)
    return [_binding(row) for row in await connection.execute(query)]


def _device(row: sa.Row[Any]) -> Device:
    return Device(row.id, row.user_id, row.account, row.label, row.md5, row.sha256, row.created_at)


def _device_row(device: Device) -> dict[str, Any]:
    return {
        "id": device.id,
        "account": device.account,
        "label": device.label,
        "md5": device.md5,
        "sha256": device.sha256,
        "created_at": device.created_at,
    }


def _binding(row: sa.Row[Any]) -> Binding:
    return Binding(row.contact, row.device_id, row.source, row.call_id, row.sequence, row.expires_at, row.user_agent)


def _binding_row(account: str, binding: Binding) -> dict[str, Any]:
    return {
        "account": account,
        "contact": binding.contact,
        "device_id": binding.device_id,
        "source": binding.source,
        "call_id": binding.call_id,
        "sequence": binding.sequence,
        "expires_at": binding.expires_at,
        "user_agent": binding.user_agent,
    }
