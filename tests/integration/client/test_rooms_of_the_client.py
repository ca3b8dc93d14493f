"""The client in a room: what it sends and hears, while the network does what networks do."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from services.client import Delivery, DemoClient, LiveState
from support.demo.people import PASSWORD, address
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from integration.client.network import Network
    from services.client import Room
    from support.demo.realtime import Edge


@contextlib.asynccontextmanager
async def user(url: str, name: str = "Ada") -> AsyncIterator[DemoClient]:
    """A client whose user has signed up."""
    async with DemoClient(url) as client:
        await client.session.sign_up(name, address(), PASSWORD)
        yield client


def texts(room: Room) -> list[str]:
    return [message.text for message in room.timeline.messages]


async def test_two_users_talk(edge: Edge, way: Network) -> None:
    second = f"http://{edge.gateways[1].address}"
    async with user(way.url) as ada, user(second, "Grace") as grace, ada.room("hall") as one, grace.room("hall") as two:
        await eventually(lambda: one.total == 2 and two.total == 2)
        own = one.send("Hello!")
        assert own.delivery is Delivery.SENDING
        await eventually(lambda: texts(two) == ["Hello!"])
        await eventually(lambda: not one.timeline.outgoing)
        assert own.delivery is Delivery.SENT
        assert {person.name for person in one.people.values()} == {"Ada", "Grace"}
        heard = two.messages()
        assert (await anext(heard)).name == "Ada"
        two.send("Hi there!")
        assert (await asyncio.wait_for(anext(heard), 30)).text == "Hi there!"


async def test_what_is_said_while_the_network_is_down_arrives_once_and_nothing_is_missed(
    edge: Edge, way: Network
) -> None:
    second = f"http://{edge.gateways[1].address}"
    async with user(way.url) as ada, user(second, "Grace") as grace, ada.room("hall") as one, grace.room("hall") as two:
        await eventually(lambda: one.joined and two.joined)
        target, way.target = way.target, None
        way.cut()
        await eventually(lambda: ada.live.state is LiveState.LOST)
        unsent = [one.send(f"a{number}") for number in range(3)]
        two.send("g0")
        await eventually(lambda: texts(two) == ["g0"])
        assert [own.delivery for own in unsent] == [Delivery.SENDING] * 3
        way.target = target
        ada.live.hurry()
        await eventually(lambda: sorted(texts(one)) == ["a0", "a1", "a2", "g0"])
        await eventually(lambda: texts(two) == texts(one))
        assert texts(one)[0] == "g0"
        assert [own.delivery for own in unsent] == [Delivery.SENT] * 3


async def test_what_was_stored_and_not_answered_is_not_said_twice(edge: Edge, way: Network) -> None:
    second = f"http://{edge.gateways[1].address}"
    async with user(way.url) as ada, user(second, "Grace") as grace, ada.room("hall") as one, grace.room("hall") as two:
        await eventually(lambda: one.joined and two.joined)
        for number in range(10):
            one.send(str(number))
            # Cut at any moment of the message's way there and back.
            await eventually(lambda: one.joined)
            way.cut()
            ada.live.hurry()
        await eventually(lambda: len(texts(two)) == 10 and not one.timeline.outgoing)
        assert sorted(texts(two), key=int) == [str(number) for number in range(10)]
        assert texts(one) == texts(two)


async def test_a_gateway_that_stops_is_left_for_another_at_once(edge: Edge, way: Network) -> None:
    second = edge.gateways[1]
    async with user(way.url) as ada, ada.room("hall") as one:
        await eventually(lambda: one.joined)
        one.send("before")
        await eventually(lambda: texts(one) == ["before"])
        way.target = second.address
        await edge.gateways[0].gateway.aclose()
        one.send("after")
        await eventually(lambda: texts(one) == ["before", "after"])


async def test_what_the_chat_refuses_has_failed_with_the_reason(way: Network) -> None:
    async with user(way.url) as ada, ada.room("hall") as one:
        await eventually(lambda: one.joined)
        own = one.send("x" * 3000)
        await eventually(lambda: own.delivery is Delivery.FAILED)
        assert "2000" in own.reason
        one.send_again(own.client_id)
        assert own.delivery is Delivery.SENDING
        await eventually(lambda: own.delivery is Delivery.FAILED)
        one.discard(own.client_id)
        assert one.timeline.outgoing == {}


async def test_notifications_come_once_and_go_on_after_an_interruption(edge: Edge, way: Network) -> None:
    async with user(way.url) as ada:
        await eventually(lambda: ada.live.state is LiveState.LIVE)
        await edge.notify(ada.session.subject, "first")
        await eventually(lambda: [item.title for item in ada.notifications.items] == ["first"])
        way.cut()
        await edge.notify(ada.session.subject, "second")
        ada.live.hurry()
        await eventually(lambda: [item.title for item in ada.notifications.items] == ["second", "first"])


async def test_who_signs_out_is_off_and_hears_nothing(edge: Edge, way: Network) -> None:
    async with user(way.url) as ada, ada.room("hall") as one:
        await eventually(lambda: one.joined)
        await ada.session.sign_out()
        await eventually(lambda: ada.live.state is LiveState.OFF)
        assert await ada.session.token() == ""
        await ada.session.sign_up("Ada", address(), PASSWORD)
        await eventually(lambda: one.joined and one.total == 1)
