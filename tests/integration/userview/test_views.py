"""The read side: what events make of views, what readers find, and how far the views are."""

from __future__ import annotations

import asyncio
from dataclasses import replace as changed
from typing import TYPE_CHECKING

from demo.userview.v1 import userview_pb2 as pb
from services.common.messaging.event_consumer import EventBatch
from support.demo.views import NOW, Teller, refusal, replica

if TYPE_CHECKING:
    from support.servers.nats import NatsServer


async def test_a_view_is_what_the_events_of_two_services_make_of_it(
    nats: NatsServer, database: str, teller: Teller
) -> None:
    async with replica(nats, database) as side:
        await teller.completed("ada")
        await teller.created("ada", "Ada Lovelace")
        await teller.tell("user", "EmailChanged", "ada", old_email="ada@example.org", new_email="countess@example.org")
        await teller.tell("user", "NameChanged", "ada", old="Ada Lovelace", new="Ada King")
        await teller.tell("user", "PhoneChanged", "ada", old="+491", new="+492")
        await teller.tell("user", "UserDeactivated", "ada")
        await teller.tell("order", "OrderPlaced", "o2", user_id="ada", items=[])
        await teller.completed("ada")
        await teller.balance("ada", 4200, payment=7)
        await side.caught_up(teller)
        view = await side.view("ada")
        assert (view.name, view.email, view.phone) == ("Ada King", "countess@example.org", "+492")
        assert (view.status, view.balance_cents, view.total_orders) == ("inactive", 4200, 2)
        assert (view.last_activity.ToSeconds() - int(NOW.timestamp())) == teller.sequences["user"]
        assert await side.found("king") == ["ada"]
        await side.seen(await teller.tell("user", "UserDeleted", "ada"))
        gone = await side.view("ada")
        assert (gone.status, gone.name, gone.email, gone.phone, gone.balance_cents) == ("deleted", "", "", "", 0)
        assert (await side.found("king"), await side.listed()) == ([], [])


async def test_a_user_with_only_orders_is_unseen_until_known(nats: NatsServer, database: str, teller: Teller) -> None:
    async with replica(nats, database) as side:
        await side.seen(await teller.completed("bob"))
        assert (await refusal(side.view("bob"))).reason == "USER_NOT_FOUND"
        assert await side.listed() == []
        await side.seen(await teller.created("bob", "Bob"))
        assert (await side.view("bob")).total_orders == 1
        assert await side.listed() == ["bob"]


async def test_two_replicas_count_each_event_once(nats: NatsServer, database: str, teller: Teller) -> None:
    async with replica(nats, database) as one, replica(nats, database) as two:
        for number in range(20):
            await teller.created(f"u{number:02}", f"User {number}")
        for number in range(120):
            await teller.completed(f"u{number % 20:02}")
        await two.caught_up(teller)
        await one.caught_up(teller)
        views = await one.stub.ListUserViews(pb.ListUserViewsRequest(limit=100))
        assert [view.total_orders for view in views.users] == [6] * 20


async def test_what_a_replica_has_counted_another_does_not_count_again(
    nats: NatsServer, database: str, teller: Teller
) -> None:
    await teller.created("ada", "Ada")
    async with replica(nats, database) as first:
        await teller.completed("ada")
        await first.caught_up(teller)
    await teller.completed("ada")
    async with replica(nats, database) as second:
        await second.caught_up(teller)
        assert (await second.view("ada")).total_orders == 2


async def test_garbage_and_events_of_later_releases_are_passed_over(
    nats: NatsServer, database: str, teller: Teller
) -> None:
    async with replica(nats, database) as side:
        await teller.created("ada", "Ada")
        await teller.bus.streams.publish("events.user.Nonsense", b"no event")
        await teller.tell("user", "PetAdopted", "ada", kind="cat")
        broken = await teller.created("eve", "Eve")
        await side.seen(broken)
        assert await side.listed() == ["ada", "eve"]


