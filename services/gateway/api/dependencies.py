"""The gateway's dependencies besides its upstream services: versions, authentication, stores, limits."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import meshwright
from services.common.runtime.errors import StoreUnavailableError
from services.common.runtime.tasks import background_task
from services.gateway.auth.callers import tenant_of
from services.gateway.auth.tenancy import TenantUsers, canonical

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from services.gateway.api.orders.client import ShopClient
    from services.gateway.auth.accounts import Accounts
    from services.gateway.auth.callers import Callers
    from services.gateway.auth.signing_keys import SigningKeys
    from services.gateway.auth.social_login import SocialLogins
    from services.gateway.auth.store import AuthStore
    from services.gateway.auth.tenancy import Tenancy
    from services.gateway.http.middleware.idempotency import IdempotencyStore
    from services.gateway.http.middleware.rate_limit import RateLimiter
    from services.gateway.http.versions import VersionMatrix
    from services.gateway.users import Users

log = logging.getLogger(__name__)

SWEEP_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Limits of requests. `body`: bytes; times in seconds; `proxies`: number of trusted proxies in front."""

    body: int = 65536
    body_seconds: float = 10.0
    batch: int = 50
    proxies: int = 0
    origins: tuple[str, ...] = ()
    https: bool = False


@dataclass(frozen=True, slots=True)
class TokenIssuer:
    """The gateway as the issuer of its own tokens."""

    accounts: Accounts
    keys: SigningKeys
    social: Mapping[str, SocialLogins]
    public_url: str


@dataclass(frozen=True, slots=True)
class GatewayDependencies:
    """`issuer`: None with an external issuer. `rate_limiter`: None without a limit."""

    matrix: VersionMatrix
    callers: Callers
    store: AuthStore
    tenancy: Tenancy
    idempotency: IdempotencyStore
    issuer: TokenIssuer | None = None
    shop: ShopClient | None = None
    rate_limiter: RateLimiter | None = None
    limits: RequestLimits = field(default_factory=RequestLimits)
    traces_url: str = ""
    """URL of the trace UI; empty: none."""
    public_url: str = ""
    """Where clients reach the gateway."""

    async def check_owner(self, users: TenantUsers, user_id: str, version: int) -> None:
        """Checks that the caller may change the user. Raises ApiError, StoreUnavailableError."""
        if version == 1:
            await users.admit(user_id)
            if not await self.store.has_login(canonical(user_id) or ""):
                return
        self.callers.check_owner(user_id)

    def users(self, users: Users) -> TenantUsers:
        """The users that are visible to the current caller."""
        return TenantUsers(users, self.tenancy, self.store, tenant_of(meshwright.caller()))


@contextlib.asynccontextmanager
async def sweeping(
    dependencies: GatewayDependencies, clock: Callable[[], float], interval: float = SWEEP_SECONDS
) -> AsyncIterator[None]:
    """Deletes expired rows every `interval` seconds for as long as the context lasts."""

    async def sweep() -> None:
        while True:
            with contextlib.suppress(StoreUnavailableError):
                await dependencies.store.sweep(clock())
                await dependencies.idempotency.sweep(clock())
            await asyncio.sleep(interval)

    async with background_task(sweep(), "sweeping the gateway's database"):
        yield
