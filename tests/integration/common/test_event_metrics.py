"""What Prometheus reads of an outbox and of a consumer, with a NATS that goes away."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry

from services.common.messaging.bus import Bus, BusConfig, open_bus
from services.common.messaging.event_consumer import consume_events
from services.common.messaging.event_metrics import EventMetrics
from services.common.messaging.events import Event
from services.common.messaging.outbox_publisher import OutboxPublisher
from services.common.runtime.errors import StoreUnavailableError
from services.common.runtime.tasks import background_task
from support.servers.nats import NatsServer, nats_server
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path


class Log:
    """Events in memory, each with the time at which it was added."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.away = False

    def add(self, age: float = 0.0) -> None:
        number = len(self.events) + 1
        moment = datetime.fromtimestamp(time.time() - age, UTC)
        self.events.append(Event("shop", number, "demo.shop.Sold.v1", f"s{number}", moment, {}))

    async def after(self, sequence: int, limit: int) -> Sequence[Event]:
        if self.away:
            raise StoreUnavailableError
        return self.events[sequence : sequence + limit]


class Page:
    """The page of one process."""

    def __init__(self, bus: Bus) -> None:
        self.registry = CollectorRegistry()
        bus.metrics = EventMetrics(self.registry)
        bus.metrics.connected.set_function(lambda: float(bus.connected))

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)

    @property
    def age(self) -> float:
        found = self.value("outbox_oldest_event_age_seconds", source="shop")
        assert found is not None
        return found


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path / "nats") as made:
        yield made


async def test_the_oldest_event_that_waits_is_as_old_as_it_is_and_nothing_waits_once_nats_is_back(
    server: NatsServer,
) -> None:
    log = Log()
    log.add(age=500)
    async with open_bus(BusConfig((server.url,)), "shop") as bus:
        page = Page(bus)
        publisher = OutboxPublisher(bus, "shop", log)
        async with publisher.running():
            await eventually(lambda: page.value("outbox_published_events_total", source="shop") == 1)
            assert page.age == 0
            await server.kill()
            await eventually(lambda: page.value("nats_connected") == 0)
            assert page.age == 0, "nothing waits yet"
            log.add(age=300)
            publisher.wake()
            await eventually(lambda: page.age >= 300)
            assert page.age < 400, "the event that was published long ago does not count"
            log.away = True
            publisher.wake()
            before = page.age
            await eventually(lambda: page.age > before, message="the age grows though the database is away as well")
            log.away = False
            await server.start()
            await eventually(lambda: page.age == 0, 30)
            assert page.value("outbox_published_events_total", source="shop") == 2
            assert page.value("nats_connected") == 1


async def test_a_publisher_that_never_saw_its_stream_counts_from_its_own_start(tmp_path: Path) -> None:
    log = Log()
    nowhere = NatsServer(tmp_path)
    async with open_bus(BusConfig((nowhere.url,)), "shop") as bus:
        page = Page(bus)
        async with OutboxPublisher(bus, "shop", log).running():
            assert page.age == 0
            log.add(age=9000)
            await eventually(lambda: page.age > 0)
            assert page.age < 60, "it may have been published by another one"


async def test_what_is_taken_in_what_fails_and_what_is_passed_over_is_counted(server: NatsServer) -> None:
    log = Log()
    place, failing = 0, True

    async def where() -> int:
        return place

    async def take(at: int, _: Event) -> bool:
        nonlocal place
        if failing:
            raise LookupError("a bug")
        place = at
        return True

    async with open_bus(BusConfig((server.url,)), "shop") as bus:
        page = Page(bus)
        following = background_task(consume_events(bus, "shop", where, take), "following")
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(following)
            await asyncio.sleep(0)
            names = ("events", "failures", "dead_letters")
            found = [page.value(f"event_consumer_{name}_total", source="shop") for name in names]
            assert found == [0, 0, 0], "an increase from nothing is none to Prometheus"
            log.add()
            assert await OutboxPublisher(bus, "shop", log).publish_all() == 1
            await eventually(lambda: page.value("event_consumer_failures_total", source="shop") == 1)
            failing = False
            await bus.streams.publish("events.shop.Garbage", b"{")
            log.add()
            assert await OutboxPublisher(bus, "shop", log).publish_all() == 1
            await eventually(lambda: page.value("event_consumer_events_total", source="shop") == 2)
            assert page.value("event_consumer_dead_letters_total", source="shop") == 1
            assert page.value("event_consumer_pending_events", source="shop") == 0
