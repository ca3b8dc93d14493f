"""The server's side of a call, wrapped around each handler once when the service is added.

grpc.aio's own server interceptors are asked anew for each call, one after the other; a wrapped handler is not. The
wrapper does, in this order: remember deadline and authorization for outgoing calls, go on with the trace, count,
verify who calls; then the handler; then map errors, end the span, count again. Health, reflection and admin services
are not wrapped: a health check each second is not worth a trace.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from typing import TYPE_CHECKING, Any

import grpc
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context

from meshwright.interceptors.errors import DETAILS_KEY, ErrorMap, Failure, describe, ended_by
from meshwright.interceptors.incoming import INCOMING, Incoming
from meshwright.interceptors.propagation import Unsampled, extract, uses_w3c
from meshwright.interceptors.spans import SERVER_FAULTS, method_attributes, set_status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from meshwright.auth import Auth
    from meshwright.telemetry import Telemetry

log = logging.getLogger(__name__)

INSTANCE_KEY = "meshwright-instance"
VERSION_KEY = "meshwright-version"
_OK = grpc.StatusCode.OK
_EMPTY = Context()


class ServerCalls:
    """What all methods of a server share."""

    def __init__(self, telemetry: Telemetry, errors: ErrorMap, auth: Auth | None = None) -> None:
        identity = telemetry.identity
        self.telemetry = telemetry
        self.errors = errors
        self.auth = auth
        self.methods: set[str] = set()
        """The methods that were wrapped, as `/package.Service/Method`."""
        self.service = identity.service
        self.version = identity.version
        self.w3c = uses_w3c()
        self.trailers: tuple[tuple[str, str], ...] = (
            (INSTANCE_KEY, identity.instance),
            (VERSION_KEY, identity.version),
        )

    def wrap(self, method: str, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
        """The handler with everything around it. `method` is `/package.Service/Method`.

        Raises TypeError for a handler that is not async.
        """
        self.methods.add(method)
        return _Method(self, method.lstrip("/")).wrap(handler)


class _Method:
    """One method of the service, and what of it does not change from call to call."""

    def __init__(self, calls: ServerCalls, name: str) -> None:
        self.calls = calls
        self.name = name
        self.metrics = calls.telemetry.metrics.method("server", calls.service, name)
        self.attributes = method_attributes(name)
        self.tracer = calls.telemetry.tracer
        self.skips_unsampled = calls.telemetry.sampling.skips_unsampled
        self.guard = None if calls.auth is None else calls.auth.guard(f"/{name}")

    def wrap(self, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
        kinds = {
            (False, False): (grpc.unary_unary_rpc_method_handler, handler.unary_unary),
            (False, True): (grpc.unary_stream_rpc_method_handler, handler.unary_stream),
            (True, False): (grpc.stream_unary_rpc_method_handler, handler.stream_unary),
            (True, True): (grpc.stream_stream_rpc_method_handler, handler.stream_stream),
        }
        make, behaviour = kinds[bool(handler.request_streaming), bool(handler.response_streaming)]
        wrapped = self._around(behaviour)
        return make(wrapped, handler.request_deserializer, handler.response_serializer)

    def _around(self, behaviour: Any) -> Callable[..., Any]:
        if inspect.isasyncgenfunction(behaviour):
            return self._around_generator(behaviour)
        if inspect.iscoroutinefunction(behaviour):
            return self._around_coroutine(behaviour)
        if getattr(behaviour, "__module__", "").endswith("_pb2_grpc"):
            return self._around_coroutine(_not_implemented)
        raise TypeError(f"{self.name}: the handler must be an async function: {behaviour!r}")

    def _around_coroutine(self, behaviour: Callable[..., Any]) -> Callable[..., Any]:
        guard = self.guard

        async def call(request: Any, context: Any) -> Any:
            ongoing = ServerCall(self, context)
            try:
                if guard is not None:
                    await guard.admit(ongoing.authorization)
                response = await behaviour(request, context)
            except BaseException as error:
                await ongoing.fail(error)
                raise
            ongoing.succeed()
            return response

        return call

    def _around_generator(self, behaviour: Callable[..., Any]) -> Callable[..., Any]:
        guard = self.guard

        async def call(request: Any, context: Any) -> AsyncIterator[Any]:
            ongoing = ServerCall(self, context)
            # A stream that is cancelled while gRPC sends a message ends outside this frame.
            context.add_done_callback(ongoing.abandon)
            try:
                if guard is not None:
                    await guard.admit(ongoing.authorization)
                async for response in behaviour(request, context):
                    yield response
            except BaseException as error:
                await ongoing.fail(error)
                raise
            ongoing.succeed()

        return call


async def _not_implemented(_request: Any, context: Any) -> None:
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, "this service does not implement the method")


class ServerCall:
    """One call that is being answered."""

    __slots__ = ("_context", "_ended", "_method", "_span", "_start", "authorization")

    def __init__(self, method: _Method, context: Any) -> None:
        self._method = method
        self._context = context
        self._ended = False
        self._start = time.perf_counter()
        method.metrics.begun += 1
        context.set_trailing_metadata(method.calls.trailers)
        traceparent = authorization = attempts = None
        plain = method.calls.w3c
        metadata: Any = context.invocation_metadata() or ()
        for key, value in metadata:
            if key == "traceparent":
                traceparent = value
            elif key == "authorization":
                authorization = value
            elif key in {"tracestate", "baggage"}:
                plain = False
            elif key == "grpc-previous-rpc-attempts":
                attempts = value
        self.authorization: str | bytes | None = authorization
        left = context.time_remaining()
        if left is not None or authorization is not None:
            INCOMING.set(Incoming(None if left is None else time.monotonic() + left, authorization))
        self._span = self._start_span(extract(metadata, traceparent, plain=plain), attempts)

    def _start_span(self, parent: trace.Span | Context | None, attempts: str | None) -> trace.Span | None:
        """Attach the trace to this task; the span, if it is recorded.

        gRPC runs each call in a task of its own, so that nothing needs to be detached.
        """
        method = self._method
        if parent is None:
            context = _EMPTY
        elif isinstance(parent, trace.Span):
            context = trace.set_span_in_context(parent, _EMPTY)
            if method.skips_unsampled and type(parent) is Unsampled:
                otel_context.attach(context)
                return None
        else:
            context = parent
        span = method.tracer.start_span(method.name, context, trace.SpanKind.SERVER, method.attributes)
        otel_context.attach(trace.set_span_in_context(span, context))
        if not span.is_recording():
            return None
        self._describe_peer(span, attempts)
        return span

    def _describe_peer(self, span: trace.Span, attempts: str | None) -> None:
        if attempts:
            span.set_attribute("rpc.grpc.previous_attempts", int(attempts))
        family, _, rest = self._context.peer().partition(":")
        host, _, port = rest.rpartition(":")
        if family in {"ipv4", "ipv6"} and port.isdigit():
            span.set_attribute("network.peer.address", host.removeprefix("%5B").removesuffix("%5D"))
            span.set_attribute("network.peer.port", int(port))

    def succeed(self) -> None:
        """The handler has returned; it may have set a status other than OK all the same."""
        if self._ended:
            return
        mine = self._method.calls.trailers
        now = self._context.trailing_metadata()
        if now is not mine:
            own = dict.fromkeys(key for key, _ in mine)
            kept = tuple(pair for pair in now or () if pair[0] not in own)
            self._context.set_trailing_metadata((*kept, *mine))
        code = self._context.code() or _OK
        message = "" if code is _OK else self._context.details() or ""
        self._ended = True
        # The answer goes out first; the books are kept while the network is at work.
        seconds, now_ns = time.perf_counter() - self._start, time.time_ns()
        asyncio.get_running_loop().call_soon(self._record, code, message, None, seconds, now_ns)

    async def fail(self, error: BaseException) -> None:
        """The handler has raised. Aborts the call with what the caller is told, unless it is over anyway."""
        gone = ended_by(error, self._context.time_remaining())
        if gone is not None:
            self._end(gone, "")
        elif isinstance(error, grpc.aio.AbortError):
            self._end(self._context.code() or grpc.StatusCode.UNKNOWN, self._context.details() or "")
        elif isinstance(error, Exception):
            failure = self._describe(error)
            self._end(failure.code, failure.message, None if failure.expected else error)
            trailers = (*self._method.calls.trailers, (DETAILS_KEY, failure.details))
            await self._context.abort(failure.code, failure.message, trailers)

    def abandon(self, context: Any) -> None:
        """gRPC says that the call is over. Nothing to do where the handler came to its end before."""
        if not self._ended:
            left = context.time_remaining()
            overdue = left is not None and left <= 0
            self._end(grpc.StatusCode.DEADLINE_EXCEEDED if overdue else grpc.StatusCode.CANCELLED, "")

    def _describe(self, error: Exception) -> Failure:
        calls = self._method.calls
        context = trace.get_current_span().get_span_context()
        trace_id = trace.format_trace_id(context.trace_id) if context.is_valid else ""
        failure = describe(error, calls.errors, calls.service, trace_id)
        if not failure.expected:
            log.error("unhandled error in %s", self._method.name, exc_info=error)
        return failure

    def _end(self, code: grpc.StatusCode, message: str, bug: Exception | None = None) -> None:
        if self._ended:  # a stream that was abandoned: its handler ends afterwards
            return
        self._ended = True
        self._record(code, message, bug, time.perf_counter() - self._start, None)

    def _record(
        self, code: grpc.StatusCode, message: str, bug: Exception | None, seconds: float, now_ns: int | None
    ) -> None:
        method = self._method
        method.metrics.end(code.name, method.calls.version, seconds)
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s: %s in %.1f ms", method.name, code.name, 1000 * seconds)
        span = self._span
        if span is not None:
            if bug is not None:
                span.record_exception(bug)
            set_status(span, code, message, SERVER_FAULTS)
            span.end(now_ns)
