"""A stream is read back without consumers, and followed by one that may be lost at any time."""

from __future__ import annotations

import contextlib
import random
import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from services.common.messaging import stream_reader
from services.common.messaging.bus import Bus, BusConfig, open_bus
from services.common.messaging.ordered_consumer import OrderedConsumer
from services.common.messaging.stream_position import StreamPosition
from services.common.messaging.stream_reader import BATCH, StreamReader
from support.servers.nats import NatsServer, nats_server
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from nats.aio.msg import Msg

    from services.common.messaging.stream_reader import StoredMessage

SUBJECTS = ("t.a", "t.b", "t.c")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path / "nats") as made:
        yield made


@pytest.fixture
async def bus(server: NatsServer) -> AsyncIterator[Bus]:
    async with open_bus(BusConfig((server.url,)), "test") as opened:
        await opened.ensure_stream("T", "t.>", max_msgs_per_subject=400)
        yield opened


async def fill(bus: Bus, count: int) -> list[tuple[str, int]]:
    """Messages under random subjects; subject and number of those that are kept."""
    chosen = random.Random(7)
    said = []
    for _ in range(count):
        subject = chosen.choice(SUBJECTS)
        said.append((subject, int((await bus.streams.publish(subject, subject.encode())).seq)))
    return [
        (subject, number)
        for place, (subject, number) in enumerate(said)
        if sum(later == subject for later, _ in said[place:]) <= 400
    ]


async def test_several_subjects_are_read_as_one_sequence_between_any_two_numbers(bus: Bus) -> None:
    kept = await fill(bus, 5 * BATCH)
    reader = StreamReader(bus, "T")
    for subjects, after, until in (
        (SUBJECTS, 0, 10**6),
        (SUBJECTS, 37, 411),
        (SUBJECTS[:1], 0, 500),
        (("t.none", "t.b"), 100, 101),
        (SUBJECTS, 500, 900),
        (SUBJECTS, 50, 50),
    ):
        read = [(message.subject, message.sequence) async for message in reader.merged(subjects, after, until)]
        assert read == [
            (subject, number) for subject, number in kept if subject in subjects and after < number <= until
        ]


async def test_the_latest_of_a_subject_are_found_wherever_they_are(bus: Bus) -> None:
    kept = await fill(bus, 150)
    for _ in range(100):
        await bus.streams.publish("t.other", b"")
    await bus.streams.publish("t.a", b"")
    reader = StreamReader(bus, "T")
    mine = [number for subject, number in kept if subject == "t.a"] + [251]
    for limit in (1, 2, 7, len(mine) - 1, len(mine), len(mine) + 1, 300):
        assert [message.sequence for message in await reader.latest("t.a", limit)] == mine[-limit:]
    assert await reader.latest("t.none", 5) == ()


async def test_a_batch_begins_at_a_time_as_well(bus: Bus) -> None:
    await fill(bus, 30)
    reader = StreamReader(bus, "T")
    everything = [message async for message in reader.merged(SUBJECTS, 0, 30)]
    some = everything[17]
    batch = await reader.batch(some.subject, some.moment, 100)
    assert [each.sequence for each in batch] == [
        each.sequence for each in everything if each.subject == some.subject and each.moment >= some.moment
    ]
    assert not await reader.batch("t.a", datetime.now(UTC) + timedelta(hours=1), 1)


async def test_whether_something_is_gone_is_told_exactly_by_subject(bus: Bus) -> None:
    reader, now = StreamReader(bus, "T"), datetime.now(UTC)
    for _ in range(401):
        await bus.streams.publish("t.a", b"")
    await bus.streams.publish("t.b", b"")

    async def keeps(number: int, *subjects: str) -> bool:
        return await reader.keeps(StreamPosition(number, now), subjects, now)

    assert [await keeps(number, "t.a") for number in (0, 1, 2, 402)] == [False, False, True, True]
    assert await keeps(0, "t.b", "t.c")
    assert not await keeps(403, "t.b")
    assert not await reader.keeps(StreamPosition(402, now - timedelta(days=1)), ["t.b"], now)


