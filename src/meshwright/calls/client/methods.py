"""The client's side of a call: deadline, authorization, trace and metrics around each of gRPC's multicallables.

grpc.aio's client interceptors run each call in a task of its own and answer with a substitute for the call
(docs/decisions/0031). Here the call is made at once and is gRPC's own object; a callback that gRPC runs when the call
is over, however it ends, ends the span and counts.
"""

from __future__ import annotations

import functools
import time
from random import getrandbits
from typing import TYPE_CHECKING, Any

import grpc
from opentelemetry import trace

from meshwright.calls import carried
from meshwright.calls.incoming import INCOMING, OVERDUE, RESOLUTION, earlier_deadline
from meshwright.calls.propagation import Unsampled, has_baggage, header, inject, uses_w3c
from meshwright.calls.spans import CLIENT_FAULTS, INSTANCE_KEY, VERSION_KEY, method_attributes, set_status

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Iterator

    from meshwright.calls.client.explained import Explain
    from meshwright.calls.propagation import Pair
    from meshwright.telemetry import Telemetry

_CANCELLED = grpc.StatusCode.CANCELLED
_OF_THE_CLIENT = frozenset({_CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE})
"""The statuses that a call may end with that no server has seen."""
_LOW_64 = 2**64 - 1
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class ClientCalls:
    """What all calls through one channel share.

    `target` is the service that is dialled. `timeout` is for calls that are no streams and give none, in seconds.
    `authorization`: whether the incoming call's is passed on. `explain` says why no server was reached.
    `threaded`: whether calls are made in several threads.
    """

    def __init__(
        self,
        telemetry: Telemetry,
        target: str,
        *,
        timeout: float | None = None,
        authorization: bool = True,
        explain: Explain | None = None,
        threaded: bool = False,
    ) -> None:
        self.telemetry = telemetry
        self.target = target
        self.timeout = timeout
        self.authorization = authorization
        self.explain = explain
        self.threaded = threaded
        self.reached = explain is None
        """Whether a server has answered: from then on, no call needs to be explained."""
        self.w3c = uses_w3c()
        self.carried = telemetry.config.carried_headers
        self._methods: dict[str, ClientMethod] = {}

    def method(self, name: str, *, streams: bool = False) -> ClientMethod:
        """The method `/package.Service/Method`; `streams`: whether its requests or its answers are a stream."""
        found = self._methods.get(name)
        if found is None:
            found = self._methods[name] = ClientMethod(self, name.lstrip("/"), streams=streams)
        return found


class ClientMethod:
    """One method as seen by a channel, and what of it does not change from call to call."""

    def __init__(self, calls: ClientCalls, name: str, *, streams: bool) -> None:
        self.calls = calls
        self.name = name
        self.timeout = None if streams else calls.timeout
        metrics = calls.telemetry.metrics
        counting = metrics.threaded_method if calls.threaded else metrics.method
        self.metrics = counting("client", calls.target, name)
        self.attributes = method_attributes(name) | {
            "server.address": calls.target,
            "service.peer.name": calls.target,
        }
        self._tracer = calls.telemetry.tracer
        self._sampling = calls.telemetry.sampling
        self._short_cuts = calls.w3c and self._sampling.skips_unsampled

    def begin(self, timeout: float | None, metadata: Any) -> tuple[float | None, grpc.aio.Metadata, ClientCall]:
        """The timeout in seconds, the metadata and the record of a call that is about to be made."""
        incoming = INCOMING.get()
        calls = self.calls
        timeout = self.timeout if timeout is None else timeout
        if incoming.deadline is not None:
            timeout = earlier_deadline(timeout, incoming.deadline, time.monotonic())
        if timeout is not None and timeout < RESOLUTION:
            timeout = OVERDUE
        pairs: list[Pair] = list(metadata) if metadata else []
        if calls.authorization and incoming.authorization is not None and not _has(pairs, "authorization"):
            pairs.append(("authorization", incoming.authorization))
        if calls.carried:
            carried.outgoing(pairs, calls.carried)
        return timeout, Pairs(pairs), ClientCall(self, self._trace(pairs))

    def _trace(self, pairs: list[Pair]) -> trace.Span | None:
        """Begin the span and put it into the metadata; the span, if it is recorded.

        Three short cuts for calls that will not be sampled: the parent's header goes on as it came, a parent's context
        is formatted, or an id for a trace that begins here is drawn and compared. None of them needs a span.
        """
        parent = trace.get_current_span()
        context: trace.SpanContext | None = None
        if self._short_cuts:
            if type(parent) is Unsampled:
                if not has_baggage(None):
                    pairs.append(("traceparent", parent.traceparent))
                    return None
            else:
                context = parent.get_span_context()
                if context.is_valid:
                    if not context.trace_flags.sampled and not has_baggage(context):
                        pairs.append(("traceparent", header(context)))
                        return None
                elif self._sampling.root_bound is not None:
                    trace_id = getrandbits(128)
                    if trace_id & _LOW_64 >= self._sampling.root_bound and not has_baggage(None):
                        pairs.append(("traceparent", f"00-{trace_id:032x}-{getrandbits(64):016x}-00"))
                        return None
                    self._sampling.choose(trace_id)
        return self._start(pairs)

    def _start(self, pairs: list[Pair]) -> trace.Span | None:
        span = self._tracer.start_span(self.name, kind=trace.SpanKind.CLIENT, attributes=self.attributes)
        context = span.get_span_context()
        if self.calls.w3c and context.is_valid and not has_baggage(context):
            pairs.append(("traceparent", header(context)))
        else:
            inject(pairs, span)
        return span if span.is_recording() else None


