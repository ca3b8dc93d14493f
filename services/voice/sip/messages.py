"""What the parser leaves to its user: which requests are well formed, who sent them, and the responses to them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiosipua import SipResponse

from services.voice.sip.transactions import TransactionKey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiosipua import SipRequest

MAX_SEQUENCE = 2**31 - 1
"""RFC 3261, 8.1.1.5."""
MAX_SIZE = 64 * 1024
SERVER = "meshwright-voice"
REASONS: Mapping[int, str] = {
    100: "Trying",
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    416: "Unsupported URI Scheme",
    420: "Bad Extension",
    423: "Interval Too Brief",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    483: "Too Many Hops",
    487: "Request Terminated",
    500: "Server Internal Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    505: "Version Not Supported",
}
_WORDS = 3
"""Of a request line: method, URI and version, with one space between."""
_COPIED = ("Via", "From", "To", "Call-ID", "CSeq")
_NUMBER = re.compile(r"[0-9]{1,10}")
_METHOD = re.compile(r"[A-Za-z0-9.!%*_+`'~-]{1,64}")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a message came from."""

    transport: str
    """`udp` or `tcp`."""
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.transport} {self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Source:
        """The source that `str` wrote. Raises ValueError."""
        transport, _, address = text.partition(" ")
        host, _, port = address.rpartition(":")
        return cls(transport, host, int(port))


class BadRequestError(Exception):
    """The request is refused with a status. `reason` says why, without its contents."""

    def __init__(self, status: int, reason: str = "") -> None:
        super().__init__(reason or REASONS[status])
        self.status = status
        self.reason = str(self)


def key_of(request: SipRequest, source: Source) -> TransactionKey:
    """The transaction of a request (RFC 3261, 17.2.3). Raises BadRequestError without a usable Via.

    Senders of before RFC 3261 have no branch that identifies a transaction; what does are its headers.
    """
    vias = request.via
    if not vias or not vias[0].host:
        raise BadRequestError(400, "Bad Via")
    branch = vias[0].branch or ""
    if not branch.startswith("z9hG4bK") or branch == "z9hG4bK":
        told = [request.uri, *(request.get_header(name) or "" for name in ("From", "To", "Call-ID", "CSeq"))]
        branch = hashlib.sha256("\0".join([branch, *told]).encode(errors="replace")).hexdigest()
    return TransactionKey(branch, f"{vias[0].host}:{vias[0].port}", request.method, str(source))


def stamp(request: SipRequest, source: Source) -> None:
    """Notes in the top Via where the request came from (RFC 3261, 18.2.1; RFC 3581), whatever it says itself."""
    vias = request.via
    vias[0].params.pop("received", None)
    if "rport" in vias[0].params:
        vias[0].params["rport"] = str(source.port)
    if "rport" in vias[0].params or vias[0].host != source.host:
        vias[0].params["received"] = source.host
    request.via = vias


def check_request(request: SipRequest, start_line: str) -> None:
    """Checks what RFC 3261, 8.2 and 16.3 ask for before a request is looked at. Raises BadRequestError."""
    words = start_line.rstrip("\r\n").split(" ")
    if len(words) != _WORDS:
        raise BadRequestError(400, "Bad Request Line")
    if words[-1].upper() != "SIP/2.0":
        raise BadRequestError(505)
    if not _METHOD.fullmatch(request.method):
        raise BadRequestError(400, "Bad Method")
    for name in ("From", "To", "Call-ID", "CSeq"):
        if len(request.get_header_values(name)) != 1:
            raise BadRequestError(400, f"Needs One {name}")
    number, _, method = (request.get_header("CSeq") or "").strip().partition(" ")
    if not _NUMBER.fullmatch(number) or int(number) > MAX_SEQUENCE or method.strip() != request.method:
        raise BadRequestError(400, "Bad CSeq")
    hops = request.get_header("Max-Forwards")
    if hops is not None and not _NUMBER.fullmatch(hops.strip()):
        raise BadRequestError(400, "Bad Max-Forwards")
    if not request.uri.lower().startswith(("sip:", "sips:")):
        raise BadRequestError(416)
    if _declared_length(request) > len(request.body):
        raise BadRequestError(400, "Bad Content-Length")


def _declared_length(request: SipRequest) -> int:
    declared = (request.get_header("Content-Length") or "0").strip()
    if not _NUMBER.fullmatch(declared):
        raise BadRequestError(400, "Bad Content-Length")
    return int(declared)


def response_to(request: SipRequest, status: int, reason: str = "", **headers: str) -> SipResponse:
    """A response with the headers that 8.2.6 wants. `headers`: further ones, `_` for `-` in their names."""
    response = SipResponse(status_code=status, reason_phrase=reason or REASONS[status])
    for name in _COPIED:
        for value in request.get_header_values(name):
            response.add_header(name, value)
    to = response.get_header("To") or ""
    if to and status > 100 and not _has_tag(to):  # noqa: PLR2004
        response.set_header("To", f"{to};tag={_tag(request)}")
    response.set_header("Server", SERVER)
    for name, value in headers.items():
        response.set_header(name.replace("_", "-"), value)
    return response


def _has_tag(to: str) -> bool:
    return any(part.strip().lower().startswith("tag") for part in to.rpartition(">")[2].split(";")[1:])


def _tag(request: SipRequest) -> str:
    """The same tag for the same request, so that a repetition gets the same response."""
    told = "\0".join([*request.get_header_values("Via"), request.get_header("Call-ID") or ""])
    return hashlib.sha256(told.encode(errors="replace")).hexdigest()[:12]
