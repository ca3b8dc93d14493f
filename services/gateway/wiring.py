"""Builds the gateway's dependencies from its configuration, for `__main__` and tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from meshwright.auth import JwtVerifier, ReadKeys
from meshwright.config import AuthConfig, env_field
from meshwright.errors import ValidationError, Violation
from services.gateway.api.dependencies import GatewayDependencies, RequestLimits, TokenIssuer
from services.gateway.auth.accounts import Accounts, TokenSettings
from services.gateway.auth.callers import AuthMode, Callers
from services.gateway.auth.domain import KeyRotation, sign_up_problems
from services.gateway.auth.oidc import OidcClient, Provider
from services.gateway.auth.passwords import Passwords
from services.gateway.auth.signing_keys import SigningKeys
from services.gateway.auth.social_login import SocialLogins
from services.gateway.auth.store import AuthStore
from services.gateway.auth.tenancy import Tenancy
from services.gateway.http.middleware.idempotency import IdempotencyStore
from services.gateway.http.middleware.rate_limit import RateLimiter
from services.gateway.http.versions import VERSIONS, VersionMatrix

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncEngine

    from services.gateway.api.orders.client import ShopClient

KEYS_READ_AGAIN = 30.0
"""Maximum age in seconds of the gateway's cached keys when it verifies tokens."""


@dataclass(frozen=True, slots=True)
class EdgeConfig:
    """Configuration of the public API."""

    public_url: str = env_field("GATEWAY_PUBLIC_URL", "http://localhost:8080", help="where clients reach the gateway")
    mode: AuthMode = env_field(
        "GATEWAY_AUTH", AuthMode.WRITES, help="from v2 on a token is needed for: open, writes, all"
    )
    access_seconds: float = env_field("GATEWAY_ACCESS_SECONDS", 300.0, help="seconds that an access token is good")
    refresh_seconds: float = env_field("GATEWAY_REFRESH_SECONDS", 2_592_000.0, help="seconds that a session may rest")
    key_seconds: float = env_field(
        "GATEWAY_KEY_SECONDS", 604_800.0, help="seconds that a key signs until the next does"
    )
    key_passphrase: str = env_field("GATEWAY_KEY_PASSPHRASE", "", help="encrypts signing keys in the database")
    operators: tuple[str, ...] = env_field(
        "GATEWAY_OPERATORS", (), help="ids of users with the admin role for all orders"
    )
    operator_password: str = env_field(
        "GATEWAY_OPERATOR_PASSWORD", "", help="of the account `operator`, an admin; empty: no such account"
    )
    social_name: str = env_field("GATEWAY_SOCIAL_NAME", "oidc", help="in the addresses of logins at the issuer below")
    social_issuer: str = env_field("GATEWAY_SOCIAL_ISSUER", "", help="an OpenID Connect issuer to sign in at")
    social_client_id: str = env_field("GATEWAY_SOCIAL_CLIENT_ID", "")
    social_client_secret: str = env_field("GATEWAY_SOCIAL_CLIENT_SECRET", "")
    sunsets: tuple[str, ...] = env_field("GATEWAY_SUNSETS", (), help="moves days, as in v1=2028-01-01,v2=2029-01-01")
    rate: float = env_field("GATEWAY_RATE", 200.0, help="requests a second for each client; 0: no limit")
    burst: int = env_field("GATEWAY_BURST", 400, help="requests at once for each client")
    proxies: int = env_field("GATEWAY_PROXIES", 0, help="proxies before the gateway that write X-Forwarded-For")
    origins: tuple[str, ...] = env_field("GATEWAY_CORS_ORIGINS", (), help="comma-separated origins of other pages")
    max_body: int = env_field("GATEWAY_MAX_BODY", 65536, help="bytes of a request's body")
    body_seconds: float = env_field("GATEWAY_BODY_SECONDS", 10.0, help="seconds that a request's body may take to come")
    header_seconds: float = env_field("GATEWAY_HEADER_SECONDS", 10.0, help="the same for its head")
    send_seconds: float = env_field(
        "GATEWAY_SEND_SECONDS", 30.0, help="seconds that answers may lie unread at a client"
    )
    max_batch: int = env_field("GATEWAY_MAX_BATCH", 50, help="requests in a batch of JSON-RPC")
    traces_url: str = env_field("GATEWAY_TRACES_URL", "", help="where people look at traces, for links to them")
    tokens: AuthConfig = field(default_factory=AuthConfig)

    def __post_init__(self) -> None:
        above = {
            "GATEWAY_ACCESS_SECONDS": self.access_seconds,
            "GATEWAY_REFRESH_SECONDS": self.refresh_seconds,
            "GATEWAY_KEY_SECONDS": self.key_seconds,
            "GATEWAY_BURST": self.burst,
            "GATEWAY_MAX_BODY": self.max_body,
            "GATEWAY_BODY_SECONDS": self.body_seconds,
            "GATEWAY_HEADER_SECONDS": self.header_seconds,
            "GATEWAY_SEND_SECONDS": self.send_seconds,
            "GATEWAY_MAX_BATCH": self.max_batch,
        }
        problems = [Violation(name, "must be above 0") for name, value in above.items() if not 0 < value < float("inf")]
        problems += [
            Violation("GATEWAY_CORS_ORIGINS", "must list origins, not *") for item in self.origins if item == "*"
        ]
        if self.operator_password and (wrong := sign_up_problems(self.operator_password, "")):
            problems.append(Violation("GATEWAY_OPERATOR_PASSWORD", wrong["password"]))
        if self.social_issuer and not self.social_client_id:
            problems.append(Violation("GATEWAY_SOCIAL_CLIENT_ID", "is required where GATEWAY_SOCIAL_ISSUER is set"))
        if problems:
            raise ValidationError("the environment", problems)

    @property
    def own_issuer(self) -> bool:
        """Whether the gateway issues the tokens: MESHWRIGHT_AUTH_ISSUER names no other issuer."""
        return self.tokens.issuer in {"", self.public_url}


