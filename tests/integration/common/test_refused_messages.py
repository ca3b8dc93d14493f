"""A NATS that takes no messages though it answers, as after a full disk, is told from one that is away."""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from services.common.messaging import bus as bus_module
from services.common.messaging.bus import Bus, BusConfig, open_bus
from services.common.messaging.events import Event
from services.common.messaging.ordered_consumer import OrderedConsumer
from services.common.messaging.outbox_publisher import OutboxPublisher
from services.common.runtime.errors import BusUnavailableError
from services.common.runtime.tasks import background_task
from support.servers.nats import NatsServer, nats_server
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from services.common.messaging.stream_reader import StoredMessage

BODY = b"x" * 20_000


class Log:
    """Events in memory, of which each is large."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.sell(10)

    def sell(self, count: int) -> None:
        for number in range(len(self.events) + 1, len(self.events) + count + 1):
            data = {"text": "x" * 20_000}
            self.events.append(Event("shop", number, "demo.shop.Sold.v1", f"s{number}", datetime.now(UTC), data))

    async def after(self, sequence: int, limit: int) -> Sequence[Event]:
        return self.events[sequence : sequence + limit]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 4 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or not shutil.which("mount") or subprocess.run(command, check=False).returncode:
        pytest.skip("a small disk takes a mount, which only root may make")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus_module, "ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(bus_module, "PROBE_SECONDS", 0.2)


class Chat:
    """A stream, its tail, and what is told of it."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.heard: list[StoredMessage] = []
        self.told: list[Mapping[str, str]] = []
        bus.refusals.listen(self.told.append)
        self.tail = OrderedConsumer(bus, "TALK", self.prepare, self.heard.append, lambda: None)

    async def prepare(self) -> None:
        await self.bus.ensure_stream("TALK", "talk.>")

    async def say(self) -> bool:
        try:
            await self.bus.publish("TALK", "talk.hall", BODY)
        except BusUnavailableError:
            return False
        return True

    async def fill(self) -> int:
        count = 0
        while await self.say():
            count += 1
        return count


async def test_a_full_disk_is_told_of_and_nothing_is_lost(
    tmp_path: Path, small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = NatsServer(tmp_path / "nats")
    server.store = small_disk / "store"
    try:
        await server.start()
        async with open_bus(BusConfig((server.url,)), "test") as bus:
            chat, log = Chat(bus), Log()
            publisher = OutboxPublisher(bus, "shop", log)
            await chat.prepare()
            await bus.ensure_stream("EVENTS_SHOP", "events.shop.>")
            async with (
                chat.tail.running(),
                background_task(bus.probe("TALK", "talk.probe"), "probing"),
                publisher.running(),
            ):
                await eventually(lambda: chat.tail.hearing)
                await eventually(lambda: told(bus, 10))
                filler = small_disk / "filler"
                with filler.open("wb", buffering=0) as file:
                    fill(file.fileno())
                said = await chat.fill()
                await eventually(lambda: chat.told and "TALK" in chat.told[-1], 20)
                assert "answers no publish, though the server answers" in chat.told[-1]["TALK"]
                assert "free space on its disk, then restart it" in chat.told[-1]["TALK"]
                log.sell(5)
                publisher.wake()
                await eventually(lambda: set(chat.told[-1]) == {"TALK", "EVENTS_SHOP"}, 20)
                # Space alone does not help: this is why it must be reported.
                filler.unlink()
                assert not await chat.say()
                await server.kill()
                await server.start()
                await eventually(lambda: not bus.refusals, 20)
                assert await chat.say()
                await eventually(lambda: len(chat.heard) == said + 1)
                await eventually(lambda: told(bus, 15))
        errors = [record.getMessage() for record in caplog.records if "NATS refuses messages" in record.getMessage()]
        assert len(errors) == len(set(errors))
    finally:
        await server.close()


async def told(bus: Bus, count: int) -> bool:
    return (await bus.streams.stream_info("EVENTS_SHOP")).state.messages == count


def fill(file: int) -> None:
    """Write until the disk is full."""
    try:
        while True:
            os.write(file, b"x" * 4096)
    except OSError:
        pass


async def test_a_storage_limit_is_told_of_until_there_is_room_again(tmp_path: Path) -> None:
    async with nats_server(tmp_path / "nats") as server:
        server.config = tmp_path / "nats.conf"
        server.config.write_text("jetstream { max_file_store: 300000 }\n")
        await server.kill()
        await server.start()
        async with open_bus(BusConfig((server.url,)), "test") as bus:
            chat = Chat(bus)
            await chat.prepare()
            async with chat.tail.running(), background_task(bus.probe("TALK", "talk.probe"), "probing"):
                await eventually(lambda: chat.tail.hearing)
                said = await chat.fill()
                assert said > 5
                assert "insufficient resources" in chat.told[-1]["TALK"]
                await bus.streams.purge_stream("TALK")
                await eventually(lambda: not bus.refusals, 20)
                assert chat.told[-1] == {}
                assert await chat.say()
                await eventually(lambda: len(chat.heard) == said + 1)


async def test_a_slow_answer_alone_is_no_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with nats_server(tmp_path / "nats") as server, open_bus(BusConfig((server.url,)), "test") as bus:
        chat = Chat(bus)
        await chat.prepare()
        publish = bus.streams.publish

        async def unanswered(*_: object, **__: object) -> None:
            raise TimeoutError

        monkeypatch.setattr(bus.streams, "publish", unanswered)
        assert not await chat.say()
        assert bus.refusals.doubtful("TALK")
        monkeypatch.setattr(bus.streams, "publish", publish)
        assert await chat.say()
        monkeypatch.setattr(bus.streams, "publish", unanswered)
        assert not await chat.say()
        assert not chat.told
        async with background_task(bus.probe("TALK", "talk.probe"), "probing"):
            await eventually(lambda: chat.told)
            monkeypatch.setattr(bus.streams, "publish", publish)
            await eventually(lambda: not bus.refusals)
        assert [set(told) for told in chat.told] == [{"TALK"}, set()]


async def test_a_server_that_is_away_refuses_nothing(tmp_path: Path) -> None:
    async with nats_server(tmp_path / "nats") as server, open_bus(BusConfig((server.url,)), "test") as bus:
        chat = Chat(bus)
        await chat.prepare()
        with server.frozen():
            assert not await chat.say()
        await server.kill()
        assert not await chat.say()
        assert not chat.told
