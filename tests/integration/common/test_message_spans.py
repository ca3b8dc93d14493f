"""The trace of a request goes on in the messages that it causes, and nothing else joins it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from meshwright.config import ServiceConfig, load_config
from meshwright.telemetry import Telemetry
from meshwright.testing import SpanRecorder
from services.common.messaging.bus import BusConfig, open_bus
from services.common.messaging.event_consumer import consume_events
from services.common.messaging.events import Event
from services.common.messaging.message_spans import FRESH_SECONDS, SPANS_IN_BATCH, ConsumedMessage, MessageSpans, now_ns
from services.common.messaging.outbox_publisher import OutboxPublisher
from services.common.runtime.errors import BusUnavailableError
from services.common.runtime.tasks import background_task
from services.common.runtime.trace_context import current_traceparent
from support.servers.nats import NatsServer, nats_server
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from opentelemetry.sdk.trace import ReadableSpan

    from services.common.messaging.bus import Bus


class Traced:
    """A service with a bus and a log of events, whose spans are kept."""

    def __init__(self, url: str) -> None:
        self.config = BusConfig((url,))
        self.spans = SpanRecorder()
        config = load_config(ServiceConfig, {}, service="shop", version="1.0.0")
        self.telemetry = Telemetry(config, exporter=self.spans)
        self.tracer = self.telemetry.tracer
        self.events: list[Event] = []

    async def after(self, sequence: int, limit: int) -> Sequence[Event]:
        return self.events[sequence : sequence + limit]

    def sold(self, traceparent: str, at: datetime | None = None) -> None:
        number = len(self.events) + 1
        kind, at = "demo.shop.Sold.v1", at or datetime.now(UTC)
        self.events.append(Event("shop", number, kind, f"s{number}", at, {}, traceparent))

    def request(self) -> str:
        """The trace context of a request that has ended."""
        with self.tracer.start_as_current_span("request"):
            return current_traceparent()

    def of(self, kind: SpanKind) -> list[ReadableSpan]:
        return self.spans.of(kind)


@pytest.fixture
async def nats(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path / "nats") as server:
        yield server


@pytest.fixture
async def traced(nats: NatsServer) -> AsyncIterator[Traced]:
    made = Traced(nats.url)
    try:
        yield made
    finally:
        await made.telemetry.close()


class Consumer:
    """Takes events, and publishes one more for each."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.taken: list[int] = []

    async def place(self) -> int:
        return len(self.taken)

    async def take(self, at: int, event: Event) -> bool:
        if event.subject == "nothing":
            self.taken.append(at)
            return False
        await self.bus.publish("NOTES", "notes.ada", b"{}", {"Nats-Msg-Id": event.id}, template="notes.{user}")
        self.taken.append(at)
        return True


async def test_a_request_its_event_and_what_follows_from_it_are_one_trace(traced: Traced) -> None:
    traced.sold(traced.request())
    async with open_bus(traced.config, "shop-1", traced.telemetry) as bus:
        await bus.ensure_stream("NOTES", "notes.>")
        assert await OutboxPublisher(bus, "shop", traced).publish_all() == 1
        consumer = Consumer(bus)
        async with background_task(consume_events(bus, "shop", consumer.place, consumer.take, "notes"), "following"):
            await eventually(lambda: len(traced.spans.spans) == 4)
    request, told, note, took = traced.spans.spans
    line = [request, told, took, note]
    assert [span.name for span in line] == [
        "request",
        "publish events.shop.Sold",
        "process events.shop.Sold",
        "publish notes.{user}",
    ]
    assert [span.kind for span in line][1:] == [SpanKind.PRODUCER, SpanKind.CONSUMER, SpanKind.PRODUCER]
    assert len({span.context.trace_id for span in line}) == 1
    assert [span.parent.span_id for span in line[1:]] == [span.context.span_id for span in line[:-1]]
    assert {key: value for key, value in told.attributes.items() if key != "messaging.message.body.size"} == {
        "messaging.system": "nats",
        "messaging.operation.type": "send",
        "messaging.operation.name": "publish",
        "messaging.destination.name": "events.shop.Sold",
        "messaging.message.id": "shop/1",
        "messaging.client.id": "shop-1",
    }
    assert told.attributes["messaging.message.body.size"] > 100
    assert dict(took.attributes) == {
        "messaging.system": "nats",
        "messaging.operation.type": "process",
        "messaging.operation.name": "process",
        "messaging.destination.name": "events.shop.Sold",
        "messaging.message.id": "shop/1",
        "messaging.client.id": "shop-1",
        "messaging.consumer.group.name": "notes",
    }
    assert note.attributes["messaging.destination.template"] == "notes.{user}"


