"""The way of a message through signalling: guard, parser, transaction, method, response.

A message that cannot be parsed, or whose sender cannot be told, is dropped and counted. A request that is malformed
otherwise is refused, whatever its method. Everything after the parser runs in a task of its own, so that a slow
database delays no other request; with MAX_TASKS under way, further requests are dropped, and their devices repeat them.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from aiosipua import SipMessage, SipRequest, SipResponse
from opentelemetry import context, trace

from services.common.runtime.errors import StoreUnavailableError
from services.common.runtime.tasks import cancel_and_wait
from services.voice.sip.calls.dialogs import tag_of
from services.voice.sip.guard import Admission
from services.voice.sip.messages import BadRequestError, Source, check_request, key_of, response_to, stamp
from services.voice.sip.transactions import Progress, ServerTransactions
from services.voice.sip.transports import Transports

if TYPE_CHECKING:
    from services.voice.sip.authentication import Clocks
    from services.voice.sip.calls.proxy import Proxy
    from services.voice.sip.guard import Guard
    from services.voice.sip.metrics import SipMetrics
    from services.voice.sip.registrar import Registrar
    from services.voice.sip.transactions import TransactionKey

log = logging.getLogger(__name__)

MAX_TASKS = 1000
ALLOWED = "REGISTER, OPTIONS, INVITE, ACK, CANCEL, BYE"
RETRY_SECONDS = 5
_NEVER_PASSED = frozenset({"CANCEL", "REGISTER"})
_OF_CALLS = frozenset({"BYE", "CANCEL", "INFO", "INVITE", "PRACK", "REFER", "UPDATE"})
"""Outside a call there is nothing that they could be for."""
_KNOWN = frozenset(
    {"ACK", "BYE", "CANCEL", "INFO", "INVITE", "MESSAGE", "NOTIFY", "PRACK", "PUBLISH", "REFER", "UPDATE"}
)
_PARSER_ERRORS = (ValueError, IndexError, KeyError, TypeError, AttributeError)
"""What a parser of text from strangers may raise: none of it may end the service."""


class SipFront:
    """Receives messages and answers them."""

    def __init__(
        self,
        host: str,
        port: int,
        registrar: Registrar,
        guard: Guard,
        *,
        metrics: SipMetrics,
        clocks: Clocks,
        tracer: trace.Tracer,
    ) -> None:
        self.transports = Transports(host, port, self.receive)
        self._registrar = registrar
        self._guard = guard
        self._metrics = metrics
        self._clocks = clocks
        self._tracer = tracer
        self._transactions = ServerTransactions()
        self._tasks: set[asyncio.Task[None]] = set()
        self._proxy: Proxy | None = None

    @property
    def busy(self) -> int:
        """The number of requests that are being worked on."""
        return len(self._tasks)

    @property
    def transactions(self) -> int:
        """The number of transactions that are remembered."""
        return len(self._transactions)

    async def start(self) -> None:
        """Raises OSError where the port is taken."""
        # The parser warns of each message that is not well formed: a line of the log for each datagram of a stranger.
        logging.getLogger("aiosipua").setLevel(logging.ERROR)
        await self.transports.start()

    def serve_calls(self, proxy: Proxy) -> None:
        """Hands calls to the proxy; without one, there are none."""
        self._proxy = proxy

    async def stop(self) -> None:
        if self._proxy is not None:
            await self._proxy.stop()
        await self.transports.stop()
        await cancel_and_wait(*self._tasks)

    def receive(self, data: bytes, source: Source) -> None:
        """Takes a datagram, or a message of a connection."""
        if not data.strip():
            return  # keeps a way through a router open (RFC 5626, 4.4.1)
        admission = self._guard.admit(source.host, self._clocks.monotonic())
        if admission is not Admission.ADMITTED:
            self._drop(admission.value)
            return
        try:
            message = SipMessage.parse(data)
            request = message if isinstance(message, SipRequest) else None
            key = key_of(request, source) if request else None
            if request is not None:
                stamp(request, source)
        except (*_PARSER_ERRORS, BadRequestError) as error:
            log.debug("a message of %s is dropped: %r", source, error)
            self._drop("malformed")
            return
        start_line = data.partition(b"\n")[0].decode(errors="replace")
        try:
            if isinstance(message, SipResponse):
                if self._proxy is not None:
                    self._proxy.response(message, source)
            elif key is not None and not self._take_call(message, start_line, key, source) and message.method != "ACK":
                self._take(message, start_line, key, source)
        except (*_PARSER_ERRORS, BadRequestError) as error:
            log.debug("a message of %s is dropped: %r", source, error)
            self._drop("malformed")

    def _take_call(self, request: SipRequest, start_line: str, key: TransactionKey, source: Source) -> bool:
        """Takes what belongs to a call, or begins one; False: it is to be answered here."""
        proxy, within = self._proxy, bool(tag_of(request.to_addr))
        if proxy is None or request.method in _NEVER_PASSED or not (within or request.method == "INVITE"):
            return False
        try:
            check_request(request, start_line)
            if request.method == "ACK":
                proxy.acknowledge(request, replace(key, method="INVITE"))
            elif within:
                return proxy.within(request)
            else:
                proxy.invite(request, key, source, lambda response: self._reply(response, request, source))
        except BadRequestError as error:
            if request.method != "ACK":
                self._reply(response_to(request, error.status, error.reason), request, source)
                self._metrics.answered(request.method, error.status, 0.0)
        return True

    def _take(self, request: SipRequest, start_line: str, key: TransactionKey, source: Source) -> None:
        known = self._transactions.begin(key, self._clocks.monotonic())
        if isinstance(known, SipResponse):
            self._reply(known, request, source)
        elif known is Progress.NEW and len(self._tasks) >= MAX_TASKS:
            self._transactions.forget(key)
            self._drop("overload")
        elif known is Progress.NEW:
            task = asyncio.create_task(self._serve(request, start_line, key, source))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, request: SipRequest, start_line: str, key: TransactionKey, source: Source) -> None:
        began = self._clocks.monotonic()
        name, about = f"SIP {request.method[:64]}", _attributes(request, source)
        with self._tracer.start_as_current_span(name, context.Context(), trace.SpanKind.SERVER, about) as span:
            response = await self._answer(request, start_line, key, source)
            span.set_attribute("sip.response.status_code", response.status_code)
        self._transactions.complete(key, response)
        self._reply(response, request, source)
        self._metrics.answered(request.method, response.status_code, self._clocks.monotonic() - began)

    async def _answer(self, request: SipRequest, start_line: str, key: TransactionKey, source: Source) -> SipResponse:
        """The final response, whatever happens."""
        try:
            check_request(request, start_line)
            if request.method == "REGISTER":
                return await self._registrar.answer(request, source)
            if request.method == "OPTIONS":
                return response_to(request, 200, Allow=ALLOWED, Accept="application/sdp")
            return response_to(request, self._status_outside_calls(request.method, key), Allow=ALLOWED)
        except BadRequestError as error:
            return response_to(request, error.status, error.reason)
        except StoreUnavailableError:
            return response_to(request, 503, Retry_After=str(RETRY_SECONDS))
        except _PARSER_ERRORS as error:
            log.debug("a request of %s is refused: %r", source, error)
            return response_to(request, 400)

    def _status_outside_calls(self, method: str, key: TransactionKey) -> int:
        if self._proxy is not None and method in _OF_CALLS:
            cancelled = method == "CANCEL" and self._proxy.cancel(replace(key, method="INVITE"))
            return 200 if cancelled else 481
        return 405 if method in _KNOWN else 501

    def _reply(self, response: SipResponse, request: SipRequest, source: Source) -> None:
        """Sends a response back to where its request came from, and never elsewhere: a Via could name a stranger.

        Over UDP the port is that of the request if it asks for that (RFC 3581), or else the one in its Via.
        """
        via = request.via[0]
        if source.transport == "udp" and "rport" not in via.params:
            source = Source("udp", source.host, via.port or 5060)
        self.transports.send(response, source)

    def _drop(self, reason: str) -> None:
        self._metrics.dropped.labels(reason).inc()


def _attributes(request: SipRequest, source: Source) -> dict[str, str]:
    return {
        "network.transport": source.transport,
        "network.peer.address": source.host,
        "sip.request.method": request.method[:64],
        "sip.call_id": (request.call_id or "")[:200],
    }
