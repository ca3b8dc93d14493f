"""What is left of what was said when a replica or NATS is killed: all of it, once, in one order."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import grpc
import pytest

import meshwright
from services.chat.adapters import Retention, StreamArchive
from services.chat.app import Chat, StreamLostError
from services.chat.domain import Message
from services.chat.presence import Presence
from services.common.messaging.bus import BusConfig, open_bus
from services.common.messaging.fanout import Fanout
from support.demo.realtime import ChatReplica, process
from support.waiting import eventually

if TYPE_CHECKING:
    from demo.chat.v1 import chat_pb2 as pb


async def keep(replica: ChatReplica, text: str) -> pb.ChatMessage:
    """Say it until it is taken, with one mark."""

    async def said() -> pb.ChatMessage:
        return await replica.post(text, client_id=text)

    return await eventually(said, 30, ignore=(grpc.aio.AioRpcError,))


async def test_who_was_connected_to_a_replica_that_is_killed_goes_on_at_another_one(chat, nats, tmp_path):
    async with chat() as a, a.joined("ada") as ada, process("chat", nats, tmp_path) as (child, channel):
        b = ChatReplica(channel)
        async with b.joined("bob") as bob:
            for number in range(10):
                await bob.say(str(number))
            await eventually(lambda: len(bob.texts) == 10)
            await child.kill()
            for number in range(10, 20):
                await ada.say(str(number))
            await eventually(lambda: bob.error and len(ada.texts) == 20)
        assert bob.error.code() == grpc.StatusCode.UNAVAILABLE
        async with a.joined("bob", after=bob.ids[-1]) as again:
            await again.say("20")
            await eventually(lambda: len(ada.texts) == 21)
            await eventually(lambda: bob.texts + again.texts == ada.texts == [str(number) for number in range(21)])


async def test_nats_killed_and_restarted_loses_nothing_that_was_taken_and_says_so_meanwhile(chat, nats):
    async with chat() as a, chat() as b, a.joined("ada") as ada, b.joined("bob") as bob:
        await ada.say("before", "c0")
        await eventually(lambda: bob.texts == ["before"])
        await nats.kill()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await b.post("lost")
        found = meshwright.error_details(caught.value)
        assert (found.code, found.reason) == ("UNAVAILABLE", "BUS_UNAVAILABLE")
        with pytest.raises(grpc.aio.AioRpcError):
            await b.history()
        await ada.say("during", "c1")
        await eventually(lambda: ada.refused == [("c1", "UNAVAILABLE")])
        await nats.start()

        async def taken() -> bool:
            await ada.say("during", "c1")
            return "during" in ada.texts

        await eventually(taken, 20, every=0.3)
        await bob.say("after", "c2")
        await eventually(lambda: ada.texts == bob.texts == ["before", "during", "after"])
        assert not ada.error
        assert not bob.error


async def test_what_was_acknowledged_while_nats_dies_again_and_again_is_in_the_history_once_and_in_order(chat, nats):
    async with chat() as a, chat() as b, a.joined("ada") as ada:

        async def die() -> None:
            for _ in range(2):
                count = len(ada.texts)
                await eventually(lambda count=count: len(ada.texts) > count + 10)
                await nats.kill()
                await nats.start()

        async def talk(replica: ChatReplica, name: str) -> list[str]:
            return [(await keep(replica, f"{name}{number}")).text for number in range(60)]

        dying = asyncio.create_task(die())
        mine, theirs = await asyncio.gather(talk(a, "a"), talk(b, "b"))
        await dying
        await eventually(lambda: len(ada.texts) == 120)
        # This replica may find NATS again a moment after the other one.
        page = await eventually(lambda: b.history(limit=500), 20, ignore=(grpc.aio.AioRpcError,))
        history = [message.text for message in page.messages]
        assert ada.texts == history
        assert [text for text in history if text[0] == "a"] == mine
        assert [text for text in history if text[0] == "b"] == theirs


async def test_a_replica_that_stops_sends_those_in_it_to_another_one(chat):
    async with chat() as b, contextlib.AsyncExitStack() as stack:
        a = await stack.enter_async_context(chat())
        ada = await stack.enter_async_context(a.joined("ada"))
        await ada.say("one")
        await eventually(lambda: ada.texts == ["one"])
        began = asyncio.get_running_loop().time()
        await a.replica.server.stop()
        assert asyncio.get_running_loop().time() - began < a.replica.server.config.grace
        await eventually(lambda: ada.error)
        assert ada.reason == "STOPPING"
        await b.post("two")
        async with b.joined("ada", after=ada.ids[-1]) as again:
            await eventually(lambda: again.texts == ["two"])


async def test_history_after_a_message_of_a_lost_stream_is_refused_with_the_reason(chat, nats):
    """It would wait for ever for numbers that the new stream does not reach for long."""
    async with chat() as a, a.joined("ada") as ada:
        old = [(await a.post(str(number))).id for number in range(5)][-1]
        assert not (await a.history(after=old)).messages
        async with open_bus(BusConfig((nats.url,)), "test") as bus:
            await bus.streams.delete_stream("CHAT")
        await eventually(lambda: ada.error)
        assert ada.reason == "STREAM_LOST"
        for count in range(1, 8, 3):
            for number in range(3):
                await a.post(f"{count}-{number}")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await a.history(after=old)
            found = meshwright.error_details(caught.value)
            assert (found.code, found.reason) == ("OUT_OF_RANGE", "MESSAGE_TOO_OLD")
        first = (await a.history()).messages[0].id
        assert len((await a.history(after=first)).messages) == 8


async def test_a_stream_that_is_lost_while_joining_ends_with_the_reason(nats):
    async with open_bus(BusConfig((nats.url,)), "test") as bus:
        fanout = Fanout[Message]()
        archive = StreamArchive(bus, Retention(max_age=3600, per_room=100, in_all=1000, key_window=60), fanout)
        async with archive.consumer.running():
            assert await archive.consumer.ready(10)
            talk = Chat(archive, fanout, Presence(bus, "me"), buffer=10)
            await talk.post("hall", "ada", "", "hello", "")
            await eventually(lambda: archive.position() == 1)
            visit = await talk.join("hall", "ada", "", "")
            async with contextlib.aclosing(visit.events()) as events:
                await anext(events)
                await bus.streams.delete_stream("CHAT")
                await eventually(lambda: archive.position() == 0)
                with pytest.raises(StreamLostError):
                    await asyncio.wait_for(anext(events), 10)