async def test_of_replicas_that_do_the_same_work_one_leaves_spans(traced: Traced, nats: NatsServer) -> None:
    for _ in range(20):
        traced.sold(traced.request())
    async with (
        open_bus(traced.config, "one", traced.telemetry) as one,
        open_bus(traced.config, "two", traced.telemetry) as two,
    ):
        await asyncio.gather(*(OutboxPublisher(bus, "shop", traced).publish_all() for bus in (one, two)))
    ids = [span.attributes["messaging.message.id"] for span in traced.of(SpanKind.PRODUCER)]
    assert sorted(ids) == sorted(event.id for event in traced.events)


async def test_what_is_old_unsampled_or_of_no_trace_leaves_no_spans(traced: Traced) -> None:
    old = datetime.now(UTC) - timedelta(seconds=FRESH_SECONDS + 1)
    traced.sold(traced.request(), old)
    traced.sold("")
    traced.sold(f"{traced.request()[:-2]}00")
    traced.sold("nonsense")
    async with open_bus(traced.config, "shop", traced.telemetry) as bus:
        await bus.ensure_stream("NOTES", "notes.>")
        assert await OutboxPublisher(bus, "shop", traced).publish_all() == 4
        consumer = Consumer(bus)
        async with background_task(consume_events(bus, "shop", consumer.place, consumer.take), "following"):
            await eventually(lambda: len(consumer.taken) == 4)
    assert {span.name for span in traced.spans.spans} == {"request"}


async def test_an_event_that_leads_to_nothing_leaves_no_span_of_its_consumer(traced: Traced) -> None:
    traced.sold(traced.request())
    traced.events[0] = Event("shop", 1, "demo.shop.Sold.v1", "nothing", datetime.now(UTC), {}, traced.request())
    async with open_bus(traced.config, "shop", traced.telemetry) as bus:
        await OutboxPublisher(bus, "shop", traced).publish_all()
        consumer = Consumer(bus)
        async with background_task(consume_events(bus, "shop", consumer.place, consumer.take), "following"):
            await eventually(lambda: consumer.taken)
    assert traced.of(SpanKind.PRODUCER)
    assert not traced.of(SpanKind.CONSUMER)


async def test_a_failure_is_the_requests_where_nothing_tries_again(traced: Traced, nats: NatsServer) -> None:
    async with open_bus(traced.config, "shop", traced.telemetry) as bus:
        await nats.kill()
        for again in (True, False):
            with traced.tracer.start_as_current_span("request"), pytest.raises(BusUnavailableError):
                await bus.publish("NOTES", "notes.ada", b"", again=again)
    (failed,) = traced.of(SpanKind.PRODUCER)
    assert failed.status.status_code is StatusCode.ERROR
    assert failed.attributes["error.type"]


def consumed(traced: Traced, **more: Any) -> ConsumedMessage:
    return ConsumedMessage("events.shop.Sold", {"traceparent": traced.request()}, datetime.now(UTC), **more)


async def test_a_large_batch_is_one_span_that_links_to_its_traces(traced: Traced) -> None:
    spans = MessageSpans(traced.tracer)
    few = [consumed(traced) for _ in range(SPANS_IN_BATCH)]
    spans.processed(few, "views", now_ns())
    assert len(traced.of(SpanKind.CONSUMER)) == SPANS_IN_BATCH
    traced.spans.spans.clear()
    many = [*few, consumed(traced)]
    spans.processed(many, "views", now_ns() - 10**9, 500)
    (batch,) = traced.of(SpanKind.CONSUMER)
    assert (batch.name, batch.parent) == ("process events.shop.*", None)
    assert batch.attributes["messaging.batch.message_count"] == 500
    assert [f"{link.context.trace_id:032x}" for link in batch.links] == [
        one.carrier["traceparent"].split("-")[1] for one in many
    ]
    assert batch.end_time - batch.start_time >= 10**9


async def test_nothing_is_made_without_a_tracer(traced: Traced) -> None:
    spans = MessageSpans(None)
    headers: dict[str, str] = {}
    with traced.tracer.start_as_current_span("request"), spans.publishing("s", headers):
        assert not headers
    with spans.processing(consumed(traced), "g") as processing:
        processing.counted = True
    spans.processed([consumed(traced)], "g", now_ns())
    assert {span.name for span in traced.spans.spans} == {"request"}
