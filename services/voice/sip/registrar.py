"""The registrar: REGISTER by RFC 3261, section 10.3."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aiosipua import SipResponse, stringify_uri

from services.voice.domain import Contact, Registration, RegistrationRefusedError
from services.voice.sip.messages import response_to

if TYPE_CHECKING:
    from aiosipua import SipRequest

    from services.voice.app import Telephony
    from services.voice.domain import Binding, Device
    from services.voice.sip.authentication import Authenticator
    from services.voice.sip.messages import Source

EVERYTHING = "*"
MALFORMED_EXPIRES = 3600
"""What RFC 3261, 10.2.1.1 takes a malformed interval for, in seconds."""
_SIP = re.compile(r"\s*sips?:", re.IGNORECASE)
_SECONDS = re.compile(r"[0-9]{1,10}")
_MAX_USER_AGENT = 200
_MAX_CALL_ID = 500


class Registrar:
    """Answers REGISTER requests."""

    def __init__(self, telephony: Telephony, authenticator: Authenticator) -> None:
        self._telephony = telephony
        self._authenticator = authenticator

    async def answer(self, request: SipRequest, source: Source) -> SipResponse:
        """The response to a well-formed REGISTER request. Raises StoreUnavailableError."""
        required = [tag for value in request.get_header_values("Require") for tag in value.split(",")]
        if required:
            return response_to(request, 420, Unsupported=", ".join(tag.strip() for tag in required))
        device = await self._authenticator.authenticate(request, source, account_of(request))
        if isinstance(device, SipResponse):
            return device
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
