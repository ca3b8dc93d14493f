"""What a proxy changes of a message that it passes on (RFC 3261, sections 16.6, 16.7 and 16.11)."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiosipua import SipRequest, SipResponse, parse_address, parse_via

from services.voice.sip.messages import BadRequestError

if TYPE_CHECKING:
    from aiosipua import SipMessage

    from services.voice.sip.messages import Source

MAX_FORWARDS = 70
COOKIE = "z9hG4bK"


@dataclass(frozen=True, slots=True)
class Hop:
    """This proxy, as others reach it."""

    host: str
    port: int
    secret: bytes
    """Of the branches that it makes without keeping them."""

    @property
    def address(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def via(self, target: Source, branch: str) -> str:
        return f"SIP/2.0/{target.transport.upper()} {self.address};rport;branch={branch}"

    def stateless_branch(self, message: SipMessage, place: int) -> str:
        """The branch for a message whose Via at that place is the previous hop's: the same for a repetition (16.11)."""
        vias = message.get_header_values("Via")
        previous = parse_via(vias[place]).branch or "" if len(vias) > place else ""
        told = f"{previous}\0{message.call_id}".encode(errors="replace")
        return COOKIE + hmac.new(self.secret, told, hashlib.sha256).hexdigest()[:24]

    def is_own(self, route: str) -> bool:
        uri = parse_address(route).uri
        return (uri.host.strip("[]"), uri.port or 5060) == (self.host, self.port)


def forwarded(request: SipRequest, hop: Hop, target: Source, branch: str, uri: str = "") -> SipRequest:
    """The request as it goes on. Raises BadRequestError where it has gone through too many hops.

    uri: its new Request-URI; with one, it begins a call, whose further requests are to pass here as well.
    """
    made = SipRequest(method=request.method, uri=uri or request.uri, body=request.body)
    made.add_header("Via", hop.via(target, branch))
    for name, values in request.headers.items():
        if name.lower() not in {"proxy-authorization", "max-forwards", "route"}:
            for value in values:
                made.add_header(name, value)
    made.set_header("Max-Forwards", str(_hops(request)))
    for route in request.get_header_values("Route"):
        if not hop.is_own(route):
            made.add_header("Route", route)
    if uri:
        routes = made.get_header_values("Record-Route")
        made.remove_header("Record-Route")
        for route in (f"<sip:{hop.address};lr>", *routes):
            made.add_header("Record-Route", route)
    return made


def returned(response: SipResponse) -> SipResponse:
    """The response as it goes back: without this proxy's Via."""
    made = SipResponse(status_code=response.status_code, reason_phrase=response.reason_phrase, body=response.body)
    for name, values in response.headers.items():
        for value in values[1:] if name.lower() == "via" else values:
            made.add_header(name, value)
    return made


def _hops(request: SipRequest) -> int:
    hops = int(request.get_header("Max-Forwards") or MAX_FORWARDS)
    if hops <= 0:
        raise BadRequestError(483)
    return min(hops, MAX_FORWARDS) - 1
