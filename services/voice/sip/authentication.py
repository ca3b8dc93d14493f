"""Who sends a request: digest authentication with its challenges (RFC 3261, section 22; RFC 8760).

A wrong password, an unknown account and an account of another device get the same answer after the same work, so that
accounts cannot be searched for. Challenges come in the order of the algorithms given: a device takes the first that it
knows (RFC 8760, 2.4).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiosipua import AuthChallenge, parse_auth, stringify_auth

from services.voice.sip.digest import Algorithm, Validity, credentials_of
from services.voice.sip.messages import response_to

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiosipua import SipRequest, SipResponse

    from services.voice.app import Telephony
    from services.voice.domain import Device
    from services.voice.sip.digest import Credentials, Nonces
    from services.voice.sip.guard import Guard
    from services.voice.sip.messages import Source

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Clocks:
    """`wall`: seconds since 1970; `monotonic`: seconds of a clock that is never set."""

    wall: Callable[[], float]
    monotonic: Callable[[], float]


class Authenticator:
    """Verifies credentials. `on_failure` is called for each wrong password."""

    def __init__(
        self,
        telephony: Telephony,
        nonces: Nonces,
        guard: Guard,
        *,
        clocks: Clocks,
        algorithms: Sequence[Algorithm] = tuple(Algorithm),
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self._telephony = telephony
        self._nonces = nonces
        self._guard = guard
        self._clocks = clocks
        self._algorithms = algorithms
        self._on_failure = on_failure

    async def authenticate(self, request: SipRequest, source: Source, account: str) -> Device | SipResponse:
        """The device of that account that sends the request, or the response that refuses it.

        Raises StoreUnavailableError.
        """
        given = self._credentials(request)
        if given is None:
            return self._challenge(request, source)
        validity = self._nonces.validity(given.nonce, source.host, self._clocks.wall())
        if validity is not Validity.GOOD:
            return self._challenge(request, source, stale=validity is Validity.STALE)
        device = await self._telephony.authenticate(given, request.method)
        if device is None or device.account != account:
            return self._forbidden(request, source)
        if not self._nonces.use(given.nonce, given.count, self._clocks.wall()):
            return self._challenge(request, source, stale=True)
        self._guard.succeeded(source.host)
        return device

    def _credentials(self, request: SipRequest) -> Credentials | None:
        """The credentials for this realm, if there are any."""
        for value in request.get_header_values("Authorization" if _is_own(request) else "Proxy-Authorization"):
            parsed = parse_auth(value, credentials=True)
            if parsed.scheme.lower() == "digest" and parsed.params.get("realm") == self._telephony.identity.realm:
                given = credentials_of(parsed.params)
                return given if given is not None and given.algorithm in self._algorithms else None
        return None

    def _challenge(self, request: SipRequest, source: Source, *, stale: bool = False) -> SipResponse:
        response = response_to(request, 401 if _is_own(request) else 407)
        header = "WWW-Authenticate" if _is_own(request) else "Proxy-Authenticate"
        nonce = self._nonces.new(source.host, self._clocks.wall())
        for algorithm in self._algorithms:
            fields = {"realm": self._telephony.identity.realm, "nonce": nonce, "qop": "auth"}
            fields |= {"algorithm": algorithm.value} | ({"stale": "true"} if stale else {})
            response.add_header(header, stringify_auth(AuthChallenge("Digest", fields)))
        return response

    def _forbidden(self, request: SipRequest, source: Source) -> SipResponse:
        self._on_failure()
        if self._guard.failed(source.host, self._clocks.monotonic()):
            log.warning("%s is banned for a time: too many wrong passwords", source.host)
        return response_to(request, 403)


def _is_own(request: SipRequest) -> bool:
    """Whether the request is for this server, and not to be passed on (RFC 3261, 22.2 and 22.3)."""
    return request.method == "REGISTER"
