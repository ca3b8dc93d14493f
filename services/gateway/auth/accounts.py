"""Accounts: sign-up, sign-in, refresh and sign-out.

The user service owns users, the gateway their accounts: an account's subject is the user's id. Sign-up creates the user
first, since only the user service knows whether the address is free (`signup`); if the tenant's name is then taken, the
user is deleted again.

The operator has no user: its account exists only in the configuration. It signs in as `operator`, which is not an
address, so that sign-up cannot take it. Its tokens cannot be refreshed: no session outlives a change of its password.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from services.gateway.auth import domain
from services.gateway.auth.domain import ADMIN, OPERATOR, Account, Tokens
from services.gateway.auth.signup import SignUpService
from services.gateway.auth.store import TakenError
from services.gateway.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.gateway.auth.passwords import Passwords
    from services.gateway.auth.signing_keys import SigningKeys
    from services.gateway.auth.store import AuthStore
    from services.gateway.users import User, Users


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """Settings of issued tokens. Times are in seconds."""

    issuer: str
    audience: str
    access_seconds: float = 300.0
    refresh_seconds: float = 30 * 86400.0
    operators: frozenset[str] = frozenset()
    """Subjects with the admin role, unless they have a tenant."""
    operator_password: str = ""
    """Password of the account OPERATOR; empty: no such account."""


@dataclass(frozen=True, slots=True)
class NewAccount:
    """A sign-up. `tenant`: the name of a tenant to create; empty: none."""

    name: str
    email: str
    password: str
    phone: str = ""
    tenant: str = ""


class Accounts:
    """`clock`: seconds since 1970. `entropy`: random bytes."""

    def __init__(
        self,
        store: AuthStore,
        keys: SigningKeys,
        passwords: Passwords,
        settings: TokenSettings,
        *,
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._store = store
        self._keys = keys
        self._passwords = passwords
        self._clock = clock
        self._entropy = entropy
        self._operators_hash = ""
        self.sign_ups = SignUpService(store, clock=clock, entropy=entropy)
        self.settings = settings

    def check_password(self, password: str, tenant: str = "") -> None:
        """Raises ApiError for an invalid password or tenant name."""
        wrong = domain.sign_up_problems(password, tenant)
        if wrong:
            detail = "; ".join(f"{name} {what}" for name, what in wrong.items())
            raise ApiError("INVALID_ARGUMENT", detail, reason="INVALID_SIGN_UP", fields=wrong)

    async def sign_up(self, users: Users, new: NewAccount, timeout: float) -> tuple[User, Tokens]:
        """Creates user and account, and the tenant if named, with the user as its admin. Raises ApiError."""
        self.check_password(new.password, new.tenant)
        if new.tenant and await self._store.tenant_exists(new.tenant):
            raise _tenant_taken()
        hashed = await self._passwords.hash(new.password)
        user = await self.sign_ups.user(users, new.name, new.email, new.phone, timeout)
        roles = (ADMIN,) if new.tenant else ()
        account = Account(user.id, domain.email_key(user.email), hashed, roles, new.tenant)
        try:
            await self._store.add_account(account, self._clock(), new_tenant=bool(new.tenant))
        except TakenError as error:
            with contextlib.suppress(ApiError):
                await self.sign_ups.abandon(users, user, timeout)
            raise (_tenant_taken() if new.tenant else _email_taken()) from error
        return user, await self.tokens(account)

    async def add_member(self, user: User, password: str, tenant: str) -> None:
        """Creates an account for a user that a tenant's admin has created. Raises ApiError."""
        account = Account(user.id, domain.email_key(user.email), await self._passwords.hash(password), (), tenant)
        try:
            await self._store.add_account(account, self._clock(), new_tenant=False)
        except TakenError as error:
            raise _email_taken() from error

    async def sign_in(self, email: str, password: str) -> Tokens:
        """Signs in. Raises ApiError, without disclosing whether the address or the password is wrong."""
        key = domain.email_key(email)
        account = await (self._operator() if key == OPERATOR else self._store.account_of_email(key))
        verdict = await self._passwords.verify(None if account is None else account.password_hash, password)
        if account is None or not verdict.right:
            message = "the e-mail address or the password is wrong"
            raise ApiError("UNAUTHENTICATED", message, reason="WRONG_CREDENTIALS")
        if verdict.rehashed is not None:
            await self._store.set_password(account.subject, verdict.rehashed)
        return await self.tokens(account)

    async def refresh(self, token: str) -> Tokens:
        """Exchanges a refresh token, once, for new tokens. Raises ApiError."""
        successor, now = self._secret(), self._clock()
        expires = now + self.settings.refresh_seconds
        subject = await self._store.spend_refresh(domain.digest(token), domain.digest(successor), now, expires)
        if subject is None or subject == OPERATOR:
            message = "the refresh token is invalid or expired: sign in again"
            raise ApiError("UNAUTHENTICATED", message, reason="REFRESH_TOKEN_INVALID")
        return await self._issue(await self.account(subject), successor)

    async def sign_out(self, token: str) -> None:
        """Ends the session of this refresh token, if there is one."""
        await self._store.end_session(domain.digest(token))

    async def tokens(self, account: Account) -> Tokens:
        """Starts a session and returns its tokens."""
        secret = self._secret()
        expires = self._clock() + self.settings.refresh_seconds
        await self._store.add_refresh(domain.digest(secret), self._secret(), account.subject, expires)
        return await self._issue(account, secret)

    async def account(self, subject: str) -> Account:
        """The account of a user; without a password for users of other issuers only."""
        found = await self._store.account_of_subject(subject)
        return found or replace(Account(subject, "", ""), tenant=await self._store.tenant_of(subject))

    async def _operator(self) -> Account | None:
        if not self.settings.operator_password:
            return None
        if not self._operators_hash:
            self._operators_hash = await self._passwords.hash(self.settings.operator_password)
        return Account(OPERATOR, OPERATOR, self._operators_hash, (ADMIN,))

    async def _issue(self, account: Account, refresh_token: str) -> Tokens:
        settings = self.settings
        if account.subject in settings.operators and not account.tenant:
            account = replace(account, roles=(ADMIN,))
        claims = domain.access_claims(
            account,
            issuer=settings.issuer,
            audience=settings.audience,
            now=self._clock(),
            lifetime=settings.access_seconds,
        )
        access = await self._keys.sign({**claims, "jti": self._secret()}, "at+jwt")
        return Tokens(access, refresh_token, int(settings.access_seconds), account.subject)

    def _secret(self) -> str:
        return self._entropy(32).hex()


def _email_taken() -> ApiError:
    return ApiError("ALREADY_EXISTS", "another user has this e-mail address", reason="EMAIL_TAKEN")


def _tenant_taken() -> ApiError:
    return ApiError("ALREADY_EXISTS", "there is a tenant of this name", reason="TENANT_TAKEN")
