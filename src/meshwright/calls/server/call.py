"""One call that is being answered, from its arrival until its status is known, counted and traced.

What is counted is what the caller sees. So a handler's error is first sent and then written down, and if it cannot be
sent, the caller has gone: its status is DEADLINE_EXCEEDED or CANCELLED, whatever became of the handler afterwards.
`asyncio.CancelledError` alone says nothing: a handler raises it, too, when it waits for a task that something else has
cancelled, and then its caller waits for an answer. gRPC cancels the task of a call whose caller has gone, and a task
knows whether it was cancelled.

A caller's deadline fires there, not here, and reaches this side as a cancellation, a little before the deadline that
this side computed: gRPC rounds a timeout up on its way (by one hundredth at most), and the way takes time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

import grpc
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context

from meshwright.calls import carried
from meshwright.calls.errors import DETAILS_KEY, describe
from meshwright.calls.incoming import INCOMING, IncomingContext
from meshwright.calls.propagation import Unsampled, extract
from meshwright.calls.server.handler_context import HandlerContext
from meshwright.calls.spans import SERVER_FAULTS, set_status

if TYPE_CHECKING:
    from meshwright.calls.server.methods import ServerMethod

log = logging.getLogger("meshwright.calls.server")

_OK = grpc.StatusCode.OK
_EMPTY = Context()
_ROUNDED = 0.01
"""The share of a timeout by which gRPC may have rounded it up."""
_ON_THE_WAY = 0.1
"""Seconds by which a cancellation may be faster than the call was, on a busy machine."""


class ServerCall:
    """One call. `begin` before the handler runs; then `succeed` or `fail`."""

    __slots__ = (
        "_ended",
        "_inner",
        "_span",
        "_start",
        "_task",
        "authorization",
        "context",
        "deadline",
        "method",
    )

    def __init__(self, method: ServerMethod, inner: Any) -> None:
        self.method = method
        self._inner = inner
        self._ended = False
        self._span: trace.Span | None = None
        self._start = time.perf_counter()
        self._task = asyncio.current_task()
        self.authorization: str | bytes | None = None
        self.deadline: float | None = None
        """On `time.perf_counter`."""
        method.metrics.begun += 1
        self.context = HandlerContext(inner, method.calls.trailers, method.write, self._task)

    @property
    def metadata(self) -> Any:
        """The call's metadata, as pairs."""
        return self._inner.invocation_metadata() or ()

    def begin(self) -> None:
        """Take over the caller's trace, deadline and authorization."""
        traceparent = attempts = None
        method = self.method
        plain = method.calls.w3c
        carries, names = False, method.calls.carried
        metadata = self.metadata
        for key, value in metadata:
            if key == "traceparent":
                traceparent = value
            elif key == "authorization":
                self.authorization = value
            elif key in {"tracestate", "baggage"}:
                plain = False
            elif key in names:
                carries = True
            elif key == "grpc-previous-rpc-attempts":
                attempts = value
        left = self._inner.time_remaining()
        if left is not None:
            self.deadline = self._start + left
            method.calls.overdue.add(self)
        if left is not None or self.authorization is not None:
            INCOMING.set(IncomingContext(None if left is None else time.monotonic() + left, self.authorization))
        parent = extract(metadata, traceparent, plain=plain)
        if carries or (names and isinstance(parent, Context)):
            parent = carried.taken(metadata, names, _context_of(parent))
        self._span = self._start_span(parent, attempts)

    def _start_span(self, parent: trace.Span | Context | None, attempts: str | None) -> trace.Span | None:
        """Attach the trace to this task; the span, if it is recorded.

        gRPC runs each call in a task of its own, so that nothing needs to be detached.
        """
        method = self.method
        context = _context_of(parent)
        if method.skips_unsampled and type(parent) is Unsampled:
            otel_context.attach(context)
            return None
        span = method.tracer.start_span(method.name, context, trace.SpanKind.SERVER, method.attributes)
        otel_context.attach(trace.set_span_in_context(span, context))
        if not span.is_recording():
            return None
        self._describe_peer(span, attempts)
        return span

    def _describe_peer(self, span: trace.Span, attempts: str | None) -> None:
        if attempts and attempts.isdigit():
            span.set_attribute("rpc.grpc.previous_attempts", int(attempts))
        family, _, rest = self._inner.peer().partition(":")
        host, _, port = rest.rpartition(":")
        if family in {"ipv4", "ipv6"} and port.isdigit():
            span.set_attribute("network.peer.address", host.removeprefix("%5B").removesuffix("%5D"))
            span.set_attribute("network.peer.port", int(port))

    async def succeed(self) -> None:
        """The handler has ended; the caller may have gone before, or the status been sent or set all the same."""
        sent = self.context.sent
        if sent is not None:
            self._end(sent.code, sent.message)
            raise sent.error
        now = time.perf_counter()
        overdue = self.deadline is not None and now >= self.deadline
        cancelled = self._task is not None and self._task.cancelling() > self.context.heard
        if overdue or (cancelled and not await self._is_heard()):
            self._end(self._gone(), "")
            return
        if self._ended:
            return
        code = self._inner.code() or _OK
        message = "" if code is _OK else self._inner.details() or ""
        self._ended = True
        self.method.calls.overdue.discard(self)
        # The answer goes out first; the books are kept while the network is at work.
        asyncio.get_running_loop().call_soon(self._record, code, message, None, now - self._start, time.time_ns())

    async def _is_heard(self) -> bool:
        """Whether a cancelled task's caller is still there: some libraries cancel tasks and never say `uncancel`."""
        try:
            await self._inner.send_initial_metadata(())
        except grpc.aio.BaseError:
            return False
        return True

    async def fail(self, error: BaseException) -> None:
        """The handler has raised. Tell the caller, write down what it was told, and raise what gRPC expects then."""
        if isinstance(error, GeneratorExit) and asyncio.current_task() is not self._task:
            self._end(self._gone(), "")  # the event loop is closed, and nothing can be awaited
            return
        bug: BaseException | None = None
        if self.context.sent is None:
            bug = await self._tell(error)
        elif not isinstance(error, grpc.aio.AbortError):
            bug = error
        if bug is not None:
            log.error("unhandled error in %s", self.method.name, exc_info=bug)
        sent = self._conclude(bug)
        if isinstance(error, KeyboardInterrupt | SystemExit):
            self.method.calls.leave(error)
        if sent is not None:
            raise sent.error from error
        raise asyncio.CancelledError from error

    def _conclude(self, bug: BaseException | None) -> Any:
        sent = self.context.sent
        if sent is None:
            self._end(self._gone(), "", bug)
        else:
            self._end(sent.code, sent.message, bug)
        return sent

    async def _tell(self, error: BaseException) -> BaseException | None:
        """Aborts with the status for `error`; returns the error if it is a bug."""
        calls = self.method.calls
        span = trace.get_current_span().get_span_context()
        trace_id = trace.format_trace_id(span.trace_id) if span.is_valid else ""
        failure = describe(error, calls.errors, calls.service, trace_id)
        bug = None if failure.expected else error
        try:
            await self.context.end(failure.code, failure.message, ((DETAILS_KEY, failure.details),))
        except grpc.aio.AbortError:
            return bug
        except (grpc.aio.BaseError, asyncio.CancelledError):
            # The caller has gone. What a handler meets then is the consequence, unless it is an error of its own.
            return None if isinstance(error, grpc.aio.BaseError | asyncio.CancelledError) else bug

    def abandon(self) -> None:
        """The deadline is over, and the handler goes on all the same."""
        self._end(grpc.StatusCode.DEADLINE_EXCEEDED, "")

    def _gone(self) -> grpc.StatusCode:
        """The status that a caller sees who has not waited for ours."""
        if self.method.calls.is_cut_off():
            return grpc.StatusCode.UNAVAILABLE
        if self.deadline is None:
            return grpc.StatusCode.CANCELLED
        timeout = self.deadline - self._start
        early = timeout * _ROUNDED + min(_ON_THE_WAY, timeout / 4)
        overdue = time.perf_counter() >= self.deadline - early
        return grpc.StatusCode.DEADLINE_EXCEEDED if overdue else grpc.StatusCode.CANCELLED

    def _end(self, code: grpc.StatusCode, message: str, bug: BaseException | None = None) -> None:
        if self._ended:  # a handler that was given up ends afterwards
            return
        self._ended = True
        self.method.calls.overdue.discard(self)
        self._record(code, message, bug, time.perf_counter() - self._start, None)

    def _record(
        self, code: grpc.StatusCode, message: str, bug: BaseException | None, seconds: float, now_ns: int | None
    ) -> None:
        method = self.method
        method.metrics.end(code.name, method.calls.version, seconds)
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s: %s in %.1f ms", method.name, code.name, 1000 * seconds)
        span = self._span
        if span is not None:
            if bug is not None:
                span.record_exception(bug)
            set_status(span, code, message, SERVER_FAULTS)
            span.end(now_ns)


def _context_of(parent: trace.Span | Context | None) -> Context:
    if isinstance(parent, trace.Span):
        return trace.set_span_in_context(parent, _EMPTY)
    return _EMPTY if parent is None else parent


class Overdue:
    """Ends the books of calls whose deadline is over, once their handlers had time to notice.

    Callers see DEADLINE_EXCEEDED at once. A handler that does not stop would be counted when it ends, or never.
    """

    EVERY = 0.25
    """Seconds from one look to the next."""
    PATIENCE = 0.1
    """Seconds after the deadline within which a handler ends its call itself."""

    def __init__(self) -> None:
        self._calls: set[ServerCall] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, call: ServerCall) -> None:
        self._calls.add(call)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.EVERY, self._look)

    def discard(self, call: ServerCall) -> None:
        self._calls.discard(call)

    def _look(self) -> None:
        until = time.perf_counter() - self.PATIENCE
        for call in [call for call in self._calls if call.deadline is not None and call.deadline < until]:
            call.abandon()
        again = bool(self._calls)
        self._timer = asyncio.get_running_loop().call_later(self.EVERY, self._look) if again else None
