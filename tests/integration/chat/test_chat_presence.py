"""Who is in a room, over all replicas."""

from __future__ import annotations

import asyncio
import contextlib

from demo.chat.v1 import chat_pb2 as pb
from services.common.messaging.bus import BusConfig, open_bus
from support.demo.realtime import ChatReplica, process
from support.waiting import eventually


async def there(replicas, room="hall", **expected: int) -> None:
    """Wait until every replica says so."""

    async def said() -> bool:
        return all([await replica.people(room) == expected for replica in replicas])

    await eventually(said, message=f"people: {expected}")


async def test_joins_and_leaves_are_seen_on_every_replica(chat):
    async with chat() as a, chat() as b, a.joined("ada", name="Ada") as ada:
        await there((a, b), ada=1)
        async with b.joined("bob") as bob:
            assert {person.user_id for person in bob.got[0].joined.people} == {"ada", "bob"}
            assert bob.got[0].joined.total == 2
            await there((a, b), ada=1, bob=1)
            async with a.joined("bob"), b.joined("eve", room="cellar"):
                await there((a, b), ada=1, bob=2)
                await there((a, b), "cellar", eve=1)
            await there((a, b), ada=1, bob=1)
            await there((a, b), "cellar")
        await there((a, b), ada=1)
        await eventually(lambda: ada.changes == [("bob", True), ("bob", False)])
        assert bob.changes == []
    assert ada.got[0].joined.people[0].name == "Ada"


async def test_a_replica_that_starts_later_learns_who_is_there(chat):
    async with chat() as a, contextlib.AsyncExitStack() as stack:
        calls = [a.stub.Connect() for _ in range(600)]
        for number, call in enumerate(calls):
            await call.write(pb.ChatRequest(join=pb.JoinRoom(room="hall", user_id=f"u{number}")))
        await asyncio.gather(*(call.read() for call in calls))
        b = await stack.enter_async_context(chat())
        await there((a, b), **{f"u{number}": 1 for number in range(600)})
        for call in calls[300:]:
            call.cancel()
        await there((a, b), **{f"u{number}": 1 for number in range(300)})


async def test_in_a_crowd_comings_and_goings_are_not_told_one_by_one(chat):
    async with chat() as a, a.joined("first") as first, contextlib.AsyncExitStack() as stack:
        for number in range(120):
            await stack.enter_async_context(a.joined(f"u{number}"))
        await first.say("all here?")
        await eventually(lambda: first.texts == ["all here?"])
        assert first.changes == [(f"u{number}", True) for number in range(99)]
        presence = await a.stub.GetPresence(pb.GetPresenceRequest(room="hall"))
        assert (presence.total, len(presence.people)) == (121, 121)
        async with a.joined("last") as last:
            assert (last.got[0].joined.total, len(last.got[0].joined.people)) == (122, 100)


async def test_the_members_of_a_killed_replica_are_removed_and_a_stopping_one_announces_it(chat, nats, tmp_path):
    async with chat() as a, a.joined("ada") as ada, process("chat", nats, tmp_path) as (child, channel):
        b = ChatReplica(channel)
        async with b.joined("bob"):
            await there((a, b), ada=1, bob=1)
            await child.kill()
            await there((a,), ada=1)
        async with chat() as c, c.joined("eve"):
            await there((a, c), ada=1, eve=1)
            await c.replica.server.stop()
            await there((a,), ada=1)
        seen = [("bob", True), ("bob", False), ("eve", True), ("eve", False)]
        await eventually(lambda: ada.changes == seen)


async def test_members_stay_while_nats_is_away_and_changes_are_caught_up_with(chat, nats):
    async with chat() as a, chat() as b, a.joined("ada") as ada, contextlib.AsyncExitStack() as stack:
        async with b.joined("bob"):
            await there((a, b), ada=1, bob=1)
            await nats.kill()
            # Longer than a replica may be silent, were it to be heard at all.
            loop = asyncio.get_running_loop()
            until = loop.time() + 4
            await eventually(lambda: loop.time() > until)
            assert await a.people() == {"ada": 1, "bob": 1}
            await stack.enter_async_context(b.joined("eve"))
        assert await a.people() == {"ada": 1, "bob": 1}
        await nats.start()
        await there((a, b), ada=1, eve=1)
        assert ("ada", False) not in ada.changes


async def test_garbage_between_replicas_is_passed_over(chat, nats, caplog):
    async with chat() as a, open_bus(BusConfig((nats.url,)), "test") as bus:
        for body in (b"\xff", b"[]", b"{}", b'{"from": "x", "version": 0, "all": [["1"]], "part": 0}'):
            await bus.connection.publish("presence.chat", body)
        await bus.connection.publish("presence.chat.ask", b"\xff")
        async with chat() as b, b.joined("bob"):
            await there((a, b), bob=1)
    assert "makes no sense" in caplog.text