class Pairs(grpc.aio.Metadata):
    """Metadata as the pairs that they are, without the dictionary that gRPC makes of them and never asks."""

    def __init__(self, pairs: list[Pair]) -> None:
        self._pairs = pairs

    @functools.cached_property
    def _metadata(self) -> dict[str, list[str | bytes]]:
        """What the class's other methods look things up in."""
        found: dict[str, list[str | bytes]] = {}
        for key, value in self._pairs:
            found.setdefault(key, []).append(value)
        return found

    def __iter__(self) -> Iterator[Any]:
        return iter(self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)


def _has(pairs: list[Pair], name: str) -> bool:
    return any(key == name for key, _ in pairs)


class ClientCall:
    """One outgoing call."""

    __slots__ = ("_method", "_span", "_start")

    def __init__(self, method: ClientMethod, span: trace.Span | None) -> None:
        self._method = method
        self._span = span
        self._start = time.perf_counter()
        method.metrics.begin()

    def refused(self, error: BaseException) -> None:
        """gRPC would not even make the call (wrong arguments, a closed channel)."""
        self._method.metrics.end(_CANCELLED.name, "", time.perf_counter() - self._start)
        if self._span is not None:
            self._span.record_exception(error)
            set_status(self._span, _CANCELLED, str(error), CLIENT_FAULTS)
            self._span.end()

    def seconds(self) -> float:
        """How long it has taken until now."""
        return time.perf_counter() - self._start

    def end(self, call: Any) -> None:
        """gRPC says that the call is over; this is its done callback."""
        self.ended(*_outcome(call))

    def ended(self, code: grpc.StatusCode, trailers: Iterable[tuple[str, str]], message: str | None) -> None:
        """The call is over, with that status and that trailing metadata."""
        seconds = time.perf_counter() - self._start
        version = instance = ""
        for key, value in trailers:
            if key == VERSION_KEY:
                version = value
            elif key == INSTANCE_KEY:
                instance = value
        if instance or code not in _OF_THE_CLIENT:
            self._method.calls.reached = True
        self._method.metrics.end(code.name, version, seconds)
        span = self._span
        if span is None:
            return
        if instance:
            span.set_attribute("meshwright.peer.instance", instance)
            span.set_attribute("meshwright.peer.version", version)
        set_status(span, code, message or "", CLIENT_FAULTS)
        span.end()


def _outcome(call: Any) -> tuple[grpc.StatusCode, Iterable[tuple[str, str]], str | None]:
    """Status, trailing metadata and message of a call that has ended.

    gRPC's call answers each question by a coroutine that asks the one beneath it; asking that one is worth 2 % of a
    call (docs/decisions/0031). Where it is not there, the questions are asked.
    """
    beneath = getattr(call, "_cython_call", None)
    if beneath is None:
        return _now(call.code()), _now(call.trailing_metadata()), _now(call.details())
    status = _now(beneath.status())
    return _CODES[status.code()], status.trailing_metadata() or (), status.details()


def _now(answer: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that has nothing to wait for: gRPC's call has ended when we ask."""
    try:
        answer.send(None)
    except StopIteration as done:
        return done.value
    answer.close()
    raise RuntimeError("gRPC said that the call was over, and it is not")
