"""Sign-in with another OpenID Connect issuer, and linking of its identities to users.

The first login of an identity creates a user. An e-mail address of an existing user does not identify that user: the
user must sign in and link the identity.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.gateway.auth import domain
from services.gateway.auth.domain import LinkedIdentity, Tokens
from services.gateway.auth.store import SocialLogin, TakenError
from services.gateway.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from services.gateway.auth.accounts import Accounts
    from services.gateway.auth.oidc import OidcClient
    from services.gateway.auth.store import AuthStore
    from services.gateway.users import User, Users

LOGIN_SECONDS = 600.0
"""Maximum duration of a login at the other issuer."""


class SocialLogins:
    """Logins at one issuer. `clock`: seconds since 1970. `entropy`: random bytes."""

    def __init__(
        self,
        client: OidcClient,
        store: AuthStore,
        accounts: Accounts,
        *,
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._client = client
        self._store = store
        self._accounts = accounts
        self._clock = clock
        self._entropy = entropy

    async def begin(self, link_to: str) -> tuple[str, str]:
        """Returns the issuer's URL, and the state that the browser must return. `link_to`: the signed-in user, or
        empty. Raises ApiError."""
        state, nonce, verifier = (self._entropy(32).hex() for _ in range(3))
        url = await self._client.authorization_url(state, nonce, verifier)
        login = SocialLogin(self._client.provider.name, nonce, verifier, link_to, self._clock() + LOGIN_SECONDS)
        await self._store.begin_login(domain.digest(state), login)
        return url, state

    async def finish(self, users: Users, state: str, code: str, timeout: float) -> Tokens:
        """Completes the login when the browser returns. Raises ApiError."""
        now = self._clock()
        login = await self._store.end_login(domain.digest(state), now)
        if login is None or login.provider != self._client.provider.name:
            raise ApiError("INVALID_ARGUMENT", "this login is unknown or expired", reason="LOGIN_UNKNOWN")
        claims = await self._client.claims(code, login.nonce, login.verifier)
        subject = await self._subject(users, claims, login.link_to, now, timeout)
        return await self._accounts.tokens(await self._accounts.account(subject))

    async def _subject(self, users: Users, claims: Mapping[str, Any], link_to: str, now: float, timeout: float) -> str:
        provider = self._client.provider
        identity = LinkedIdentity(provider.name, provider.issuer, str(claims["sub"]), now)
        known = await self._store.subject_of(provider.issuer, identity.external_subject)
        if known is not None and link_to not in {"", known}:
            raise ApiError("ALREADY_EXISTS", "another user has this login", reason="IDENTITY_TAKEN")
        if known is not None:
            return known
        new = None if link_to else await self._new_user(users, claims, timeout)
        subject = link_to if new is None else new.id
        try:
            await self._store.link(subject, identity)
        except TakenError:
            # Linked meanwhile, by the same user in another window.
            again = await self._store.subject_of(provider.issuer, identity.external_subject)
            if new is not None:
                await self._accounts.sign_ups.abandon(users, new, timeout)
            if again is None or link_to not in {"", again}:
                raise ApiError("ALREADY_EXISTS", "another user has this login", reason="IDENTITY_TAKEN") from None
            return again
        return subject

    async def _new_user(self, users: Users, claims: Mapping[str, Any], timeout: float) -> User:
        email = claims.get("email")
        if not isinstance(email, str) or claims.get("email_verified") is not True:
            message = f"{self._client.provider.name} tells no e-mail address that it has verified"
            raise ApiError("FAILED_PRECONDITION", message, reason="EMAIL_NOT_VERIFIED")
        name = claims.get("name")
        known = name if isinstance(name, str) and name else email
        return await self._accounts.sign_ups.user(users, known, email, "", timeout)
