"""The client's side of a call: deadline, authorization, trace and metrics around each of gRPC's multicallables.

grpc.aio's client interceptors run each call in a task of its own and answer with a stand-in for the call, which costs
more than the call's own work in Python does (docs/decisions/0031). Here the call is made at once and is gRPC's own
object; a callback that gRPC runs when the call is over, however it ends, ends the span and counts.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import grpc
from opentelemetry import trace

from meshwright.interceptors.incoming import INCOMING, within
from meshwright.interceptors.propagation import inject, uses_w3c
from meshwright.interceptors.server import INSTANCE_KEY, VERSION_KEY
from meshwright.interceptors.spans import CLIENT_FAULTS, method_attributes, set_status
from meshwright.telemetry.metrics import MethodMetrics

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from meshwright.interceptors.propagation import Pair
    from meshwright.telemetry import Telemetry

_CANCELLED = grpc.StatusCode.CANCELLED


class ClientCalls:
    """What all calls through one channel share.

    `target` is the service that is dialled. `timeout` is for calls that give none, in seconds. `authorization`: whether the
    incoming call's is passed on.
    """

    def __init__(
        self, telemetry: Telemetry, target: str, *, timeout: float | None = None, authorization: bool = True
    ) -> None:
        self.telemetry = telemetry
        self.target = target
        self.timeout = timeout
        self.authorization = authorization
        self.w3c = uses_w3c()
        self._methods: dict[str, ClientMethod] = {}

    def method(self, name: str) -> ClientMethod:
        """The method `/package.Service/Method`."""
        found = self._methods.get(name)
        if found is None:
            found = self._methods[name] = ClientMethod(self, name.lstrip("/"))
        return found


class ClientMethod:
    """One method as seen by a channel, and what of it does not change from call to call."""

    def __init__(self, calls: ClientCalls, name: str) -> None:
        self.calls = calls
        self.name = name
        self.metrics = MethodMetrics(calls.telemetry.metrics, "client", calls.target, name)
        self.attributes = method_attributes(name) | {
            "server.address": calls.target,
            "service.peer.name": calls.target,
        }
        self._tracer = calls.telemetry.tracer
        self._skips_unsampled = calls.telemetry.skips_unsampled

    def begin(self, timeout: float | None, metadata: Any) -> tuple[float | None, grpc.aio.Metadata, ClientCall]:
        """What a call is made with, and the object to hand it to when it is made."""
        incoming = INCOMING.get()
        calls = self.calls
        timeout = calls.timeout if timeout is None else timeout
        if incoming.deadline is not None:
            timeout = within(timeout, incoming.deadline, time.monotonic())
        pairs: list[Pair] = list(metadata) if metadata else []
        if calls.authorization and incoming.authorization is not None and not _has(pairs, "authorization"):
            pairs.append(("authorization", incoming.authorization))
        span = self._start_span()
        inject(pairs, span, w3c=calls.w3c)
        recorded = span if span.is_recording() else None
        return timeout, grpc.aio.Metadata(*pairs), ClientCall(self, recorded)

    def _start_span(self) -> trace.Span:
        parent = trace.get_current_span()
        if self._skips_unsampled:
            context = parent.get_span_context()
            if context.is_valid and not context.trace_flags.sampled:
                return trace.NonRecordingSpan(context)
        return self._tracer.start_span(self.name, kind=trace.SpanKind.CLIENT, attributes=self.attributes)


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

    def follow(self, call: Any) -> None:
        """End with that call, however it ends."""
        call.add_done_callback(self._end)

    def refused(self, error: BaseException) -> None:
        """gRPC would not even make the call (wrong arguments, a closed channel)."""
        self._method.metrics.end(_CANCELLED.name, "", time.perf_counter() - self._start)
        if self._span is not None:
            self._span.record_exception(error)
            set_status(self._span, _CANCELLED, str(error), CLIENT_FAULTS)
            self._span.end()

    def _end(self, call: Any) -> None:
        seconds = time.perf_counter() - self._start
        code = _now(call.code())
        version = instance = ""
        for key, value in _now(call.trailing_metadata()):
            if key == VERSION_KEY:
                version = value
            elif key == INSTANCE_KEY:
                instance = value
        self._method.metrics.end(code.name, version, seconds)
        span = self._span
        if span is None:
            return
        if instance:
            span.set_attribute("meshwright.peer.instance", instance)
            span.set_attribute("meshwright.peer.version", version)
        set_status(span, code, _now(call.details()) or "", CLIENT_FAULTS)
        span.end()


def _now(answer: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that has nothing to wait for: gRPC's call has ended when we ask."""
    try:
        answer.send(None)
    except StopIteration as done:
        return done.value
    answer.close()
    raise RuntimeError("gRPC said that the call was over, and it is not")
