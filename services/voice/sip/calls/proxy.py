"""The proxy: calls between telephones, and to extensions (RFC 3261, section 16).

An INVITE that begins a call is authenticated, and forked to where its name is reached, with transactions on both sides.
Whatever follows within the call (ACK, BYE, re-INVITE, REFER) passes without being kept: both sides have their own
timers, and repetitions pass too (16.11). It passes only between the sides of a call that is known here.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiosipua import SipResponse, parse_uri
from opentelemetry import context, trace

from services.common.runtime.errors import StoreUnavailableError
from services.common.runtime.tasks import cancel_and_wait
from services.voice.sip.calls.dialogs import MAX_SECONDS, Call, Calls, tag_of
from services.voice.sip.calls.fork import Fork
from services.voice.sip.calls.forwarding import COOKIE, Hop, forwarded, returned
from services.voice.sip.calls.invite_client import InviteClient
from services.voice.sip.calls.invite_server import FINAL, REFUSED, InviteServer
from services.voice.sip.calls.timers import TimerValues
from services.voice.sip.messages import BadRequestError, response_to

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from aiosipua import SipRequest

    from services.voice.domain import Device
    from services.voice.sip.authentication import Authenticator, Clocks
    from services.voice.sip.messages import Source
    from services.voice.sip.metrics import CallMetrics
    from services.voice.sip.transactions import TransactionKey
    from services.voice.sip.transports import Transports

RETRY_SECONDS = "5"


@dataclass(frozen=True, slots=True)
class Target:
    """Where an INVITE goes."""

    uri: str
    source: Source
    """The address that the telephone was heard from."""


@dataclass(frozen=True, slots=True)
class IncomingInvite:
    """An INVITE that begins a call."""

    request: SipRequest
    source: Source
    key: TransactionKey
    fork: Fork
    call: Call
    span: trace.Span


class Proxy:
    """Passes calls on. `route` finds where a name is reached; an empty list: nowhere."""

    def __init__(
        self,
        transports: Transports,
        hop: Hop,
        authenticator: Authenticator,
        route: Callable[[str], Awaitable[Sequence[Target]]],
        *,
        metrics: CallMetrics,
        clocks: Clocks,
        tracer: trace.Tracer,
        timers: TimerValues | None = None,
    ) -> None:
        self.calls = Calls()
        self._transports = transports
        self._hop = hop
        self._authenticator = authenticator
        self._route = route
        self._metrics = metrics
        self._clocks = clocks
        self._tracer = tracer
        self._timers = timers or TimerValues()
        self._forks: dict[TransactionKey, Fork] = {}
        self._branches: dict[str, tuple[InviteClient, IncomingInvite, Source]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def pending(self) -> int:
        """The number of INVITEs of which something may still come."""
        return len(self._forks)

    async def stop(self) -> None:
        for fork in [*self._forks.values()]:
            fork.close()
            fork.server.close()
        await cancel_and_wait(*self._tasks)

    def invite(
        self, request: SipRequest, key: TransactionKey, source: Source, reply: Callable[[SipResponse], None]
    ) -> None:
        """Takes an INVITE that begins a call, or its repetition."""
        known = self._forks.get(key)
        if known is not None:
            known.server.repeat()
            return
        now, about = self._clocks.monotonic(), {"sip.call_id": (request.call_id or "")[:200]}
        span = self._tracer.start_span("SIP INVITE", context.Context(), trace.SpanKind.SERVER, about)
        call = Call(tag_of(request.from_addr), source, trace.set_span_in_context(span), now + MAX_SECONDS)
        server = InviteServer(reply, lambda: self._forget(key), self._timers, reliable=source.transport != "udp")
        fork = Fork(request, server, lambda status: self._answered(incoming, status, now))
        incoming = IncomingInvite(request, source, key, fork, call, span)
        self._forks[key] = fork
        server.respond(response_to(request, 100))
        task = asyncio.create_task(self._begin(incoming))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def cancel(self, key: TransactionKey) -> bool:
        """Gives an INVITE up; False: there is none (RFC 3261, 9.2)."""
        fork = self._forks.get(key)
        if fork is None:
            return False
        if not fork.server.final:
            fork.cancel()
        return True

    def acknowledge(self, request: SipRequest, key: TransactionKey) -> None:
        """Takes an ACK: of a refusal for itself, of an acceptance for the other side."""
        fork = self._forks.get(key)
        if fork is not None:
            fork.server.acknowledged()
        else:
            self.within(request)

    def within(self, request: SipRequest) -> bool:
        """Passes a request on within its call; False: there is no such call. Raises BadRequestError."""
        call = self.calls.get(request.call_id or "")
        other = call.other_side(tag_of(request.from_addr), tag_of(request.to_addr)) if call else None
        if call is None or other is None:
            return False
        branch = self._hop.stateless_branch(request, 0)
        made = forwarded(request, self._hop, other, branch)
        with self._tracer.start_as_current_span(f"SIP {request.method}", call.context, trace.SpanKind.SERVER):
            self._transports.send(made, other)
        if request.method == "BYE":
            self.calls.end(request.call_id or "", self._clocks.monotonic())
        return True

    def response(self, response: SipResponse, source: Source) -> None:
        """Passes a response back, if it is to a request that was passed on here; drops it otherwise."""
        vias = response.via
        branch = vias[0].branch if vias else None
        known = self._branches.get(branch or "")
        if known is not None:
            client, incoming, target = known
            tag = tag_of(response.to_addr)
            if tag and source.host == target.host:
                incoming.call.callees.setdefault(tag, target)
            client.receive(response)
        elif len(vias) > 1 and branch == self._hop.stateless_branch(response, 1):
            self._back(response)

    def _back(self, response: SipResponse) -> None:
        """To the side that sent the request, which is named in From."""
        call, sender = self.calls.get(response.call_id or ""), tag_of(response.from_addr)
        if call is not None:
            target = call.caller if sender == call.caller_tag else call.callees.get(sender)
            if target is not None:
                self._transports.send(returned(response), target)

    async def _begin(self, incoming: IncomingInvite) -> None:
        """Authenticates the caller, and rings where the name is reached."""
        request, fork = incoming.request, incoming.fork
        try:
            caller = await self._caller(request, incoming.source)
            if isinstance(caller, SipResponse):
                fork.refuse(caller)
                return
            targets = await self._route(_name(request))
            if not targets:
                fork.refuse(response_to(request, 480))
            elif not self.calls.begin(request.call_id or "", incoming.call, self._clocks.monotonic()):
                fork.refuse(response_to(request, 503, Retry_After=RETRY_SECONDS))
            else:
                for number, target in enumerate(targets):
                    self._add_branch(incoming, target, number)
                fork.start()
        except BadRequestError as error:
            fork.refuse(response_to(request, error.status, error.reason))
        except StoreUnavailableError:
            fork.refuse(response_to(request, 503, Retry_After=RETRY_SECONDS))

    async def _caller(self, request: SipRequest, source: Source) -> Device | SipResponse:
        """The caller's device: the one that From names."""
        sender = request.from_addr
        account = (sender.uri.user or "").lower() if sender else ""
        return await self._authenticator.authenticate(request, source, account)

    def _add_branch(self, incoming: IncomingInvite, target: Target, number: int) -> None:
        told = f"{incoming.key}\0{number}\0{time.monotonic_ns()}".encode()
        branch = COOKIE + hashlib.sha256(self._hop.secret + told).hexdigest()[:24]
        made = forwarded(incoming.request, self._hop, target.source, branch, target.uri)
        span = self._tracer.start_span("SIP INVITE", incoming.call.context, trace.SpanKind.CLIENT)
        span.set_attribute("network.peer.address", target.source.host)

        def on_response(response: SipResponse | None) -> None:
            if response is None or response.status_code >= FINAL:
                span.set_attribute("sip.response.status_code", response.status_code if response else 408)
                span.end()
            incoming.fork.take(response)

        client = InviteClient(
            made,
            lambda message: self._transports.send(message, target.source),
            on_response,
            self._timers,
            reliable=target.source.transport != "udp",
        )
        self._branches[branch] = (client, incoming, target.source)
        incoming.fork.add(client)

    def _answered(self, incoming: IncomingInvite, status: int, began: float) -> None:
        """The caller has been told how its INVITE ended."""
        incoming.span.set_attribute("sip.response.status_code", status)
        incoming.span.end()
        self._metrics.ended(status, self._clocks.monotonic() - began)
        if status < REFUSED:
            incoming.call.answered = True
        elif self.calls.get(incoming.request.call_id or "") is incoming.call:
            self.calls.drop(incoming.request.call_id or "")

    def _forget(self, key: TransactionKey) -> None:
        fork = self._forks.pop(key, None)
        if fork is not None:
            self._branches = {branch: known for branch, known in self._branches.items() if known[1].fork is not fork}


def _name(request: SipRequest) -> str:
    """The user part of the Request-URI. Raises BadRequestError without one."""
    name = parse_uri(request.uri).user
    if not name:
        raise BadRequestError(404)
    return name.lower()
