"""Talking in rooms, on a real NATS, with one replica or two."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import pytest
from opentelemetry.trace import SpanKind

import meshwright
from demo.chat.v1 import chat_pb2 as pb
from demo.chat.v1 import chat_pb2_grpc as rpc
from support.demo.realtime import narrow
from support.waiting import eventually

if TYPE_CHECKING:
    from meshwright.calls.errors import ErrorDetails


async def refusal(call) -> ErrorDetails:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return meshwright.error_details(caught.value)


async def test_what_is_said_reaches_the_room_on_every_replica_and_no_other_room(chat):
    async with (
        chat() as a,
        chat() as b,
        a.joined("ada", name="Ada") as ada,
        b.joined("bob") as bob,
        b.joined("eve", room="cellar") as eve,
    ):
        await ada.say("hello", "c1")
        await eventually(lambda: ada.texts == bob.texts == ["hello"])
        await bob.say("hi\nyou")
        await eventually(lambda: ada.texts == bob.texts == ["hello", "hi\nyou"])
        posted = await a.post("from outside", client_id="p")
        await eventually(lambda: ada.texts == bob.texts == ["hello", "hi\nyou", "from outside"])
        await eve.say("alone")
        await eventually(lambda: eve.texts == ["alone"])
    hello = next(event.message for event in bob.got if event.WhichOneof("kind") == "message")
    assert (hello.room, hello.user_id, hello.name, hello.client_id) == ("hall", "ada", "Ada", "c1")
    assert (posted.user_id, posted.name, posted.text, posted.client_id) == ("poster", "poster", "from outside", "p")
    assert posted in [event.message for event in ada.got]
    assert ada.ids == bob.ids == sorted(ada.ids)


async def test_many_talking_at_once_are_heard_by_all_in_one_order_and_each_in_its_own(chat):
    async with chat() as a, chat() as b, a.joined("ada") as ada, b.joined("bob") as bob, b.joined("eve") as eve:

        async def talk(somebody, name):
            for number in range(60):
                await somebody.say(f"{name}{number}")

        async def post() -> None:
            for number in range(30):
                await a.post(f"p{number}")

        await asyncio.gather(talk(ada, "a"), talk(bob, "b"), talk(eve, "e"), post())
        await eventually(lambda: len(ada.texts) == len(bob.texts) == len(eve.texts) == 210)
        assert ada.texts == bob.texts == eve.texts
        for name, count in (("a", 60), ("b", 60), ("e", 60), ("p", 30)):
            assert [text for text in ada.texts if text[0] == name] == [f"{name}{number}" for number in range(count)]


async def test_saying_twice_with_one_mark_says_once_for_each_person_and_room(chat):
    async with chat() as a, chat() as b, a.joined("ada") as ada:
        await ada.say("once", "k")
        await ada.say("once", "k")
        first, second = await asyncio.gather(a.post("post", client_id="k"), b.post("post", client_id="k"))
        assert first == second
        await b.post("elsewhere", room="cellar", client_id="k")
        await ada.say("last")
        await eventually(lambda: ada.texts[-1:] == ["last"])
        assert sorted(ada.texts[:-1]) == ["once", "post"]
        assert [message.text for message in (await a.history(room="cellar")).messages] == ["elsewhere"]


async def test_who_comes_back_hears_what_was_said_meanwhile_once_on_another_replica(chat):
    async with chat() as a, chat() as b:
        async with a.joined("ada") as ada:
            await ada.say("0")
            await eventually(lambda: ada.texts == ["0"])
        for number in range(1, 301):
            await b.post(str(number))
            await b.post("noise", room="cellar")
        async with b.joined("ada", after=ada.ids[-1]) as again:
            assert again.got[0].WhichOneof("kind") == "joined"
            await again.say("301")
            await eventually(lambda: len(again.texts) == 301)
            assert again.texts == [str(number) for number in range(1, 302)]


async def test_nothing_is_lost_or_doubled_while_what_was_said_becomes_what_is_said(chat):
    async with chat() as a, chat() as b:
        start = (await a.post("start")).id

        async def post(replica, name):
            for number in range(150):
                await replica.post(f"{name}{number}")

        async def come_and_go(replica) -> list[str]:
            after, heard = start, []
            while len(heard) < 300:
                call = replica.stub.Connect()
                await call.write(pb.ChatRequest(join=pb.JoinRoom(room="hall", user_id="u", resume_after=after)))
                taken = 0
                async for event in call:
                    if event.WhichOneof("kind") == "message":
                        heard.append(event.message.text)
                        after, taken = event.message.id, taken + 1
                    if taken > 20 or len(heard) == 300:
                        break
                call.cancel()
            return heard

        *_, mine, theirs = await asyncio.wait_for(
            asyncio.gather(post(a, "a"), post(b, "b"), come_and_go(a), come_and_go(b)), 60
        )
        assert mine == theirs
        assert len(set(mine)) == 300


async def test_history_is_read_in_pages_by_time_and_from_the_end(chat):
    async with chat() as a, chat() as b:
        said = [await (a, b)[number % 2].post(str(number)) for number in range(120)]
        for number in range(50):
            await a.post(str(number), room="cellar")
        latest = await b.history()
        assert [message.text for message in latest.messages] == [str(number) for number in range(70, 120)]
        assert not latest.more
        assert list((await b.history(limit=500)).messages) == said
        assert list((await b.history(limit=1)).messages) == said[-1:]
        read, after = [], said[9].id
        while True:
            page = await a.history(after=after, limit=25)
            read += page.messages
            if not page.more:
                break
            after = page.messages[-1].id
        assert read == said[10:]
        assert len(page.messages) == 110 % 25
        since = await a.history(since=said[100].sent_at, limit=500)
        assert list(since.messages) == said[100:]
        assert list((await a.history(since=said[100].sent_at, after=said[110].id)).messages) == said[111:]
        assert list((await a.history(since=said[100].sent_at, after=said[10].id)).messages) == said[100:]
        nothing = await a.history(room="attic")
        assert (list(nothing.messages), nothing.more) == ([], False)
        assert not (await a.history(after=said[-1].id)).messages


async def test_a_page_of_long_messages_is_shorter_than_asked_for(chat):
    async with chat() as a:
        said = await asyncio.gather(*(a.post("\U0001f600" * 2000) for _ in range(150)))
        said.sort(key=lambda message: message.id)
        latest = await a.history(limit=500)
        assert list(latest.messages) == said[-125:]
        page = await a.history(after=said[4].id, limit=500)
        assert (list(page.messages), page.more) == (said[5:130], True)
        rest = await a.history(after=page.messages[-1].id, limit=500)
        assert (list(rest.messages), rest.more) == (said[130:], False)


async def test_rooms_are_listed_with_what_was_said_and_who_is_there(chat):
    async with chat() as a, chat() as b:
        assert not (await a.stub.ListRooms(pb.ListRoomsRequest())).rooms
        await a.post("one")
        await a.post("two")
        async with b.joined("ada", room="attic"), b.joined("ada"), a.joined("bob"):

            async def listed() -> bool:
                rooms = (await a.stub.ListRooms(pb.ListRoomsRequest())).rooms
                return [(room.name, room.messages, room.people) for room in rooms] == [("attic", 0, 1), ("hall", 2, 2)]

            await eventually(listed)


async def test_a_slow_reader_is_bounded_and_told_which_messages_it_missed(chat):
    async with chat(buffer=10) as a, chat() as b, a.joined("fast") as fast, narrow(a.replica) as channel:
        call = rpc.ChatServiceStub(channel).Connect()
        await call.write(pb.ChatRequest(join=pb.JoinRoom(room="hall", user_id="slow")))
        assert (await call.read()).WhichOneof("kind") == "joined"
        said = [await b.post(f"{number} " + "x" * 1990) for number in range(300)]
        await eventually(lambda: len(fast.texts) == 300)
        got, missed = [], []
        while not got or got[-1] != said[-1]:
            event = await call.read()
            if event.WhichOneof("kind") == "message":
                got.append(event.message)
            elif event.WhichOneof("kind") == "missed":
                missed.append((len(got), event.missed))
        ((place, gap),) = missed
        assert gap.count == 300 - len(got)
        assert (gap.first, gap.last) == (said[place].id, said[place + gap.count - 1].id)
        assert got == said[:place] + said[place + gap.count :]
        rest = await a.history(after=got[place - 1].id, limit=gap.count)
        assert list(rest.messages) == said[place : place + gap.count]
        call.cancel()
        await eventually(lambda: a.replica.wired.count("hall") == 1)


@pytest.mark.parametrize(
    ("join", "fields"),
    [
        (pb.JoinRoom(), {"room", "user_id"}),
        (pb.JoinRoom(room="a b", user_id="u"), {"room"}),
        (pb.JoinRoom(room="*", user_id="u"), {"room"}),
        (pb.JoinRoom(room="a.>", user_id="u"), {"room"}),
        (pb.JoinRoom(room="r" * 65, user_id="u" * 129, name="n" * 65), {"room", "user_id", "name"}),
        (pb.JoinRoom(room="r", user_id="u", name="a\nb"), {"name"}),
        (pb.JoinRoom(room="r", user_id="u", resume_after="yesterday"), {"resume_after"}),
        (None, {"join"}),
    ],
)
async def test_a_join_that_is_wrong_ends_the_stream_with_all_that_is_wrong(chat, join, fields):
    async with chat() as a:
        call = a.stub.Connect()
        say = pb.ChatRequest(say=pb.SayMessage(text="hello"))
        await call.write(say if join is None else pb.ChatRequest(join=join))
        found = await refusal(call.read())
        assert (found.code, found.reason, set(found.fields)) == ("INVALID_ARGUMENT", "INVALID_CHAT", fields)


async def test_a_caller_that_never_joins_is_let_go(chat):
    async with chat(join_seconds=0.1) as a:
        call = a.stub.Connect()
        found = await refusal(call.read())
        assert found.fields == {"join": "must come first, within 0.1 seconds"}
        call = a.stub.Connect()
        await call.done_writing()
        assert (await refusal(call.read())).reason == "INVALID_CHAT"


async def test_what_cannot_be_said_is_refused_and_the_stream_goes_on(chat):
    async with chat() as a, a.joined("ada") as ada:
        await ada.say("", "c1")
        await ada.say("x" * 2001, "c2")
        await ada.say("bell \x07", "c3")
        await ada.say("good", "c" * 129)
        await ada.call.write(pb.ChatRequest(join=pb.JoinRoom(room="attic", user_id="ada")))
        await ada.call.write(pb.ChatRequest())
        await ada.say("good", "c4")
        await eventually(lambda: ada.texts == ["good"])
        marks = ["c1", "c2", "c3", "c" * 129, "", ""]
        assert ada.refused == [(mark, "INVALID_ARGUMENT") for mark in marks]


@pytest.mark.parametrize(
    ("method", "request_", "fields"),
    [
        ("Post", pb.PostRequest(room="r", user_id="u"), {"text"}),
        ("Post", pb.PostRequest(room="", user_id="", text="t"), {"room", "user_id"}),
        ("History", pb.HistoryRequest(room="no room"), {"room"}),
        ("History", pb.HistoryRequest(room="r", limit=501), {"limit"}),
        ("History", pb.HistoryRequest(room="r", limit=-1), {"limit"}),
        ("History", pb.HistoryRequest(room="r", after="x"), {"after"}),
        ("History", pb.HistoryRequest(room="r", since={"seconds": 10**15}), {"since"}),
        ("GetPresence", pb.GetPresenceRequest(room="ü"), {"room"}),
    ],
)
async def test_garbage_is_refused_with_the_wrong_fields(chat, method, request_, fields):
    async with chat() as a:
        found = await refusal(getattr(a.stub, method)(request_))
        assert (found.code, found.reason, set(found.fields)) == ("INVALID_ARGUMENT", "INVALID_CHAT", fields)


async def test_who_stops_talking_hears_what_it_said_before_it_leaves(chat):
    async with chat() as a, a.joined("bob") as bob:
        call = a.stub.Connect()
        await call.write(pb.ChatRequest(join=pb.JoinRoom(room="hall", user_id="ada")))
        for text in ("one", "two", ""):
            await call.write(pb.ChatRequest(say=pb.SayMessage(text=text, client_id=text)))
        await call.done_writing()
        kinds = [event.WhichOneof("kind") async for event in call]
        assert await call.code() == grpc.StatusCode.OK
        assert sorted(kinds) == ["joined", "message", "message", "refused"]
        await eventually(lambda: bob.changes == [("ada", True), ("ada", False)])


async def test_a_message_whose_followers_have_been_pushed_out_is_too_old_to_go_on_from(chat):
    async with chat(per_room=5) as a:
        said = [await a.post(str(number)) for number in range(10)]
        async with a.joined("ada", after=said[3].id) as ada:
            assert ada.reason == "MESSAGE_TOO_OLD"
        async with a.joined("ada", after=said[5].id) as ada:
            await eventually(lambda: ada.texts == ["6", "7", "8", "9"])
        assert [message.text for message in (await a.history(after=said[0].id)).messages] == ["5", "6", "7", "8", "9"]


async def test_what_is_kept_in_all_rooms_together_has_an_end_too(chat):
    async with chat(in_all=5) as a:
        said = [await a.post(str(number)) for number in range(2)]
        others = [await a.post(f"in room {number}", room=f"room-{number}") for number in range(4)]
        async with a.joined("ada", after=said[0].id) as ada:
            # What is gone was said before that.
            await eventually(lambda: ada.texts == ["1"])
        others += [await a.post("one more", room="room-0") for _ in range(2)]
        async with a.joined("ada", after=said[0].id) as ada:
            assert ada.reason == "MESSAGE_TOO_OLD"
        assert not (await a.history()).messages
        async with a.joined("bob", room="room-0", after=others[1].id) as bob:
            await eventually(lambda: bob.texts == ["one more", "one more"])


async def test_what_is_said_is_sent_in_its_callers_trace_and_heard_in_it_by_replicas_with_listeners(chat):
    async with chat() as a, chat() as b, b.joined("bob") as bob:
        await a.post("hello")
        await eventually(lambda: bob.texts == ["hello"])
        await eventually(lambda: b.replica.spans.of(SpanKind.CONSUMER))
        (request,) = a.replica.spans.of(SpanKind.SERVER, "Post")
        (sent,) = a.replica.spans.of(SpanKind.PRODUCER)
        (heard,) = b.replica.spans.of(SpanKind.CONSUMER)
        assert (sent.name, heard.name) == ("publish chat.room.{room}", "process chat.room.{room}")
        assert sent.attributes["messaging.destination.name"] == "chat.room.hall"
        assert [sent.parent.span_id, heard.parent.span_id] == [request.context.span_id, sent.context.span_id]
        assert len({span.context.trace_id for span in (request, sent, heard)}) == 1
        assert not a.replica.spans.of(SpanKind.CONSUMER)
