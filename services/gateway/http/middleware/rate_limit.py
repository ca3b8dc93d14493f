"""Rate limiting: a token bucket for each client, reported as in draft-ietf-httpapi-ratelimit-headers.

A client is identified by its token's subject, or else by its address (IPv6: by /64). Buckets are local to a replica: N
replicas allow up to N times the rate, and no request waits for a shared counter.
"""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders

import meshwright
from services.gateway.http.problems import ProblemResponse, problem

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from meshwright.auth import Identity

MOST_CLIENTS = 10_000


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


@dataclass(frozen=True, slots=True)
class RateLimitResult:
    """Whether a request is allowed, the remaining burst, and the seconds until the next request and a full bucket."""

    allowed: bool
    remaining: int
    retry_after: float
    reset_after: float


class RateLimiter:
    """Allows each client `rate` requests a second, and `burst` at once. `clock` is monotonic."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float]) -> None:
        self.rate = rate
        self.burst = burst
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def check(self, client: str, requests: int = 1) -> RateLimitResult:
        """Takes `requests` tokens, all or none; a full bucket allows any number."""
        wanted = min(requests, self.burst)
        now = self._clock()
        bucket = self._buckets.pop(client, None) or _Bucket(self.burst, now)
        self._buckets[client] = bucket
        if len(self._buckets) > MOST_CLIENTS:
            # The least recently used bucket, which is the fullest.
            self._buckets.popitem(last=False)
        bucket.tokens = min(self.burst, bucket.tokens + (now - bucket.at) * self.rate)
        bucket.at = now
        allowed = bucket.tokens >= wanted
        if allowed:
            bucket.tokens -= wanted
        wait = max(0.0, ((1 if allowed else wanted) - bucket.tokens) / self.rate)
        return RateLimitResult(allowed, int(bucket.tokens), wait, (self.burst - bucket.tokens) / self.rate)


def address_of(scope: Scope, proxies: int) -> str:
    """The client's address: the peer's, or the one that the outermost of `proxies` proxies has recorded."""
    client = scope.get("client")
    address = client[0] if client else "unknown"
    if proxies:
        # Repeated headers are one list (RFC 9110, 5.3).
        lines = ",".join(Headers(scope=scope).getlist("x-forwarded-for"))
        chain = [part.strip() for part in lines.split(",") if part.strip()]
        if chain:
            address = chain[-min(proxies, len(chain))]
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:  # on a dual-stack socket
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def client_of(scope: Scope, proxies: int, identity: Identity | None = None) -> str:
    """Identifies a client for limits and keys. `identity`: default: the current caller."""
    identity = identity or meshwright.caller()
    return f"subject:{identity.subject}" if identity else f"address:{address_of(scope, proxies)}"


class RateLimitMiddleware:
    """ASGI middleware: rejects requests above the rate with 429 and Retry-After. `quiet`: exempt paths."""

    def __init__(self, app: ASGIApp, rate_limiter: RateLimiter, proxies: int, quiet: Collection[str]) -> None:
        self._app = app
        self._limiter = rate_limiter
        self._proxies = proxies
        self._quiet = frozenset(quiet)
        window = math.ceil(rate_limiter.burst / rate_limiter.rate)
        self._policy = f'"client";q={rate_limiter.burst};w={window}'

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self._quiet:
            await self._app(scope, receive, send)
            return
        result = self._limiter.check(client_of(scope, self._proxies))
        limit_headers = {
            "RateLimit-Policy": self._policy,
            "RateLimit": f'"client";r={result.remaining};t={math.ceil(result.reset_after)}',
        }
        if not result.allowed:
            limit_headers["Retry-After"] = str(math.ceil(result.retry_after))
            detail = f"more than {self._limiter.rate:g} requests a second"
            await ProblemResponse(problem(429, detail, scope["path"]), limit_headers)(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(limit_headers)
            await send(message)

        await self._app(scope, receive, with_headers)
