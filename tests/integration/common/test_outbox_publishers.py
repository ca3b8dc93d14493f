"""A publisher goes by the stream's own end, also where the stream was changed from outside."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from nats.js.errors import BadRequestError

from services.common.messaging.bus import Bus, BusConfig, open_bus
from services.common.messaging.events import Event
from services.common.messaging.outbox_publisher import OutboxPublisher, StreamEmptiedError
from support.servers.nats import events_after, nats_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Log:
    """Events in memory; those after `old` are of another life than those that a log without it has."""

    def __init__(self, count: int, old: int | None = None) -> None:
        self.count = count
        self.old = count if old is None else old

    async def after(self, sequence: int, limit: int) -> Sequence[Event]:
        numbers = range(sequence + 1, min(sequence + limit, self.count) + 1)
        return [Event("shop", number, "demo.shop.Sold.v1", self.subject(number), NOW, {}) for number in numbers]

    def subject(self, number: int) -> str:
        return f"s{number}" if number <= self.old else f"new{number}"


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[Bus]:
    async with nats_server(tmp_path / "nats") as server, open_bus(BusConfig((server.url,)), "shop") as made:
        yield made


async def test_a_stray_message_at_the_end_of_a_stream_makes_nothing_be_published_again(bus: Bus) -> None:
    log = Log(2)
    publisher = OutboxPublisher(bus, "shop", log)
    assert await publisher.publish_all() == 2
    for _ in range(3):
        await bus.streams.publish("events.shop.Garbage", b"{")
    assert await publisher.publish_all() == 0
    log.count = 3
    assert await publisher.publish_all() == 1
    async with contextlib.aclosing(events_after(bus, "shop", 0)) as events:
        assert [(await anext(events))[1].sequence for _ in range(3)] == [1, 2, 3]


async def test_a_stream_that_was_emptied_is_told_of_and_one_that_was_deleted_is_filled_again(bus: Bus) -> None:
    publisher = OutboxPublisher(bus, "shop", Log(2))
    await publisher.publish_all()
    await bus.streams.purge_stream("EVENTS_SHOP")
    with pytest.raises(StreamEmptiedError, match="EVENTS_SHOP was emptied"):
        await publisher.publish_all()
    await bus.streams.delete_stream("EVENTS_SHOP")
    assert await publisher.publish_all() == 2


async def test_an_event_that_the_stream_refuses_is_no_race_that_was_lost(bus: Bus) -> None:
    class Small(Bus):
        async def ensure_stream(self, name: str, *subjects: str, **limits: Any) -> None:
            await super().ensure_stream(name, *subjects, max_msg_size=10, **limits)

    small = Small(bus.connection, BusConfig())
    with pytest.raises(BadRequestError, match="message size exceeds maximum allowed"):
        await asyncio.wait_for(OutboxPublisher(small, "shop", Log(1)).publish_all(), 5)


@pytest.mark.parametrize(
    ("log", "first"),
    [
        (Log(0, 0), None),
        (Log(1, 0), "new1"),
        (Log(3, 0), "new1"),
        (Log(200, 0), "new1"),
        (Log(150, 150), None),
        (Log(151, 150), "new151"),
        (Log(170, 150), "new151"),
        (Log(400, 150), "new151"),
    ],
)
async def test_a_log_that_was_lost_or_is_an_older_copy_is_told_from_where_it_differs(
    bus: Bus, log: Log, first: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Its numbers were given before, and so say nothing of what was told."""
    assert await OutboxPublisher(bus, "shop", Log(170)).publish_all() == 170
    publisher = OutboxPublisher(bus, "shop", log)
    told = log.count - log.old if log.count > log.old else 0
    assert await publisher.publish_all() == told
    assert len([record for record in caplog.records if "older copy" in record.getMessage()]) == 1
    log.count += 1
    log.old = min(log.old, log.count - 1)
    assert await publisher.publish_all() == 1
    assert await publisher.publish_all() == 0
    async with contextlib.aclosing(events_after(bus, "shop", 170)) as events:
        subjects = [(await anext(events))[1].subject for _ in range(told + 1)]
    assert subjects == [log.subject(number) for number in range(log.old + 1, log.count + 1)]
    assert first in {None, subjects[0]}