async def test_search_finds_the_same_on_both_kinds_of_database(nats: NatsServer, database: str, teller: Teller) -> None:
    async with replica(nats, database) as side:
        await teller.created("1", "Ada Lovelace", "ada@example.org")
        await teller.created("2", "José García", "jose_garcia@example.net")
        await teller.created("3", "Ada Yonath", "yonath@example.org")
        await teller.created("4", "Adam 1e5", "adam@example.org")
        await side.seen(await teller.created("5", "Лев Толстой", "lev@example.org"))
        expected = {
            "ada": ["1", "3", "4"],
            "ADA lov": ["1"],
            "jose": ["2"],
            "GARCÍA": ["2"],
            "1e5": ["4"],
            "лев": ["5"],
            "example.org ada": ["1", "3", "4"],
            "nobody": [],
            "ada OR jose": [],
            '"ada" NEAR(x)': [],
            "ada*": ["1", "3", "4"],
            "a:* & | !x": [],
            "'; DROP TABLE views; --": [],
        }
        assert {query: await side.found(query) for query in expected} == expected
        assert await side.found("ada", limit=1) == ["1"]
        for query in ("", " ", "🙂", '"*"', "'", "x" * 201, " ".join(map(str, range(11)))):
            found = await refusal(side.found(query))
            assert (found.code, set(found.fields)) == ("INVALID_ARGUMENT", {"query"}), query
        await teller.created("6", "℡ato 𞤀𞤁𞤣 ᦰᦲ")
        await side.seen(await teller.created("7", "हिन्दी İlkay"))
        signs = {"telato": ["6"], "℡A": ["6"], "𞤀𞤁": ["6"], "𞤢": ["6"], "ᦰᦲ": ["6"], "हिन्दी": ["7"], "ilkay": ["7"]}
        assert {query: await side.found(query) for query in signs} == signs
        await side.seen(await teller.tell("user", "NameChanged", "1", old="Ada Lovelace", new="Augusta King"))
        assert (await side.found("lovelace"), await side.found("augusta")) == ([], ["1"])


async def test_lists_go_page_by_page(nats: NatsServer, database: str, teller: Teller) -> None:
    async with replica(nats, database) as side:
        for name in "abcde":
            last = await teller.created(name, name)
        await side.seen(last)
        assert await side.listed(limit=2) == ["a", "b"]
        assert await side.listed(after="b", limit=2) == ["c", "d"]
        assert (await refusal(side.listed(limit=501))).fields == {"limit": "must be 0 to 500"}
        assert (await refusal(side.listed(after="a\0"))).fields == {"after": "must be the id of a user"}
        assert (await refusal(side.view("a\0"))).reason == "USER_NOT_FOUND"
        assert (await refusal(side.found("a", limit=-1))).fields == {"limit": "must be 0 to 100"}


async def test_a_reader_waits_for_what_it_wrote_and_is_told_when_it_does_not_come(
    nats: NatsServer, database: str, teller: Teller
) -> None:
    async with replica(nats, database) as side:
        await side.seen(await teller.created("ada", "Ada"))
        waiting = asyncio.create_task(side.view("ada", user=teller.sequences["user"] + 2, payment=3))
        await teller.balance("ada", 100, payment=3)
        assert (await waiting).balance_cents == 100
        behind = await refusal(side.view("ada", timeout=2, order=99))
        assert (behind.code, behind.reason) == ("ABORTED", "VIEW_BEHIND")
        assert "order/99" in behind.message
        request = pb.GetUserViewRequest(
            id="ada",
            at_least=[pb.Position(source="chat", position=1), pb.Position(source="user", position=-1)],
        )
        wrong = await refusal(side.stub.GetUserView(request))
        assert set(wrong.fields) == {"at_least[0].source", "at_least[1].position"}


async def test_how_far_the_view_is_behind_is_told(nats: NatsServer, database: str, teller: Teller) -> None:
    async with replica(nats, database, following=False) as side:
        empty = await side.lag()
        assert [(one.source, one.head, one.seconds) for one in empty.sources] == [("user", 0, 0), ("order", 0, 0)]
        await teller.created("ada", "Ada")
        await teller.created("bob", "Bob")
        behind = {one.source: one for one in (await side.lag()).sources}
        assert (behind["user"].position, behind["user"].head) == (0, 4)
        assert behind["user"].seconds > 0
        async with replica(nats, database) as following:
            await following.seen(await teller.created("eve", "Eve"))
        caught_up = {one.source: one for one in (await side.lag()).sources}
        assert (caught_up["user"].position, caught_up["user"].head, caught_up["user"].seconds) == (6, 6, 0)
        await nats.kill()
        assert (await refusal(side.lag())).reason == "BUS_UNAVAILABLE"
        assert await side.listed() == ["ada", "bob", "eve"]


async def test_events_that_come_again_with_other_data_do_not_count_twice(
    nats: NatsServer, database: str, teller: Teller
) -> None:
    """The stream itself keeps a publisher from publishing twice; here a reader reads the same messages twice."""
    async with replica(nats, database) as side:
        await teller.created("ada", "Ada")
        last = await teller.completed("ada")
        await side.caught_up(teller)
        again = EventBatch([(1, changed(last, sequence=2))], 0)
        assert await side.views.apply(1, "order", again)
        assert (await side.view("ada")).total_orders == 1
