"""What is left of notifications when a replica or NATS is killed: all of it, once."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import grpc
import pytest

import meshwright
from demo.notification.v1 import notification_pb2 as pb
from demo.notification.v1 import notification_pb2_grpc as rpc
from services.common.messaging.bus import BusConfig, open_bus
from services.common.messaging.fanout import Fanout
from services.notification.__main__ import NotificationConfig, add_notifications
from services.notification.adapters import Retention, StreamArchive
from services.notification.app import Notifications, StreamLostError
from services.notification.domain import Draft, Notification, NotificationKind
from services.notification.server import ERRORS
from support.demo.realtime import Notifier, process, replica, titles
from support.servers.nats import NatsServer
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Sequence


class Faithful:
    """A subscriber that reconnects to the next replica whenever its stream ends, from the last id it saw."""

    def __init__(self, user_id: str, channels: Sequence[grpc.aio.Channel]) -> None:
        self.stubs = [rpc.NotificationServiceStub(channel) for channel in channels]
        self.user_id = user_id
        self.after = ""
        self.titles: list[str] = []
        self.connections = 0

    async def run(self) -> None:
        while True:
            stub = self.stubs[self.connections % len(self.stubs)]
            self.connections += 1
            call = stub.Subscribe(pb.SubscribeRequest(user_id=self.user_id, resume_after=self.after))
            with contextlib.suppress(grpc.aio.AioRpcError):
                welcomed = False
                async for item in call:
                    self.after = item.id
                    if welcomed:
                        self.titles.append(item.title)
                    welcomed = True
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def running(*subscribers: Faithful):
    tasks = [asyncio.create_task(subscriber.run()) for subscriber in subscribers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_subscribers_of_a_replica_that_is_killed_lose_and_double_nothing_on_the_other(nats, tmp_path):
    async with (
        process("notification", nats, tmp_path) as (first, one),
        process("notification", nats, tmp_path) as (_, two),
    ):
        subscribers = [Faithful(f"u{number}", (one, two)) for number in range(20)]
        async with running(*subscribers):
            await eventually(lambda: all(subscriber.after for subscriber in subscribers))
            stub = rpc.NotificationServiceStub(two)
            for number in range(100):
                if number == 50:
                    await first.kill()
                await stub.Broadcast(pb.BroadcastRequest(title=str(number)))
            await eventually(lambda: all(len(subscriber.titles) >= 100 for subscriber in subscribers))
        for subscriber in subscribers:
            assert subscriber.titles == [str(number) for number in range(100)]
            assert subscriber.connections >= 2


async def test_nats_killed_and_restarted_loses_nothing_that_was_taken_and_says_so_meanwhile(notifier, nats: NatsServer):
    async with notifier() as a, notifier() as b, a.subscribed("ada") as ada, b.subscribed("bob") as bob:
        await a.broadcast("before")
        await eventually(lambda: titles(ada) == titles(bob) == ["before"])
        await nats.kill()

        async def refused() -> bool:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await a.send("ada", "during", key="k")
            found = meshwright.error_details(caught.value)
            return (found.code, found.reason) == ("UNAVAILABLE", "BUS_UNAVAILABLE")

        assert await refused()
        # A stream that is there stays; one that begins now is there as well, and hears what comes.
        async with b.subscribed("eve") as eve:
            assert eve.error is None
            await nats.start()

            async def sent() -> bool:
                await a.send("ada", "during", key="k")
                return True

            await eventually(sent, ignore=(grpc.aio.AioRpcError,))
            await b.broadcast("after")
            await eventually(lambda: titles(ada) == ["before", "during", "after"])
            await eventually(lambda: titles(bob) == ["before", "after"])
            await eventually(lambda: titles(eve) == ["after"])


async def test_without_nats_from_the_start_callers_are_told_and_served_once_it_is_there(tmp_path):
    nats = NatsServer(tmp_path)

    async def wire(server):
        config = NotificationConfig(bus=BusConfig((nats.url,)), mesh=server.config)
        return await add_notifications(server, config)

    async with replica("notification", ERRORS, wire) as made:
        a = Notifier(made)
        async with a.subscribed("ada") as ada:
            found = meshwright.error_details(ada.error)
            assert (found.code, found.reason) == ("UNAVAILABLE", "BUS_UNAVAILABLE")
        try:
            await nats.start()

            async def heard() -> bool:
                async with a.subscribed("ada") as again:
                    return not again.error

            await eventually(heard)
        finally:
            await nats.close()


async def test_a_subscriber_whose_stream_is_lost_right_after_its_welcome_is_told(nats):
    """It must not wait for numbers that the new stream will not have for long."""
    async with open_bus(BusConfig((nats.url,)), "test") as bus:
        fanout = Fanout[Notification]()
        archive = StreamArchive(bus, Retention(max_age=3600, per_user=100, key_window=60), fanout)
        async with archive.consumer.running():
            assert await archive.consumer.ready(10)
            notifications = Notifications(archive, fanout, buffer=10)
            for title in "abc":
                await notifications.send(Draft("ada", NotificationKind.INFO, title, ""), "")
            await eventually(lambda: archive.position() == 3)
            async with contextlib.aclosing(notifications.subscribe("ada", [], "")) as deliveries:
                await anext(deliveries)
                await bus.streams.delete_stream("NOTIFICATIONS")
                await eventually(lambda: archive.position() == 0)
                with pytest.raises(StreamLostError):
                    await asyncio.wait_for(anext(deliveries), 10)


async def test_a_stream_that_was_lost_is_said_and_old_ids_are_not_mistaken_for_new_ones(notifier, nats):
    async with notifier() as a, a.subscribed("ada") as ada:
        await a.send("ada", "one")
        await eventually(lambda: titles(ada) == ["one"])
        async with open_bus(BusConfig((nats.url,)), "test") as bus:
            await bus.streams.delete_stream("NOTIFICATIONS")
        await eventually(lambda: ada.error)
        assert meshwright.error_details(ada.error).reason == "STREAM_LOST"
        for number in range(5):
            await a.send("ada", str(number))
        async with a.subscribed("ada", after=ada.got[-1].id) as again:
            assert meshwright.error_details(again.error).reason == "NOTIFICATION_TOO_OLD"
        async with a.subscribed("ada") as new:
            await a.send("ada", "new")
            await eventually(lambda: titles(new) == ["new"])
