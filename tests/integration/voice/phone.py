"""A telephone for tests, by UDP: sends what a test gives it, authenticates by aiosipua, and keeps what it gets."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiosipua import (
    SipDigestAuth,
    SipMessage,
    SipRequest,
    SipResponse,
    build_credentials,
    generate_branch,
    parse_auth,
    stringify_auth,
    stringify_uri,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SECONDS = 30
REPEAT_SECONDS = 1.0
"""Later than T1: what a busy machine answers late is not asked for twice."""


@dataclass
class Phone(asyncio.DatagramProtocol):
    port: int
    """The exchange's."""
    account: str = "ada"
    password: str = ""
    call_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    responses: asyncio.Queue[SipResponse] = field(default_factory=asyncio.Queue)
    requests: asyncio.Queue[SipRequest] = field(default_factory=asyncio.Queue)
    transport: asyncio.DatagramTransport | None = None

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        message = SipMessage.parse(data)
        if isinstance(message, SipResponse):
            self.responses.put_nowait(message)
        else:
            self.requests.put_nowait(message)

    @property
    def own_port(self) -> int:
        assert self.transport
        return int(self.transport.get_extra_info("sockname")[1])

    @property
    def contact(self) -> str:
        return f"<sip:{self.account}@127.0.0.1:{self.own_port}>"

    def request(self, method: str = "REGISTER", **headers: str) -> SipRequest:
        """A request; `_` in the names of headers stands for `-`."""
        request = SipRequest(method=method, uri=f"sip:127.0.0.1:{self.port}")
        own = f"<sip:{self.account}@127.0.0.1>"
        request.add_header("Via", f"SIP/2.0/UDP 127.0.0.1:{self.own_port};rport;branch={generate_branch()}")
        known = {"Max_Forwards": "70", "From": f"{own};tag={self.call_id[:8]}", "To": own, "Call_ID": self.call_id}
        for name, value in {**known, "CSeq": f"{next(self.numbers)} {method}", **headers}.items():
            request.set_header(name.replace("_", "-"), value)
        return request

    def send(self, message: SipMessage | bytes) -> None:
        assert self.transport
        self.transport.sendto(bytes(message), ("127.0.0.1", self.port))

    async def ask(self, request: SipRequest) -> SipResponse:
        """The response to a request, which is repeated until it comes."""
        async with asyncio.timeout(SECONDS):
            while True:
                self.send(request)
                with contextlib.suppress(TimeoutError):
                    return await asyncio.wait_for(self._response(request), REPEAT_SECONDS)

    async def _response(self, request: SipRequest) -> SipResponse:
        while True:
            response = await self.responses.get()
            if response.via[0].branch == request.via[0].branch:
                return response

    def answering(self, challenge: SipResponse, method: str = "REGISTER", which: int = 0, **headers: str) -> SipRequest:
        """A request with credentials for a challenge, the first of several or that which is named."""
        request = self.request(method, **headers)
        told = parse_auth(challenge.get_header_values("WWW-Authenticate")[which])
        made = build_credentials(SipDigestAuth(self.account, self.password), told, method, request.uri)
        assert made is not None
        request.set_header("Authorization", stringify_auth(made))
        return request

    async def request_of(self, method: str) -> SipRequest:
        """The next request of that method that comes in; others, and repetitions of earlier ones, are dropped."""
        async with asyncio.timeout(SECONDS):
            while (request := await self.requests.get()).method != method:
                pass
            return request

    async def response_of(self, request: SipRequest, lowest: int = 200) -> SipResponse:
        """The next response to a request with that status or a higher one."""
        async with asyncio.timeout(SECONDS):
            while (response := await self._response(request)).status_code < lowest:
                pass
            return response

    def answer(self, request: SipRequest, status: int, reason: str = "Told") -> None:
        """Sends a response, with a tag and a contact of its own."""
        response = SipResponse(status_code=status, reason_phrase=reason)
        for name in ("Via", "Record-Route", "From", "To", "Call-ID", "CSeq"):
            for value in request.get_header_values(name):
                response.add_header(name, value)
        if "tag=" not in (response.get_header("To") or ""):
            response.set_header("To", f"{response.get_header('To')};tag={self.call_id[:8]}")
        response.set_header("Contact", self.contact)
        self.send(response)

    async def dial(self, name: str) -> SipRequest:
        """Sends an INVITE with credentials; what comes back to it is in `responses`."""
        to = {"To": f"<sip:{name}@127.0.0.1>", "Contact": self.contact, "Call_ID": uuid.uuid4().hex}
        first = self.request("INVITE", **to)
        first.uri = f"sip:{name}@127.0.0.1:{self.port}"
        self.send(first)
        challenge = await self.response_of(first)
        assert challenge.status_code == 407, challenge
        self.acknowledge(first, challenge)
        invite = self.request("INVITE", **to)
        invite.uri = first.uri
        told = parse_auth(challenge.get_header("Proxy-Authenticate") or "")
        made = build_credentials(SipDigestAuth(self.account, self.password), told, "INVITE", invite.uri)
        assert made is not None
        invite.set_header("Proxy-Authorization", stringify_auth(made))
        self.send(invite)
        return invite

    def acknowledge(self, invite: SipRequest, refusal: SipResponse) -> None:
        """The ACK of a refusal."""
        self.send(self.of_same_hop(invite, "ACK", refusal.get_header("To") or ""))

    def of_same_hop(self, invite: SipRequest, method: str, to: str) -> SipRequest:
        """An ACK or a CANCEL, with the INVITE's branch."""
        assert invite.cseq
        kept = {name: invite.get_header(name.replace("_", "-")) or "" for name in ("Via", "From", "Call_ID")}
        made = self.request(method, **kept, To=to, CSeq=f"{invite.cseq.seq} {method}")
        made.uri = invite.uri
        return made

    def within(self, invite: SipRequest, accepted: SipResponse, method: str) -> SipRequest:
        """A request of the caller within a call that was accepted."""
        number = f"{next(self.numbers)} {method}"
        if method == "ACK":
            assert invite.cseq
            number = f"{invite.cseq.seq} ACK"
        kept = {"From": invite.get_header("From") or "", "To": accepted.get_header("To") or "", "CSeq": number}
        made = self.request(method, **kept, Call_ID=invite.call_id or "")
        made.uri = stringify_uri(accepted.contact[0].uri)
        for route in reversed(accepted.get_header_values("Record-Route")):
            made.add_header("Route", route)
        return made

    async def register(self, which: int = 0, **headers: str) -> SipResponse:
        """The response to a REGISTER with credentials."""
        challenge = await self.ask(self.request())
        assert challenge.status_code == 401, challenge
        return await self.ask(self.answering(challenge, which=which, **{"Contact": self.contact, **headers}))


@contextlib.asynccontextmanager
async def phone(port: int, account: str = "ada", password: str = "") -> AsyncIterator[Phone]:
    made = Phone(port, account, password)
    loop = asyncio.get_running_loop()
    made.transport, _ = await loop.create_datagram_endpoint(lambda: made, local_addr=("127.0.0.1", 0))
    try:
        yield made
    finally:
        made.transport.close()