def make_dependencies(
    config: EdgeConfig,
    engine: AsyncEngine,
    *,
    clock: Callable[[], float],
    monotonic: Callable[[], float],
    entropy: Callable[[int], bytes],
    shop: ShopClient | None = None,
) -> GatewayDependencies:
    """`engine`: of a database prepared by `tables.prepare`. `clock`: seconds since 1970."""
    store = AuthStore(engine)
    issuer = _issuer(config, store, clock, entropy) if config.own_issuer else None
    return GatewayDependencies(
        matrix=VersionMatrix(now=lambda: datetime.fromtimestamp(clock(), UTC), sunsets=parse_sunsets(config.sunsets)),
        callers=Callers(_verifier(config, issuer, clock), config.mode),
        store=store,
        tenancy=Tenancy(engine, clock=clock, entropy=entropy),
        idempotency=IdempotencyStore(engine),
        issuer=issuer,
        shop=shop,
        rate_limiter=RateLimiter(config.rate, config.burst, monotonic) if config.rate > 0 else None,
        limits=RequestLimits(
            body=config.max_body,
            body_seconds=config.body_seconds,
            batch=config.max_batch,
            proxies=config.proxies,
            origins=config.origins,
            https=config.public_url.startswith("https://"),
        ),
        traces_url=config.traces_url,
        public_url=config.public_url,
    )


def _issuer(
    config: EdgeConfig, store: AuthStore, clock: Callable[[], float], entropy: Callable[[int], bytes]
) -> TokenIssuer:
    # A key is published before it signs, and until its last token expires.
    announce = min(600.0, config.key_seconds / 4)
    rotation = KeyRotation(config.key_seconds, announce, config.access_seconds + announce)
    keys = SigningKeys(store, rotation, clock=clock, entropy=entropy, passphrase=config.key_passphrase)
    settings = TokenSettings(
        config.public_url,
        config.tokens.audience[0],
        config.access_seconds,
        config.refresh_seconds,
        frozenset(config.operators),
        config.operator_password,
    )
    accounts = Accounts(store, keys, Passwords(), settings, clock=clock, entropy=entropy)
    social = {}
    if config.social_issuer:
        provider = Provider(
            config.social_name, config.social_issuer, config.social_client_id, config.social_client_secret
        )
        client = OidcClient(provider, f"{config.public_url}/auth/social/{provider.name}/callback")
        social[provider.name] = SocialLogins(client, store, accounts, clock=clock, entropy=entropy)
    return TokenIssuer(accounts, keys, social, config.public_url)


def _verifier(config: EdgeConfig, issuer: TokenIssuer | None, clock: Callable[[], float]) -> JwtVerifier:
    tokens = config.tokens
    if issuer is None:
        return JwtVerifier(tokens.jwks, issuer=tokens.issuer, audience=tokens.audience, clock=clock)
    keys = ReadKeys(issuer.keys.jwks, "the gateway's own database", max_age=KEYS_READ_AGAIN, min_interval=1.0)
    return JwtVerifier(keys, issuer=config.public_url, audience=tokens.audience, clock=clock)


def parse_sunsets(items: tuple[str, ...]) -> dict[str, datetime]:
    """Parses sunset dates such as `v1=2028-01-01`; raises ValidationError."""
    known = {version.name for version in VERSIONS}
    found = {}
    for item in items:
        name, _, day = item.partition("=")
        try:
            moment = datetime.fromisoformat(day).replace(tzinfo=UTC)
        except ValueError:
            moment = None
        if name not in known or moment is None:
            raise ValidationError(
                "the environment", [Violation("GATEWAY_SUNSETS", f"is not of the form v1=2028-01-01: {item}")]
            )
        found[name] = moment
    return found
