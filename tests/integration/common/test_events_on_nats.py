"""Events go from a log to NATS once and in order, and are followed from a place that the consumer keeps."""

from __future__ import annotations

import asyncio
import contextlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from services.common.messaging.bus import BusConfig, open_bus
from services.common.messaging.event_consumer import consume_events
from services.common.messaging.events import Event, InvalidEventError, decode, encode
from services.common.messaging.outbox_publisher import OutboxPublisher
from services.common.runtime.errors import BusUnavailableError
from support.servers.nats import NatsServer, events_after, nats_server
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Log:
    """Events in memory, with gaps in their sequence."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def add(self, count: int) -> None:
        for _ in range(count):
            number = 2 * len(self.events) + 1
            self.events.append(Event("shop", number, "demo.shop.Sold.v1", f"s{number}", NOW, {"n": number}))

    async def after(self, sequence: int, limit: int) -> Sequence[Event]:
        return [event for event in self.events if event.sequence > sequence][:limit]


class Consumer:
    """Keeps its place with what it has seen, and may fail on the way."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.at = 0
        self.fails = 0

    async def place(self) -> int:
        return self.at

    async def take(self, place: int, event: Event) -> None:
        if self.fails:
            self.fails -= 1
            raise RuntimeError("not now")
        if place > self.at:
            self.at = place
            self.seen.append(event.sequence)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path / "nats") as made:
        yield made


@contextlib.asynccontextmanager
async def following(server: NatsServer, consumer: Consumer) -> AsyncIterator[None]:
    async with open_bus(BusConfig((server.url,)), "consumer") as bus:
        task = asyncio.create_task(consume_events(bus, "shop", consumer.place, consumer.take))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def test_several_publishers_of_one_log_publish_each_event_once_and_in_order(server: NatsServer) -> None:
    log = Log()
    log.add(250)
    async with contextlib.AsyncExitStack() as stack:
        publishers = []
        for name in ("a", "b", "c"):
            bus = await stack.enter_async_context(open_bus(BusConfig((server.url,)), name))
            publishers.append(OutboxPublisher(bus, "shop", log))
        counts = await asyncio.gather(*(publisher.publish_all() for publisher in publishers))
    assert sum(counts) == 250
    consumer = Consumer()
    async with following(server, consumer):
        await eventually(lambda: len(consumer.seen) == 250)
    assert consumer.seen == [event.sequence for event in log.events]


async def test_a_consumer_goes_on_where_it_was_and_is_handed_again_what_failed(server: NatsServer) -> None:
    log, consumer = Log(), Consumer()
    log.add(5)
    async with open_bus(BusConfig((server.url,)), "shop") as bus:
        publisher = OutboxPublisher(bus, "shop", log)
        async with publisher.running():
            async with following(server, consumer):
                await eventually(lambda: len(consumer.seen) == 5)
            log.add(5)
            publisher.wake()
            consumer.fails = 2
            async with following(server, consumer):
                await eventually(lambda: len(consumer.seen) == 10)
    assert consumer.seen == [event.sequence for event in log.events]


async def test_a_server_that_is_killed_and_comes_back_loses_and_doubles_nothing(server: NatsServer) -> None:
    log, consumer = Log(), Consumer()
    log.add(3)
    async with open_bus(BusConfig((server.url,)), "shop") as bus:
        publisher = OutboxPublisher(bus, "shop", log)
        async with publisher.running(), following(server, consumer):
            await eventually(lambda: len(consumer.seen) == 3)
            await server.kill()
            log.add(3)
            await eventually(lambda: not bus.connected)
            with pytest.raises(BusUnavailableError):
                await publisher.publish_all()
            await server.start()
            await eventually(lambda: len(consumer.seen) == 6, 30)
    assert consumer.seen == [event.sequence for event in log.events]


async def test_a_bus_that_is_away_from_the_start_is_waited_for(tmp_path: Path) -> None:
    server = NatsServer(tmp_path)
    log = Log()
    log.add(1)
    async with open_bus(BusConfig((server.url,)), "shop") as bus:
        assert not bus.connected
        with pytest.raises(BusUnavailableError):
            await OutboxPublisher(bus, "shop", log).publish_all()
        try:
            await server.start()
            await eventually(lambda: bus.connected)
            assert await OutboxPublisher(bus, "shop", log).publish_all() == 1
        finally:
            await server.close()


async def test_what_is_no_event_is_passed_over(server: NatsServer, caplog: pytest.LogCaptureFixture) -> None:
    async with open_bus(BusConfig((server.url,)), "shop") as bus:
        await bus.ensure_stream("EVENTS_SHOP", "events.shop.>")
        await bus.streams.publish("events.shop.Garbage", b"{")
        await bus.streams.publish("events.shop.Garbage", b'{"specversion": "0.3"}')
        log = Log()
        log.add(1)
        await OutboxPublisher(bus, "shop", log).publish_all()
        async with contextlib.aclosing(events_after(bus, "shop", 0)) as events:
            place, event = await anext(events)
    assert (place, event.sequence) == (3, 1)
    assert "message 1 of EVENTS_SHOP is skipped" in caplog.text
    assert "specversion '0.3' is not 1.0" in caplog.text


@pytest.mark.parametrize(
    "wrong",
    [
        {"subject": 5},
        {"type": ["demo.shop.Sold.v1"]},
        {"type": "Sold"},
        {"sequence": "0"},
        {"sequence": "one"},
        {"time": "2026-01-01T00:00:00"},
        {"time": 5},
        {"data": "text"},
        {"data": [1]},
        {"source": None},
    ],
)
def test_an_event_whose_parts_are_of_another_kind_is_none(wrong: dict[str, object]) -> None:
    event = Event("shop", 1, "demo.shop.Sold.v1", "s1", NOW, {"n": 1})
    assert decode(encode(event)) == event
    with pytest.raises(InvalidEventError):
        decode(json.dumps(json.loads(encode(event)) | wrong).encode())
