"""An OpenID Connect client: discovery and the authorization code flow.

The flow follows RFC 9700: PKCE (RFC 7636, S256), a state that the browser returns, a nonce in the ID token. The ID
token is verified like any other token; its audience is the client id.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import aiohttp

from meshwright.auth import JwtVerifier
from meshwright.errors import ServiceError
from services.gateway.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping


log = logging.getLogger(__name__)

SECONDS = 5.0
"""Timeout of requests to the issuer."""
INVALID_GRANT = "invalid_grant"
"""RFC 6749, 5.2: the code is invalid."""
_UNREADABLE = (OSError, ValueError, TypeError, KeyError, TimeoutError, aiohttp.ClientError)


@dataclass(frozen=True, slots=True)
class Provider:
    """An issuer at which the gateway is registered. `name`: part of the gateway's login URLs."""

    name: str
    issuer: str
    client_id: str
    client_secret: str = ""


@dataclass(frozen=True, slots=True)
class Discovered:
    """The issuer's discovery document."""

    authorization_endpoint: str
    token_endpoint: str
    verifier: JwtVerifier


class OidcClient:
    """Client of one issuer. `redirect_uri`: where the issuer redirects browsers to."""

    def __init__(self, provider: Provider, redirect_uri: str) -> None:
        self.provider = provider
        self._redirect_uri = redirect_uri
        self._discovered: Discovered | None = None

    async def authorization_url(self, state: str, nonce: str, verifier: str) -> str:
        """The URL of the issuer's login page. Raises ApiError."""
        found = await self._discover()
        query = {
            "response_type": "code",
            "client_id": self.provider.client_id,
            "redirect_uri": self._redirect_uri,
            "scope": "openid email profile",
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge(verifier),
            "code_challenge_method": "S256",
        }
        glue = "&" if "?" in found.authorization_endpoint else "?"
        return f"{found.authorization_endpoint}{glue}{urlencode(query)}"

    async def claims(self, code: str, nonce: str, verifier: str) -> Mapping[str, Any]:
        """Exchanges the code for an ID token, and returns its verified claims. Raises ApiError."""
        found = await self._discover()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "client_id": self.provider.client_id,
            "code_verifier": verifier,
        }
        if self.provider.client_secret:
            form["client_secret"] = self.provider.client_secret
        answer = await self._ask("POST", found.token_endpoint, form)
        try:
            identity = await found.verifier.verify(str(answer["id_token"]))
        except (ServiceError, KeyError) as error:
            raise _refused(f"{self.provider.name} gave no valid ID token") from error
        if identity.claims.get("nonce") != nonce:
            raise _refused("the ID token belongs to another login")
        return identity.claims

    async def _discover(self) -> Discovered:
        if self._discovered is None:
            provider = self.provider
            document = await self._ask("GET", f"{provider.issuer.rstrip('/')}/.well-known/openid-configuration", None)
            try:
                if document["issuer"] != provider.issuer:
                    raise self._unavailable(f"it says that it is {document['issuer']}")
                verifier = JwtVerifier(str(document["jwks_uri"]), issuer=provider.issuer, audience=provider.client_id)
                self._discovered = Discovered(
                    str(document["authorization_endpoint"]), str(document["token_endpoint"]), verifier
                )
            except _UNREADABLE as error:
                raise self._unavailable(f"its discovery document: {error!r}") from error
        return self._discovered

    async def _ask(self, method: str, url: str, form: Mapping[str, str] | None) -> dict[str, Any]:
        try:
            timeout = aiohttp.ClientTimeout(total=SECONDS)
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.request(method, url, data=form, allow_redirects=False) as response,
            ):
                document = await response.json(content_type=None)
                failed = None if response.ok else response.status
        except _UNREADABLE as error:
            raise self._unavailable(f"{url}: {error!r}") from error
        if not isinstance(document, dict):
            raise self._unavailable(f"{url} answered no JSON object")
        said = document.get("error")
        if said == INVALID_GRANT:
            raise _refused(f"{self.provider.name} does not accept the code")
        if failed is not None:
            raise self._unavailable(f"{url} answered {failed}, {said}: {document.get('error_description')}")
        return document

    def _unavailable(self, why: str) -> ApiError:
        """Creates the client's error, and logs the reason for the operator."""
        log.warning("the issuer %s cannot be used: %s", self.provider.issuer, why)
        message = f"{self.provider.name} cannot be reached now"
        return ApiError("UNAVAILABLE", message, reason="PROVIDER_UNAVAILABLE")


def challenge(verifier: str) -> str:
    """RFC 7636, 4.2."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _refused(message: str) -> ApiError:
    return ApiError("UNAUTHENTICATED", message, reason="SOCIAL_LOGIN_REFUSED")