async def test_a_tail_goes_on_without_loss_when_the_server_forgets_its_consumer_or_itself(
    server: NatsServer, bus: Bus
) -> None:
    await bus.streams.publish("t.a", b"before")
    got: list[StoredMessage] = []
    lost: list[bool] = []

    async def prepare() -> None:
        await bus.ensure_stream("T", "t.>", max_msgs_per_subject=400)

    tail = OrderedConsumer(bus, "T", prepare, got.append, lambda: lost.append(True))
    async with tail.running():
        assert await tail.ready(5)
        assert tail.position == 1

        async def publish() -> bool:
            await bus.streams.publish("t.a", str(len(got)).encode())
            return True

        await publish()
        await eventually(lambda: len(got) == 1)
        (consumer,) = await bus.streams.consumers_info("T")
        await bus.streams.delete_consumer("T", consumer.name)
        await publish()
        await eventually(lambda: len(got) == 2)
        await server.kill()
        await server.start()
        await eventually(publish, ignore=(Exception,))
        await eventually(lambda: len(got) == 3)
    assert [message.sequence for message in got] == [2, 3, 4]
    assert got[0].moment == (await StreamReader(bus, "T").get(2)).moment
    assert not lost


async def test_a_stream_that_has_lost_its_end_is_another_one_and_its_numbers_are_not_mistaken(
    server: NatsServer, bus: Bus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a machine without power does to what was not on the disk yet; here the disk is an older copy."""
    got: list[bytes] = []
    lost: list[bool] = []

    async def prepare() -> None: ...

    async def publish(body: bytes) -> bool:
        await bus.streams.publish("t.a", body)
        return True

    await publish(b"kept")
    await server.kill()
    shutil.copytree(server.folder / "store", tmp_path / "copy")
    await server.start()
    tail = OrderedConsumer(bus, "T", prepare, lambda message: got.append(message.body), lambda: lost.append(True))
    async with tail.running():
        assert await tail.ready(10)
        for body in (b"two", b"three"):
            await eventually(lambda body=body: publish(body), ignore=(Exception,))
        await eventually(lambda: got == [b"two", b"three"])
        seen = (await StreamReader(bus, "T").last("t.a")).position
        await server.kill()
        shutil.rmtree(server.folder / "store")
        shutil.copytree(tmp_path / "copy", server.folder / "store")
        await server.start()
        await eventually(lambda: lost, 15)
        for body in (b"new two", b"new three", b"new four"):
            await publish(body)
        await eventually(lambda: got[2:] == [b"new two", b"new three", b"new four"])
    reader, now = StreamReader(bus, "T"), datetime.now(UTC)
    monkeypatch.setattr(stream_reader, "RENUMBERED", timedelta(seconds=0.1))
    assert not await reader.keeps(seen, ["t.a"], now)
    assert await reader.keeps((await reader.last("t.a")).position, ["t.a"], now)


async def test_a_tail_hears_again_what_was_lost_on_the_way(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once in the middle, which the next message shows, and once at the end, which a heartbeat shows."""
    got: list[StoredMessage] = []
    to_lose = {3, 8}
    subscribe = bus.connection.subscribe

    async def lossy(subject: str, cb: Any) -> Any:
        async def hear(message: Msg) -> None:
            number = message.metadata.sequence.stream if message.reply else 0
            if number in to_lose:
                to_lose.remove(number)
            else:
                await cb(message)

        return await subscribe(subject, cb=hear)

    async def prepare() -> None: ...

    monkeypatch.setattr(bus.connection, "subscribe", lossy)
    tail = OrderedConsumer(bus, "T", prepare, got.append, lambda: None)
    async with tail.running():
        assert await tail.ready(5)
        await fill(bus, 8)
        await eventually(lambda: len(got) == 8)
    assert [message.sequence for message in got] == list(range(1, 9))
    assert not to_lose


async def test_what_a_tail_hears_is_what_is_read_back(bus: Bus) -> None:
    got: list[StoredMessage] = []

    async def prepare() -> None: ...

    tail = OrderedConsumer(bus, "T", prepare, got.append, lambda: None)
    async with tail.running():
        assert await tail.ready(5)
        await fill(bus, 300)
        await eventually(lambda: len(got) == 300)
    async with contextlib.aclosing(StreamReader(bus, "T").merged(SUBJECTS, 0, 300)) as read:
        back = [(each.position, each.subject, each.body) async for each in read]
    assert back == [(each.position, each.subject, each.body) for each in got]
