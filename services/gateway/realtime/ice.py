"""`/api/v3/ice`: the STUN and TURN servers for a client's calls, with credentials of its own for the TURN servers.

The credentials are those of coturn's REST scheme (`use-auth-secret`; draft-uberti-behave-turn-rest): the user name is
`<expiry>:<user>`, the password base64 of HMAC-SHA1 over it, by a secret that gateway and TURN server share. So no
account is stored, and what leaks is of no use after its expiry. An allocation that was made in time outlives it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003 - load_config reads the annotation
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from meshwright.config import env_field
from meshwright.errors import ValidationError, Violation
from services.gateway.auth.callers import require_identity
from services.gateway.errors import ApiError
from services.gateway.http.openapi import problems

if TYPE_CHECKING:
    from collections.abc import Callable

_STUN, _TURN = ("stun:", "stuns:"), ("turn:", "turns:")


@dataclass(frozen=True, slots=True)
class IceConfig:
    """Servers for NAT traversal."""

    stun: tuple[str, ...] = env_field("GATEWAY_STUN_URLS", (), help="comma-separated; stun:host:port")
    turn: tuple[str, ...] = env_field(
        "GATEWAY_TURN_URLS", (), help="comma-separated; turn:host:port?transport=udp, turns:host:port"
    )
    secret: str = env_field("GATEWAY_TURN_SECRET", "", help="shared with the TURN servers (static-auth-secret)")
    secret_file: Path | None = env_field("GATEWAY_TURN_SECRET_FILE", None, help="a file that holds it")
    seconds: float = env_field("GATEWAY_TURN_SECONDS", 600.0, help="seconds that TURN credentials are good")
    port: int = env_field("GATEWAY_STUN_PORT", 0, help="UDP port of the gateway's own STUN server; 0: none")

    def __post_init__(self) -> None:
        problems = [
            Violation(variable, f"must list addresses that begin with {' or '.join(schemes)}: {url}")
            for variable, schemes, urls in (
                ("GATEWAY_STUN_URLS", _STUN, self.stun),
                ("GATEWAY_TURN_URLS", _TURN, self.turn),
            )
            for url in urls
            if not url.startswith(schemes)
        ]
        if not 60 <= self.seconds <= 86_400:  # noqa: PLR2004
            problems.append(Violation("GATEWAY_TURN_SECONDS", "must be from 60 to 86400"))
        if not 0 <= self.port <= 65_535:  # noqa: PLR2004
            problems.append(Violation("GATEWAY_STUN_PORT", "must be from 0 to 65535"))
        if self.secret and self.secret_file:
            problems.append(Violation("GATEWAY_TURN_SECRET", "is set, and GATEWAY_TURN_SECRET_FILE too"))
        if self.turn and not self.secret and not self.secret_file:
            problems.append(Violation("GATEWAY_TURN_SECRET", "is required where GATEWAY_TURN_URLS is set"))
        if problems:
            raise ValidationError("the environment", problems)

    def read_secret(self) -> str:
        """The secret, as it is now: a mounted file may change. Raises ApiError."""
        if self.secret_file is None:
            return self.secret
        try:
            secret = self.secret_file.read_text("utf-8").strip()
        except OSError as error:
            raise ApiError("INTERNAL", f"the TURN secret cannot be read: {error}") from error
        if not secret:
            raise ApiError("INTERNAL", f"the TURN secret in {self.secret_file} is empty")
        return secret


class IceServer(BaseModel):
    """RTCIceServer of W3C WebRTC."""

    urls: list[str] = Field(examples=[["turn:turn.example.org:3478?transport=udp"]])
    username: str | None = Field(default=None, examples=["1796119800:0197b1c2-6a7e-7c11-9d5e-0c0ffee00000"])
    credential: str | None = None


class IceServers(BaseModel):
    """What RTCPeerConnection takes as its configuration."""

    iceServers: list[IceServer]  # noqa: N815 - W3C's name
    expires_at: str = Field(description="when credentials end; ask again before the next connection")


def credentials(secret: str, user_id: str, expiry: int) -> tuple[str, str]:
    """User name and password for TURN servers. `expiry`: in seconds since 1970."""
    username = f"{expiry}:{user_id}"
    digest = hmac.new(secret.encode(), username.encode(), hashlib.sha1).digest()
    return username, base64.b64encode(digest).decode()


def stun_url(public_url: str, port: int) -> str:
    """The address of the gateway's own STUN server: the host at which clients reach the gateway."""
    host = urlsplit(public_url).hostname or "localhost"
    return f"stun:[{host}]:{port}" if ":" in host else f"stun:{host}:{port}"


def ice_router(config: IceConfig, own_stun: str, clock: Callable[[], float]) -> APIRouter:
    """`own_stun`: the gateway's own STUN server; empty: none. `clock`: seconds since 1970."""
    router = APIRouter(prefix="/api/v3", tags=["real time"])
    stun = [*([own_stun] if own_stun else []), *config.stun]

    @router.get("/ice", responses=problems(401), response_model_exclude_none=True)
    async def ice_servers(response: Response) -> IceServers:
        """The STUN and TURN servers for WebRTC calls, with short-lived credentials of the caller."""
        subject = require_identity().subject
        expiry = int(clock() + config.seconds)
        found = [IceServer(urls=stun)] if stun else []
        if config.turn:
            username, password = credentials(config.read_secret(), subject, expiry)
            found.append(IceServer(urls=list(config.turn), username=username, credential=password))
        response.headers["Cache-Control"] = "no-store"
        ends = datetime.fromtimestamp(expiry, UTC).isoformat().replace("+00:00", "Z")
        return IceServers(iceServers=found, expires_at=ends)

    return router
