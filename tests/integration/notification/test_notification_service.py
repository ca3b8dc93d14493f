"""Notifications over gRPC, on a real NATS, with one replica or two."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import pytest

import meshwright
from demo.notification.v1 import notification_pb2 as pb
from demo.notification.v1 import notification_pb2_grpc as rpc
from services.common.messaging.bus import BusConfig, open_bus
from support.demo.realtime import narrow, titles
from support.waiting import eventually

if TYPE_CHECKING:
    from meshwright.calls.errors import ErrorDetails


async def refusal(call) -> ErrorDetails:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return meshwright.error_details(caught.value)


async def test_a_subscriber_is_welcomed_and_gets_its_own_and_broadcast_notifications_from_any_replica(notifier):
    async with notifier() as a, notifier() as b, a.subscribed("ada") as ada, b.subscribed("bob") as bob:
        await b.send("ada", "one", kind=pb.WARNING, order="42")
        await a.broadcast("two")
        await a.send("bob", "three")
        await eventually(lambda: titles(ada) == ["one", "two"])
        await eventually(lambda: titles(bob) == ["two", "three"])
    welcome, one, two = ada.got
    assert (welcome.title, welcome.user_id, welcome.type) == ("Connected", "ada", pb.INFO)
    assert (one.user_id, one.type, one.message, dict(one.data)) == ("ada", pb.WARNING, "m", {"order": "42"})
    assert two.user_id == ""
    assert welcome.id < one.id < two.id


async def test_only_the_types_asked_for_are_told_live_and_on_resuming(notifier):
    async with notifier() as a, a.subscribed("ada") as everything:
        start = everything.got[0].id
        async with a.subscribed("ada", pb.ERROR, pb.SUCCESS) as some:
            for number, kind in enumerate((pb.INFO, pb.ERROR, pb.ORDER_UPDATE, pb.SUCCESS)):
                await a.send("ada", str(number), kind=kind)
            await eventually(lambda: titles(some) == ["1", "3"])
        async with a.subscribed("ada", pb.ERROR, pb.SUCCESS, after=start) as again:
            await eventually(lambda: titles(again) == ["1", "3"])
        await eventually(lambda: titles(everything) == ["0", "1", "2", "3"])


async def test_what_came_meanwhile_is_told_once_and_in_order_on_another_replica(notifier):
    async with notifier() as a, notifier() as b:
        async with a.subscribed("ada") as first:
            await a.send("ada", "0")
            await eventually(lambda: titles(first) == ["0"])
        seen = first.got[-1].id
        for number in range(1, 251):
            await (b.broadcast(str(number)) if number % 3 else b.send("ada", str(number)))
        async with b.subscribed("ada", after=seen) as second:
            await eventually(lambda: len(titles(second)) == 250)
            assert titles(second) == [str(number) for number in range(1, 251)]
            assert second.got[0].id == seen


async def test_a_welcome_is_enough_to_resume_from(notifier):
    async with notifier() as a:
        async with a.subscribed("ada") as first:
            pass
        await a.send("ada", "while away")
        async with a.subscribed("ada", after=first.got[0].id) as second:
            await eventually(lambda: titles(second) == ["while away"])


async def test_nothing_is_lost_or_doubled_while_replay_becomes_live(notifier):
    """Subscribers come and resume, again and again, while two replicas send without pause."""
    async with notifier() as a, notifier() as b:
        async with a.subscribed("ada") as first:
            start = first.got[0].id

        async def send(replica, name):
            for number in range(150):
                await replica.send("ada", f"{name}{number}")

        async def come_and_go(replica) -> list[str]:
            after, seen = start, []
            while len(seen) < 300:
                call = replica.stub.Subscribe(pb.SubscribeRequest(user_id="ada", resume_after=after))
                taken = 0
                async for item in call:
                    if taken:
                        seen.append(item.title)
                    after, taken = item.id, taken + 1
                    if taken > 20 or len(seen) == 300:
                        break
                call.cancel()
            return seen

        *_, mine, theirs = await asyncio.wait_for(
            asyncio.gather(send(a, "a"), send(b, "b"), come_and_go(a), come_and_go(b)), 60
        )
    assert mine == theirs
    assert len(set(mine)) == 300
    assert [title for title in mine if title[0] == "a"] == [f"a{number}" for number in range(150)]


async def test_many_senders_at_once_never_mix_on_one_stream(notifier):
    async with notifier() as a, notifier() as b, a.subscribed("ada") as ada:
        sends = [replica.send("ada", f"s{number}") for number in range(100) for replica in (a, b)]
        casts = [replica.broadcast(f"b{number}") for number in range(20) for replica in (a, b)]
        await asyncio.gather(*sends, *casts)
        await eventually(lambda: len(titles(ada)) == 240)
        ids = [item.id for item in ada.got]
        assert ids == sorted(set(ids))
        assert all(item.missed == 0 and item.title for item in ada.got)


async def test_a_key_sends_once_for_each_user(notifier):
    async with notifier() as a, notifier() as b, a.subscribed("ada") as ada, a.subscribed("bob") as bob:
        await asyncio.gather(*(replica.send("ada", "once", key="k") for replica in (a, b, a, b)))
        await a.send("bob", "his own", key="k")
        await asyncio.gather(*(replica.broadcast("for all", key="k") for replica in (a, b)))
        await a.broadcast("last")
        await eventually(lambda: titles(ada) == ["once", "for all", "last"])
        await eventually(lambda: titles(bob) == ["his own", "for all", "last"])


async def test_a_slow_subscriber_is_bounded_told_what_it_missed_and_can_have_it(notifier):
    async with (
        notifier(buffer=10) as a,
        notifier() as b,
        a.subscribed("fast") as fast,
        narrow(a.replica) as channel,
    ):
        call = rpc.NotificationServiceStub(channel).Subscribe(pb.SubscribeRequest(user_id="slow"))
        welcome = await call.read()
        # More than gRPC keeps on the way for a reader that does not read; then more than the buffer.
        for number in range(150):
            await b.stub.Broadcast(pb.BroadcastRequest(title=str(number), data={str(k): "x" * 500 for k in range(19)}))
        await eventually(lambda: len(titles(fast)) == 150)
        got = []
        while not got or got[-1].title != "149":
            got.append(await call.read())
        late = [item for item in got if item.missed]
        assert len(late) == 1
        before = got[got.index(late[0]) - 1]
        assert int(late[0].title) - int(before.title) - 1 == late[0].missed
        assert len(got) + late[0].missed == 150
        assert titles(fast) == [str(number) for number in range(150)]
        call.cancel()
        async with a.subscribed("slow", after=before.id) as again:
            await eventually(lambda: titles(again) == [str(number) for number in range(int(before.title) + 1, 150)])
        assert welcome.title == "Connected"


async def test_a_subscriber_that_goes_away_leaves_nothing_behind_whether_it_reads_or_not(notifier):
    async with notifier() as a, narrow(a.replica) as channel:
        fanout = a.replica.wired
        async with a.subscribed("ada"):
            await eventually(lambda: fanout.count("ada") == 1)
        await eventually(lambda: fanout.count("ada") == 0)
        call = rpc.NotificationServiceStub(channel).Subscribe(pb.SubscribeRequest(user_id="ada"))
        await call.read()
        for _ in range(30):
            await a.stub.Broadcast(pb.BroadcastRequest(title="t", data={str(k): "x" * 500 for k in range(19)}))
        assert fanout.count("ada") == 1
        call.cancel()
        await eventually(lambda: fanout.count("ada") == 0)
        assert fanout.count("") == 0


async def test_an_id_whose_followers_have_been_pushed_out_is_too_old(notifier):
    async with notifier(per_user=5) as a:
        async with a.subscribed("ada") as ada, a.subscribed("quiet") as quiet:
            for number in range(4):
                await a.send("ada", str(number))
            await eventually(lambda: len(titles(ada)) == 4)
        async with a.subscribed("ada", after=ada.got[0].id) as again:
            await eventually(lambda: len(titles(again)) == 4)
        for number in range(4, 8):
            await a.send("ada", str(number))
        call = a.stub.Subscribe(pb.SubscribeRequest(user_id="ada", resume_after=ada.got[1].id))
        found = await refusal(call.read())
        assert (found.code, found.reason) == ("OUT_OF_RANGE", "NOTIFICATION_TOO_OLD")
        async with a.subscribed("ada", after=ada.got[4].id) as rest:
            await eventually(lambda: titles(rest) == ["4", "5", "6", "7"])
        # What others were sent pushes nothing of hers out.
        async with a.subscribed("quiet", after=quiet.got[0].id) as still:
            assert still.error is None


async def test_an_id_older_than_anything_may_become_is_too_old(notifier):
    async with notifier(max_age=1.0) as a:
        async with a.subscribed("ada") as ada:
            await a.send("ada", "short-lived")
            await eventually(lambda: len(titles(ada)) == 1)

        async def too_old() -> bool:
            async with a.subscribed("ada", after=ada.got[1].id) as again:
                return bool(again.error) and meshwright.error_details(again.error).reason == "NOTIFICATION_TOO_OLD"

        await eventually(too_old)


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (pb.SubscribeRequest(), {"user_id"}),
        (pb.SubscribeRequest(user_id="a b"), {"user_id"}),
        (pb.SubscribeRequest(user_id="ada", types=[0, 9]), {"types[1]"}),
        (pb.SubscribeRequest(user_id="ada", resume_after="garbage"), {"resume_after"}),
        (pb.SubscribeRequest(user_id="ada", resume_after="-1"), {"resume_after"}),
        (pb.SubscribeRequest(user_id="ada", resume_after="1" * 15 + "-x" + "1" * 12), {"resume_after"}),
        (pb.SendNotificationRequest(), {"user_id", "title"}),
        (pb.SendNotificationRequest(user_id="ada", title="t", type=77), {"type"}),
        (pb.SendNotificationRequest(user_id="ü", title="t" * 201, message="m" * 2001), {"user_id", "title", "message"}),
        (pb.SendNotificationRequest(user_id="a", title="t", data={"": "x"}), {"data"}),
        (pb.BroadcastRequest(title=" ", idempotency_key="k" * 129), {"title", "idempotency_key"}),
    ],
)
async def test_garbage_is_refused_with_all_wrong_fields(notifier, request_, fields):
    async with notifier() as a:
        if isinstance(request_, pb.SubscribeRequest):
            found = await refusal(a.stub.Subscribe(request_).read())
        elif isinstance(request_, pb.BroadcastRequest):
            found = await refusal(a.stub.Broadcast(request_))
        else:
            found = await refusal(a.stub.SendNotification(request_))
    assert (found.code, found.reason, set(found.fields)) == ("INVALID_ARGUMENT", "INVALID_NOTIFICATION", fields)


async def test_an_id_of_the_future_is_refused_and_user_ids_with_the_busss_own_marks_are_safe(notifier):
    async with notifier() as a:
        for future in (f"{10**6:015d}-{2 * 10**12:013d}", f"{'9' * 15}-{'9' * 13}"):
            call = a.stub.Subscribe(pb.SubscribeRequest(user_id="ada", resume_after=future))
            assert (await refusal(call.read())).reason == "NOTIFICATION_TOO_OLD"
        strange = ["*", ">", "a.b", "a", "a%2Eb", "auth0|x@y.z"]
        async with a.subscribed("*") as star, a.subscribed(">") as greater, a.subscribed("a.b") as dotted:
            for user_id in strange:
                await a.send(user_id, user_id)
            await a.broadcast("end")
            await eventually(lambda: titles(star) == ["*", "end"])
            await eventually(lambda: titles(greater) == [">", "end"])
            await eventually(lambda: titles(dotted) == ["a.b", "end"])
        async with a.subscribed("a.b", after=dotted.got[0].id) as again:
            await eventually(lambda: titles(again) == ["a.b", "end"])


async def test_a_replica_that_stops_sends_its_subscribers_to_another_one(notifier):
    async with notifier() as b:
        async with notifier() as a, a.subscribed("ada") as ada, a.subscribed("bob") as bob:
            await a.send("ada", "one")
            await eventually(lambda: titles(ada) == ["one"])
            began = asyncio.get_running_loop().time()
            await a.replica.server.stop()
            took = asyncio.get_running_loop().time() - began
            await eventually(lambda: ada.error and bob.error)
        assert took < a.replica.server.config.grace
        for error in (ada.error, bob.error):
            found = meshwright.error_details(error)
            assert (found.code, found.reason) == ("UNAVAILABLE", "STOPPING")
        await b.send("ada", "two")
        async with b.subscribed("ada", after=ada.got[-1].id) as again:
            await eventually(lambda: titles(again) == ["two"])


async def test_a_thousand_subscribers_of_one_replica_all_hear_a_broadcast(notifier):
    async with notifier() as a:
        calls = [a.stub.Subscribe(pb.SubscribeRequest(user_id=f"u{number}")) for number in range(1000)]
        await asyncio.gather(*(call.read() for call in calls))
        await a.broadcast("all")
        heard = await asyncio.gather(*(call.read() for call in calls))
        assert {item.title for item in heard} == {"all"}
        await a.send("u500", "one")
        assert (await calls[500].read()).title == "one"
        for call in calls:
            call.cancel()
        await eventually(lambda: a.replica.wired.count("") == 0)


async def test_garbage_in_the_stream_is_passed_over(notifier, nats, caplog):
    unknown = b'{"user_id":"ada","type":9,"title":"","message":"","data":{}}'
    async with notifier() as a, a.subscribed("ada") as ada:
        async with open_bus(BusConfig((nats.url,)), "test") as bus:
            for body in (b"{", b"[]", b"", b'{"user_id": "ada"}', unknown):
                await bus.streams.publish("notifications.user.ada", body)
        await a.send("ada", "good")
        await eventually(lambda: titles(ada) == ["good"])
        async with a.subscribed("ada", after=ada.got[0].id) as again:
            await eventually(lambda: titles(again) == ["good"])
    assert "is skipped" in caplog.text
