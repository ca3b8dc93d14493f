"""Spans of messages published to and consumed from NATS: OpenTelemetry's semantic conventions for messaging.

The trace of a request continues in its messages (docs/explanation/demo.md): publishing has a PRODUCER span below the
request's span, also if the event comes from an outbox; the message carries that span's context in its headers
`traceparent` and `tracestate`; consuming has a CONSUMER span below the PRODUCER span.

No trace begins here. Messages published outside of a sampled trace have no spans; nor have messages consumed more than
FRESH_SECONDS after publishing: a view rebuilt from 100,000 events joins no old trace. A large batch has one span with
links to the traces, as the conventions specify.

A span that is never ended is never exported: so a replica that loses a race for a message exports none.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from opentelemetry import context, trace
from opentelemetry.trace import Link, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
    from datetime import datetime

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

FRESH_SECONDS = 60.0
"""Maximum age of a message that joins its trace."""
SPANS_IN_BATCH = 32
"""Maximum traced messages of a batch with a span each."""
MOST_LINKS = 128
_PROPAGATOR = TraceContextTextMapPropagator()
_KEYS = ("traceparent", "tracestate")
_NOTHING: Mapping[str, str] = {}


def carrier_of(headers: Mapping[str, str] | None) -> Mapping[str, str]:
    """The trace context in a message's headers; empty without one."""
    if not headers or _KEYS[0] not in headers:
        return _NOTHING
    return {key: headers[key] for key in _KEYS if key in headers}


@dataclass(frozen=True, slots=True)
class ConsumedMessage:
    """A message as its consumer's span describes it."""

    subject: str
    carrier: Mapping[str, str]
    moment: datetime
    """When it was published."""
    message_id: str = ""
    template: str = ""
    """The subject with placeholders for variable tokens, as in `notifications.user.{user}`."""


class DeliveredMessage(Protocol):
    """A message of a stream, such as `StoredMessage`."""

    @property
    def subject(self) -> str: ...

    @property
    def carrier(self) -> Mapping[str, str]: ...

    @property
    def moment(self) -> datetime: ...


@dataclass(slots=True)
class Processing:
    """A message in processing. Its span is exported only if `counted` is set: another replica may be first."""

    counted: bool = field(default=False)


class MessageSpans:
    """Creates spans with `tracer`; none without one. `client`: this process's name in the server's monitoring."""

    def __init__(self, tracer: Tracer | None, client: str = "", clock: Callable[[], float] = time.time) -> None:
        self._tracer = tracer
        self._client = client
        self._clock = clock

    def fresh(self, moment: datetime) -> bool:
        """Whether a message of that time joins its trace."""
        return moment.timestamp() > self._clock() - FRESH_SECONDS

    @contextlib.contextmanager
    def publishing(
        self,
        subject: str,
        headers: MutableMapping[str, str],
        *,
        cause: str | None = None,
        message_id: str = "",
        template: str = "",
        size: int = 0,
        again: bool = False,
    ) -> Iterator[None]:
        """Starts the PRODUCER span of a message that is published inside; adds its context to the message's `headers`.

        `cause`: the `traceparent` of the parent; default: the current span. `again`: the caller retries, so a failure
        exports no span.
        """
        parent = context.get_current() if cause is None else _context({_KEYS[0]: cause})
        if self._tracer is None or not _sampled(parent):
            yield
            return
        attributes: dict[str, str | int] = self._attributes("send", "publish", subject, template, message_id)
        attributes["messaging.message.body.size"] = size
        span = self._tracer.start_span(f"publish {template or subject}", parent, SpanKind.PRODUCER, attributes)
        _PROPAGATOR.inject(headers, trace.set_span_in_context(span, parent))
        try:
            yield
        except Exception as error:
            if not again:
                _failed(span, error)
                span.end()
            raise
        span.end()

    @contextlib.contextmanager
    def processing(self, message: ConsumedMessage, group: str) -> Iterator[Processing]:
        """Starts the CONSUMER span of a message that is processed inside, and makes it current."""
        processing = Processing()
        parent = self._origin(message)
        if self._tracer is None or parent is None:
            yield processing
            return
        span = self._start(self._tracer, message, parent, group)
        with trace.use_span(span, end_on_exit=False, record_exception=False, set_status_on_exception=False):
            yield processing
        if processing.counted:
            span.end()

    def processed(self, messages: Sequence[ConsumedMessage], group: str, began: int, count: int = 0) -> None:
        """Records the CONSUMER spans of messages that were processed from `began` (nanoseconds since 1970) until now.

        `count`: the size of the whole batch.
        """
        if self._tracer is None:
            return
        news = [message for message in messages if message.carrier and self.fresh(message.moment)]
        # A large batch: no more messages than a span can link to.
        some = news if len(news) <= SPANS_IN_BATCH else news[:MOST_LINKS]
        found = [(message, parent) for message in some if (parent := self._origin(message)) is not None]
        if len(found) <= SPANS_IN_BATCH:
            for message, parent in found:
                self._start(self._tracer, message, parent, group, began).end()
            return
        subject = found[0][0].subject.rpartition(".")[0] + ".*"
        attributes: dict[str, str | int] = self._attributes("process", "process", subject)
        attributes["messaging.consumer.group.name"] = group
        attributes["messaging.batch.message_count"] = max(count, len(news))
        links = [Link(trace.get_current_span(parent).get_span_context()) for _, parent in found]
        self._tracer.start_span(
            f"process {subject}", context.Context(), SpanKind.CONSUMER, attributes, links, start_time=began
        ).end()

    def delivered(self, message: DeliveredMessage, group: str, began: int, template: str) -> None:
        """Records the CONSUMER span of a message that was delivered to callers."""
        if message.carrier:
            self.processed(
                [ConsumedMessage(message.subject, message.carrier, message.moment, "", template)], group, began
            )

    def _start(
        self, tracer: Tracer, message: ConsumedMessage, parent: Context, group: str, began: int | None = None
    ) -> Span:
        attributes = self._attributes("process", "process", message.subject, message.template, message.message_id)
        attributes["messaging.consumer.group.name"] = group
        name = f"process {message.template or message.subject}"
        return tracer.start_span(name, parent, SpanKind.CONSUMER, attributes, start_time=began)

    def _origin(self, message: ConsumedMessage) -> Context | None:
        """The parent of the consumer's span; None for untraced or old messages."""
        if not message.carrier or not self.fresh(message.moment):
            return None
        parent = _context(message.carrier)
        return parent if _sampled(parent) else None

    def _attributes(
        self, kind: str, operation: str, subject: str, template: str = "", message_id: str = ""
    ) -> dict[str, str | int]:
        found = {
            "messaging.system": "nats",
            "messaging.operation.type": kind,
            "messaging.operation.name": operation,
            "messaging.destination.name": subject,
            "messaging.destination.template": template,
            "messaging.message.id": message_id,
            "messaging.client.id": self._client,
        }
        return {name: value for name, value in found.items() if value}


def now_ns() -> int:
    """Nanoseconds since 1970."""
    return time.time_ns()


def _context(carrier: Mapping[str, str]) -> Context:
    return _PROPAGATOR.extract(carrier, context.Context())


def _sampled(parent: Context) -> bool:
    found = trace.get_current_span(parent).get_span_context()
    return found.is_valid and found.trace_flags.sampled


def _failed(span: Span, error: Exception) -> None:
    span.set_attribute("error.type", type(error).__name__)
    span.set_status(Status(StatusCode.ERROR, str(error) or type(error).__name__))
