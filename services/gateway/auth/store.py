"""Accounts, tokens, keys and identities in the gateway's database. Every method may raise StoreUnavailableError."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import exc

from services.common.storage.database import translate_store_errors
from services.gateway.auth.domain import Account, LinkedIdentity, SigningKey
from services.gateway.tables import (
    accounts,
    identities,
    refresh_tokens,
    sign_ups,
    signing_keys,
    social_logins,
    tenant_members,
    tenants,
)

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine


class TakenError(Exception):
    """The e-mail address, tenant name or identity is taken."""


@dataclass(frozen=True, slots=True)
class SocialLogin:
    """A login in progress. `link_to`: the signed-in user; empty: none."""

    provider: str
    nonce: str
    verifier: str
    link_to: str
    expires_at: float


class AuthStore:
    """`engine`: of a database prepared by `tables.prepare`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._reading = engine
        self._writing = engine.execution_options(writes=True)

    async def keys(self) -> list[SigningKey]:
        with translate_store_errors():
            async with self._reading.connect() as connection:
                rows = await connection.execute(sa.select(signing_keys).order_by(signing_keys.c.serial))
                return [SigningKey(row.serial, row.kid, row.pem, row.active_from) for row in rows]

    async def add_key(self, key: SigningKey) -> None:
        """Stores the key, unless another replica has stored one with that serial."""
        values = {"serial": key.serial, "kid": key.kid, "pem": key.pem, "active_from": key.active_from}
        with translate_store_errors():
            try:
                async with self._writing.begin() as connection:
                    await connection.execute(sa.insert(signing_keys).values(values))
            except exc.IntegrityError:
                return

    async def remove_keys(self, before: int) -> None:
        """Deletes the keys with serials below `before`."""
        await self._write(sa.delete(signing_keys).where(signing_keys.c.serial < before))

    async def add_account(self, account: Account, now: float, *, new_tenant: bool) -> None:
        """Raises TakenError. With `new_tenant` the account's tenant is made, and must be new.

        The user service has given the address to this user: an account that still has it is of one who has left it.
        """
        row = {
            "subject": account.subject,
            "email_key": account.email_key,
            "password_hash": account.password_hash,
            "roles": " ".join(account.roles),
            "created_at": now,
        }
        with translate_store_errors():
            try:
                async with self._writing.begin() as connection:
                    if new_tenant:
                        await connection.execute(sa.insert(tenants).values(name=account.tenant, created_at=now))
                        member = sa.insert(tenant_members).values(user_id=account.subject, tenant=account.tenant)
                        await connection.execute(member)
                    await connection.execute(_without_address(account.email_key, account.subject))
                    await connection.execute(sa.insert(accounts).values(row))
                    await connection.execute(_sign_up_done(account.email_key))
            except exc.IntegrityError as error:
                raise TakenError from error

    async def begin_sign_up(self, email_key: str, subject: str) -> str:
        """The id of the new user with this address: that of an interrupted sign-up, or else `subject`."""
        try:
            await self._write(sa.insert(sign_ups).values(email_key=email_key, subject=subject))
        except exc.IntegrityError:
            chosen = sa.select(sign_ups.c.subject).where(sign_ups.c.email_key == email_key)
            with translate_store_errors():
                async with self._reading.connect() as connection:
                    return str(await connection.scalar(chosen) or subject)
        return subject

    async def end_sign_up(self, email_key: str) -> None:
        await self._write(_sign_up_done(email_key))

    async def tenant_exists(self, name: str) -> bool:
        with translate_store_errors():
            async with self._reading.connect() as connection:
                return await connection.scalar(sa.select(tenants.c.name).where(tenants.c.name == name)) is not None

    async def account_of_email(self, email_key: str) -> Account | None:
        return await self._account(accounts.c.email_key == email_key)

    async def account_of_subject(self, subject: str) -> Account | None:
        return await self._account(accounts.c.subject == subject)

    async def _account(self, condition: sa.ColumnElement[bool]) -> Account | None:
        member = sa.outerjoin(accounts, tenant_members, accounts.c.subject == tenant_members.c.user_id)
        query = sa.select(accounts, tenant_members.c.tenant).select_from(member).where(condition)
        with translate_store_errors():
            async with self._reading.connect() as connection:
                row = (await connection.execute(query)).one_or_none()
        if row is None:
            return None
        return Account(row.subject, row.email_key, row.password_hash, tuple(row.roles.split()), row.tenant or "")

    async def tenant_of(self, subject: str) -> str:
        """The tenant; empty: none."""
        query = sa.select(tenant_members.c.tenant).where(tenant_members.c.user_id == subject)
        with translate_store_errors():
            async with self._reading.connect() as connection:
                return await connection.scalar(query) or ""

    async def set_password(self, subject: str, password_hash: str) -> None:
        await self._write(sa.update(accounts).where(accounts.c.subject == subject).values(password_hash=password_hash))

    async def has_login(self, subject: str) -> bool:
        """Whether the user has a password or a linked identity."""
        ways = [sa.select(table.c.subject).where(table.c.subject == subject) for table in (accounts, identities)]
        with translate_store_errors():
            async with self._reading.connect() as connection:
                return await connection.scalar(sa.union_all(*ways).limit(1)) is not None

    async def set_email(self, subject: str, email_key: str) -> None:
        """Updates the address of the user's account, if there is one."""
        with translate_store_errors():
            async with self._writing.begin() as connection:
                await connection.execute(_without_address(email_key, subject))
                mine = sa.update(accounts).where(accounts.c.subject == subject)
                await connection.execute(mine.values(email_key=email_key))

    async def forget(self, subject: str) -> None:
        """Deletes the account and linked identities of a deleted user."""
        with translate_store_errors():
            async with self._writing.begin() as connection:
                for table in (accounts, refresh_tokens, identities):
                    await connection.execute(sa.delete(table).where(table.c.subject == subject))
                await connection.execute(sa.delete(social_logins).where(social_logins.c.link_to == subject))

    async def add_refresh(self, digest: str, family: str, subject: str, expires_at: float) -> None:
        await self._write(_refresh(digest, family, subject, expires_at))

    async def spend_refresh(self, digest: str, successor: str, now: float, expires_at: float) -> str | None:
        """Trade a refresh token for its successor, once; the subject. None where it is not good (any more).

        One that was spent before has been stolen, from us or from the thief: its whole family ends (RFC 9700, 4.14).
        """
        with translate_store_errors():
            async with self._writing.begin() as connection:
                query = sa.select(refresh_tokens).where(refresh_tokens.c.digest == digest)
                row = (await connection.execute(query)).one_or_none()
                if row is None or row.expires_at <= now:
                    return None
                unspent = sa.and_(refresh_tokens.c.digest == digest, refresh_tokens.c.spent.is_(False))
                spent = await connection.execute(sa.update(refresh_tokens).where(unspent).values(spent=True))
                if spent.rowcount != 1:
                    await _end_family(connection, row.family)
                    return None
                await connection.execute(_refresh(successor, row.family, row.subject, expires_at))
                return str(row.subject)

    async def end_session(self, digest: str) -> None:
        """Ends the session of this refresh token."""
        with translate_store_errors():
            async with self._writing.begin() as connection:
                query = sa.select(refresh_tokens.c.family).where(refresh_tokens.c.digest == digest)
                family = await connection.scalar(query)
                if family is not None:
                    await _end_family(connection, family)

    async def subject_of(self, issuer: str, external_subject: str) -> str | None:
        """The user linked to that issuer's subject."""
        same = sa.and_(identities.c.issuer == issuer, identities.c.external_subject == external_subject)
        with translate_store_errors():
            async with self._reading.connect() as connection:
                return await connection.scalar(sa.select(identities.c.subject).where(same))

    async def link(self, subject: str, identity: LinkedIdentity) -> None:
        """Links an identity; raises TakenError if it is linked already."""
        statement = sa.insert(identities).values(
            issuer=identity.issuer,
            external_subject=identity.external_subject,
            subject=subject,
            provider=identity.provider,
            linked_at=identity.linked_at,
        )
        try:
            await self._write(statement)
        except exc.IntegrityError as error:
            raise TakenError from error

    async def identities_of(self, subjects: list[str]) -> dict[str, list[LinkedIdentity]]:
        """The linked identities of these users, oldest first."""
        query = sa.select(identities).where(identities.c.subject.in_(subjects)).order_by(identities.c.linked_at)
        found: dict[str, list[LinkedIdentity]] = {}
        with translate_store_errors():
            async with self._reading.connect() as connection:
                for row in await connection.execute(query):
                    linked = LinkedIdentity(row.provider, row.issuer, row.external_subject, row.linked_at)
                    found.setdefault(row.subject, []).append(linked)
        return found

    async def begin_login(self, state_digest: str, login: SocialLogin) -> None:
        await self._write(
            sa.insert(social_logins).values(
                state_digest=state_digest,
                provider=login.provider,
                nonce=login.nonce,
                verifier=login.verifier,
                link_to=login.link_to,
                expires_at=login.expires_at,
            )
        )

    async def end_login(self, state_digest: str, now: float) -> SocialLogin | None:
        """Removes and returns the login with that state."""
        same = social_logins.c.state_digest == state_digest
        with translate_store_errors():
            async with self._writing.begin() as connection:
                row = (await connection.execute(sa.select(social_logins).where(same))).one_or_none()
                gone = await connection.execute(sa.delete(social_logins).where(same))
        if row is None or gone.rowcount != 1 or row.expires_at <= now:
            return None
        return SocialLogin(row.provider, row.nonce, row.verifier, row.link_to, row.expires_at)

    async def sweep(self, now: float) -> None:
        """Deletes expired rows."""
        await self._write(sa.delete(refresh_tokens).where(refresh_tokens.c.expires_at <= now))
        await self._write(sa.delete(social_logins).where(social_logins.c.expires_at <= now))

    async def _write(self, statement: Any) -> None:
        with translate_store_errors():
            async with self._writing.begin() as connection:
                await connection.execute(statement)


def _sign_up_done(email_key: str) -> sa.Delete:
    return sa.delete(sign_ups).where(sign_ups.c.email_key == email_key)


def _without_address(email_key: str, subject: str) -> sa.Update:
    """Take the address from whatever other account has it: that one is left with what is no address."""
    others = sa.and_(accounts.c.email_key == email_key, accounts.c.subject != subject)
    return sa.update(accounts).where(others).values(email_key=accounts.c.subject)


def _refresh(digest: str, family: str, subject: str, expires_at: float) -> sa.Insert:
    return sa.insert(refresh_tokens).values(
        digest=digest, family=family, subject=subject, expires_at=expires_at, spent=False
    )


async def _end_family(connection: AsyncConnection, family: str) -> None:
    await connection.execute(sa.delete(refresh_tokens).where(refresh_tokens.c.family == family))
