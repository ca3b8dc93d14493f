"""The registrar: REGISTER by RFC 3261, section 10.3, with digest authentication (section 22, RFC 8760).

A wrong password, an unknown account and an account of another device get the same answer after the same work, so that
accounts cannot be searched for. Challenges come in the order of `Algorithm`: a device takes the first that it knows
(RFC 8760, 2.4).
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiosipua import AuthChallenge, parse_auth, stringify_auth, stringify_uri

from services.voice.domain import Contact, Registration, RegistrationRefusedError
from services.voice.sip.digest import Algorithm, Validity, credentials_of
from services.voice.sip.messages import response_to

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiosipua import SipRequest, SipResponse

    from services.voice.app import Telephony
    from services.voice.domain import Binding, Device
    from services.voice.sip.digest import Credentials, Nonces
    from services.voice.sip.guard import Guard
    from services.voice.sip.messages import Source

log = logging.getLogger(__name__)

EVERYTHING = "*"
MALFORMED_EXPIRES = 3600
"""What RFC 3261, 10.2.1.1 takes a malformed interval for, in seconds."""
_SIP = re.compile(r"\s*sips?:", re.IGNORECASE)
_SECONDS = re.compile(r"[0-9]{1,10}")
_MAX_USER_AGENT = 200
_MAX_CALL_ID = 500


@dataclass(frozen=True, slots=True)
class Clocks:
    """`wall`: seconds since 1970; `monotonic`: seconds of a clock that is never set."""

    wall: Callable[[], float]
    monotonic: Callable[[], float]


class Registrar:
    """Answers REGISTER requests. `on_failure` is called for each wrong password."""

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

    async def answer(self, request: SipRequest, source: Source) -> SipResponse:
        """The response to a well-formed REGISTER request. Raises StoreUnavailableError."""
        required = [tag for value in request.get_header_values("Require") for tag in value.split(",")]
        if required:
            return response_to(request, 420, Unsupported=", ".join(tag.strip() for tag in required))
        given = self._credentials(request)
        if given is None:
            return self._challenge(request, source)
        validity = self._nonces.validity(given.nonce, source.host, self._clocks.wall())
        if validity is not Validity.GOOD:
            return self._challenge(request, source, stale=validity is Validity.STALE)
        account = account_of(request)
        device = await self._telephony.authenticate(given, request.method)
        if device is None or device.account != account:
            return self._forbidden(request, source)
        if not self._nonces.use(given.nonce, given.count, self._clocks.wall()):
            return self._challenge(request, source, stale=True)
        self._guard.succeeded(source.host)
        return await self._registered(request, source, device)

    async def _registered(self, request: SipRequest, source: Source, device: Device) -> SipResponse:
        try:
            asked = registration_of(request, source, device.id)
            bindings = await self._telephony.register(device.account, asked)
        except RegistrationRefusedError as error:
            response = response_to(request, error.status, error.reason)
            if error.min_expires:
                response.set_header("Min-Expires", str(error.min_expires))
            return response
        if bindings is None:
            return response_to(request, 403)
        response = response_to(request, 200)
        for binding in bindings:
            response.add_header("Contact", self._contact(binding))
        return response

    def _contact(self, binding: Binding) -> str:
        return f"<{binding.contact}>;expires={self._telephony.remaining(binding)}"

    def _credentials(self, request: SipRequest) -> Credentials | None:
        """The credentials for this realm, if there are any."""
        for value in request.get_header_values("Authorization"):
            parsed = parse_auth(value, credentials=True)
            if parsed.scheme.lower() == "digest" and parsed.params.get("realm") == self._telephony.identity.realm:
                given = credentials_of(parsed.params)
                return given if given is not None and given.algorithm in self._algorithms else None
        return None

    def _challenge(self, request: SipRequest, source: Source, *, stale: bool = False) -> SipResponse:
        response = response_to(request, 401)
        nonce = self._nonces.new(source.host, self._clocks.wall())
        for algorithm in self._algorithms:
            fields = {"realm": self._telephony.identity.realm, "nonce": nonce, "qop": "auth"}
            fields |= {"algorithm": algorithm.value} | ({"stale": "true"} if stale else {})
            response.add_header("WWW-Authenticate", stringify_auth(AuthChallenge("Digest", fields)))
        return response

    def _forbidden(self, request: SipRequest, source: Source) -> SipResponse:
        self._on_failure()
        if self._guard.failed(source.host, self._clocks.monotonic()):
            log.warning("%s is banned for a time: too many wrong passwords", source.host)
        return response_to(request, 403)


def account_of(request: SipRequest) -> str:
    """The account that is registered: the user part of To."""
    to = request.to_addr
    return (to.uri.user or "").lower() if to else ""


def registration_of(request: SipRequest, source: Source, device_id: str) -> Registration:
    """What the request asks for. Raises RegistrationRefusedError."""
    sequence, call_id = request.cseq, request.call_id or ""
    values = request.get_header_values("Contact")
    everything = EVERYTHING in values
    if sequence is None or len(call_id) > _MAX_CALL_ID:
        raise RegistrationRefusedError(400, "Bad Request")
    return Registration(
        device_id=device_id,
        source=str(source),
        call_id=call_id,
        sequence=sequence.seq,
        contacts=[] if everything and len(values) == 1 else contacts_of(request),
        everything=everything,
        expires=_seconds(request.get_header("Expires")),
        user_agent=(request.get_header("User-Agent") or "")[:_MAX_USER_AGENT],
    )


def contacts_of(request: SipRequest) -> list[Contact]:
    """The contacts of a request. Without angle brackets, parameters are those of the header (RFC 3261, 20.10).

    Raises RegistrationRefusedError for a URI of another scheme, which the parser would take for a SIP URI.
    """
    found = []
    for address, value in zip(request.contact, request.get_header_values("Contact"), strict=True):
        if not _SIP.match(value.rpartition("<")[2]):
            raise RegistrationRefusedError(400, "Bad Contact")
        parameters = address.params
        if "<" not in value:
            parameters, address.uri.params = {**address.uri.params, **parameters}, {}
        expires = _seconds(parameters["expires"] or "") if "expires" in parameters else None
        found.append(Contact(stringify_uri(address.uri), expires))
    return found


def _seconds(text: str | None) -> int | None:
    """An interval; None: there is none."""
    if text is None:
        return None
    return int(text) if _SECONDS.fullmatch(text.strip()) else MALFORMED_EXPIRES
