"""The events of calls: published on NATS as CloudEvents, and spans of one trace.

A call's events are in its entry until the next change of it. The replica that made a change publishes them at once;
where it could not, any replica does later. The key of an event is the revision that it was written with, by which NATS
drops what is published again within DUPLICATE_SECONDS.

A call has a trace of its own, whose first span is the ring, with a link to the request that rang. The span of an event
begins where the phase began that it ends: `call accept` is the ringing, `call end` the whole conversation.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from nats.js.errors import BadRequestError
from opentelemetry import context, trace
from opentelemetry.trace import Link, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.common.messaging.events import MEDIA_TYPE, SEQUENCE_HEADER, Event, encode, stream_of, subject_of
from services.common.runtime.errors import BusUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.trace import Span, Tracer

    from services.common.messaging.bus import Bus
    from services.gateway.realtime.calls.domain import Call, CallEvent
    from services.gateway.realtime.calls.store import StoredCall

log = logging.getLogger(__name__)

SOURCE = "call"
STREAM = stream_of(SOURCE)
DUPLICATE_SECONDS = 120.0
"""JetStream's default."""
OLD_SECONDS = DUPLICATE_SECONDS - 20.0
"""Older events were published, or are lost: NATS would not know them as duplicates."""
MOST_EVENTS = 16
"""Events of one change are numbered below this."""
_REMEMBERED = 4096
_PROPAGATOR = TraceContextTextMapPropagator()

_SPANS = {
    "CallAccepted": "call accept",
    "ParticipantJoined": "call join",
    "ParticipantLeft": "call leave",
    "CallConnected": "call ice connected",
    "CallConnectionFailed": "call ice failed",
    "CallMediaStarted": "call first media",
    "CallDeclined": "call end",
    "CallBusy": "call end",
    "CallMissed": "call end",
    "CallEnded": "call end",
}


class CallEvents:
    """`tracer`: None: no spans. `clock`: seconds since 1970."""

    def __init__(self, bus: Bus, tracer: Tracer | None, clock: Callable[[], float]) -> None:
        self._bus = bus
        self._clock = clock
        self._tracer = tracer
        self._published: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._stream_made = False

    def begin(self, call: Call) -> tuple[str, Span | None]:
        """Starts the trace of a call: its traceparent, and its first span, which ends if the call rings."""
        if self._tracer is None:
            return "", None
        here = trace.get_current_span().get_span_context()
        links = [Link(here)] if here.is_valid else []
        span = self._tracer.start_span("call ring", context.Context(), SpanKind.INTERNAL, _attributes(call), links)
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, trace.set_span_in_context(span, context.Context()))
        return carrier.get("traceparent", ""), span

    def record(self, call: Call, event: CallEvent) -> None:
        """Records the span of an event."""
        name = _SPANS.get(event.name)
        if self._tracer is None or name is None or not call.traceparent:
            return
        parent = _PROPAGATOR.extract({"traceparent": call.traceparent}, context.Context())
        data = {f"call.{key}" if "." not in key else key: value for key, value in event.data.items()}
        attributes = _attributes(call) | {key: value for key, value in data.items() if value not in {"", None}}
        span = self._tracer.start_span(
            name, parent, SpanKind.INTERNAL, attributes, start_time=_nanoseconds(_phase(call, event))
        )
        if event.name == "CallConnectionFailed":
            span.set_status(Status(StatusCode.ERROR, "ICE failed"))
        span.end(_nanoseconds(event.at))

    async def publish(self, slot: str, stored: StoredCall) -> bool:
        """Publishes the events of a call's last change, once. Returns whether NATS has them."""
        key = (slot, stored.revision)
        if not stored.events or key in self._published or stored.events[0].at < self._clock() - OLD_SECONDS:
            return True
        try:
            await self._make_stream()
            for number, each in enumerate(stored.events[:MOST_EVENTS]):
                await self._publish(stored, number, each)
        except (BusUnavailableError, BadRequestError) as error:
            self._stream_made = False
            log.debug("events of a call wait: %s", error)
            return False
        self._published[key] = None
        if len(self._published) > _REMEMBERED:
            self._published.popitem(last=False)
        return True

    async def _publish(self, stored: StoredCall, number: int, each: CallEvent) -> None:
        call = stored.call
        event = Event(
            source=SOURCE,
            sequence=stored.revision * MOST_EVENTS + number,
            type=f"demo.{SOURCE}.{each.name}.v1",
            subject=call.id,
            time=datetime.fromtimestamp(each.at, UTC),
            data={"room": call.room, "caller": call.caller, "state": call.state.value, **each.data},
            traceparent=call.traceparent,
        )
        key = f"{call.id}/{event.sequence}"
        headers = {"Nats-Msg-Id": key, "Content-Type": MEDIA_TYPE, SEQUENCE_HEADER: str(event.sequence)}
        await self._bus.publish(
            STREAM, subject_of(event), encode(event), headers, cause=call.traceparent, message_id=event.id
        )

    async def _make_stream(self) -> None:
        if not self._stream_made:
            await self._bus.ensure_stream(STREAM, f"events.{SOURCE}.>")
            self._stream_made = True


def _attributes(call: Call) -> dict[str, Any]:
    return {
        "call.id": call.id,
        "call.room": call.room,
        "call.kind": "user" if call.callee else "room",
        "call.state": call.state.value,
        "enduser.id": call.caller,
    }


def _phase(call: Call, event: CallEvent) -> float:
    """When the phase began that the event ends, in seconds since 1970."""
    accepted = call.accepted_at if call.accepted_at is not None else call.rung_at
    match event.name:
        case "CallAccepted":
            return call.rung_at
        case "CallConnected" | "CallConnectionFailed":
            return accepted
        case "CallMediaStarted":
            return call.connected_at if call.connected_at is not None else accepted
        case "ParticipantJoined" | "ParticipantLeft":
            return event.at
        case _:
            return accepted


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1_000_000_000)
