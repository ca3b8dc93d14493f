"""Public server-sent events, and polling."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from services.common.messaging.bus import BusConfig, open_bus
from services.common.messaging.events import Event, encode, stream_of, subject_of
from services.common.runtime.tasks import background_task
from services.gateway.realtime.live_events import BUFFER, LiveEvents
from support.demo.people import reason, sign_up
from support.demo.sockets import line
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from nats.aio.msg import Msg

    from support.demo.gateway import Demo
    from support.demo.realtime import Edge
    from support.servers.nats import NatsServer

NAMES = ("OrderPlaced", "StepStarted", "OrderCompleted", "OrderRejected")


async def tell(nats: NatsServer, names: tuple[str, ...] = NAMES, first: int = 1) -> None:
    """Events as the order service tells them."""
    async with open_bus(BusConfig((nats.url,)), "shop") as bus:
        await bus.ensure_stream(stream_of("order"), "events.order.>")
        for number, name in enumerate(names, first):
            data = {"user_id": "ada", "total_cents": 2400, "reason": "of ada's"}
            event = Event("order", number, f"demo.order.{name}.v1", f"o{number}", datetime.now(UTC), data)
            await bus.streams.publish(subject_of(event), encode(event))


@contextlib.asynccontextmanager
async def watching(served: Demo, path: str, after: str | None = None) -> AsyncIterator[list[dict]]:
    """What comes: each event's fields, with its data read."""
    heard: list[dict] = []

    async def listen() -> None:
        headers = {"Last-Event-ID": after} if after is not None else {}
        async with served.http.stream("GET", path, headers=headers, timeout=None) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            fields: dict = {}
            async for text in response.aiter_lines():
                if not text:
                    if "data" in fields:
                        heard.append(fields)
                    fields = {}
                elif not text.startswith(":"):
                    name, _, value = text.partition(": ")
                    fields[name] = json.loads(value) if name == "data" else value

    task = asyncio.create_task(listen())
    try:
        yield heard
        await asyncio.sleep(0)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_the_feed_shows_what_becomes_of_orders_and_nothing_personal(edge: Edge) -> None:
    await tell(edge.nats)
    async with watching(edge.gateways[0], "/api/live/feed") as heard:
        await eventually(lambda: len(heard) == 3)
        await tell(edge.nats, ("OrderPlaced",), first=5)
        await eventually(lambda: len(heard) == 4)
    assert [item["data"]["state"] for item in heard] == ["placed", "completed", "rejected", "placed"]
    assert heard[1]["data"]["total_cents"] == 2400
    assert "ada" not in json.dumps(heard)
    async with watching(edge.gateways[1], "/api/live/feed", after=heard[1]["id"]) as again:
        await eventually(lambda: len(again) == 2)
    assert again == heard[2:]
    async with watching(edge.gateways[1], "/api/live/feed", after="") as anew:
        await eventually(lambda: len(anew) == 4)


async def test_the_chart_counts_each_second_alike_on_every_gateway(edge: Edge) -> None:
    await tell(edge.nats, NAMES * 5)
    async with (
        watching(edge.gateways[0], "/api/live/chart") as one,
        watching(edge.gateways[1], "/api/live/chart") as two,
    ):
        await eventually(lambda: min(sum(item["data"]["placed"] for item in heard) for heard in (one, two)) == 5, 15)
        figures = {item["id"]: item["data"] for item in one}
        shared = [item for item in two if item["id"] in figures]
        assert [figures[item["id"]] for item in shared] == [item["data"] for item in shared]
        assert sum(item["data"]["revenue_cents"] for item in one) == 5 * 2400
        ids = [int(item["id"]) for item in one]
        assert ids == list(range(ids[0], ids[0] + len(ids)))
        last = one[-1]["id"]
    async with watching(edge.gateways[1], "/api/live/chart", after=last) as again:
        await eventually(lambda: again, 10)
    assert int(again[0]["id"]) == int(last) + 1
    for nothing_seen in ("", str(2**63 - 1)):
        async with watching(edge.gateways[1], "/api/live/chart", after=nothing_seen) as anew:
            await eventually(lambda anew=anew: anew, 10)


@pytest.mark.parametrize("path", ["/api/live/feed", "/api/live/chart"])
async def test_streams_end_with_the_instance_and_are_not_begun_there(
    edge: Edge, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    await tell(edge.nats)
    served = edge.gateways[0]
    async with served.http.stream("GET", path, timeout=20) as response:
        lines = response.aiter_lines()
        while not (await anext(lines)).startswith("id:"):
            pass
        served.stopping.set()
        async for _ in lines:
            pass
    assert reason(await served.http.get(path)) == (503, "STOPPING")
    assert not [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_viewer_that_goes_away_leaves_nothing_behind(edge: Edge, caplog: pytest.LogCaptureFixture) -> None:
    await tell(edge.nats)
    for path in ("/api/live/feed", "/api/live/chart"):
        async with watching(edge.gateways[0], path) as heard:
            await eventually(lambda heard=heard: heard)
    await edge.gateways[0].stop_gateway()
    assert not [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_feed_whose_stream_is_away_says_so(edge: Edge) -> None:
    await tell(edge.nats)
    async with watching(edge.gateways[0], "/api/live/feed") as heard:
        await eventually(lambda: len(heard) == 3)
    await edge.nats.kill()
    async with watching(edge.gateways[0], "/api/live/feed") as heard:
        await eventually(lambda: heard, 15)
    assert (heard[0]["event"], heard[0]["data"]["reason"]) == ("problem", "BUS_UNAVAILABLE")


async def test_polling_tells_what_is_new_and_costs_nothing_where_nothing_is(edge: Edge) -> None:
    ada = await sign_up(edge.gateways[0])
    http = edge.gateways[1].http
    assert reason(await http.get("/api/messages?room=hall")) == (401, "TOKEN_MISSING")
    empty = await http.get("/api/messages?room=hall&since=1642781234", headers=ada.headers)
    assert (empty.json()["messages"], empty.json()["has_new"]) == ([], False)
    async with line(edge.gateways[0].address, ada) as one:
        await one.join()
        await one.say("say", room="hall", text="hello")
        await one.first("said")
        new = await http.get("/api/messages?room=hall&since=1642781234", headers=ada.headers)
        assert [message["text"] for message in new.json()["messages"]] == ["hello"]
        since = {"room": "hall", "since": new.json()["next"]}
        nothing = await http.get("/api/messages", params=since, headers=ada.headers)
        assert (nothing.json()["has_new"], nothing.json()["next"]) == (False, since["since"])
        same = await http.get(
            "/api/messages", params=since, headers=ada.headers | {"If-None-Match": nothing.headers["ETag"]}
        )
        assert (same.status_code, same.content) == (304, b"")
        await one.say("say", room="hall", text="again")
        await one.first("said", 2)
        more = await http.get("/api/messages", params=since, headers=ada.headers)
        assert [message["text"] for message in more.json()["messages"]] == ["again"]
        slide = await http.get("/api/messages?since=1642781234", headers=ada.headers)
        assert [message["text"] for message in slide.json()["messages"]] == ["hello", "again"]
        begun = (await http.get("/api/messages?room=new", headers=ada.headers)).json()["next"]
        await one.join("new")
        for text in ("first", "second"):
            await one.say("say", room="new", text=text)
        await one.first("said", 4)
        new = await http.get(f"/api/messages?room=new&limit=1&since={begun}", headers=ada.headers)
        assert ([message["text"] for message in new.json()["messages"]], new.json()["more"]) == (["first"], True)
        # Half seconds count; where nothing was said since then there is nothing, whatever the time.
        for later in ("2000000000.5", "9999999999", "253402300799"):
            answer = await http.get(f"/api/messages?since={later}", headers=ada.headers)
            assert (answer.status_code, answer.json()["messages"], answer.json()["next"]) == (200, [], later)
    for wrong in ("room=hall&since=nonsense", "room=no such room", "since=1&limit=0"):
        assert (await http.get(f"/api/messages?{wrong}", headers=ada.headers)).status_code in {400, 422}, wrong
    for wrong in ("9999999999999", "1e300", "-1", "-0.5", "nan", "inf", "%D9%A1", "1_000", "123-456"):
        answer = await http.get(f"/api/messages?since={wrong}", headers=ada.headers)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "since"), wrong


async def test_a_poll_after_a_message_of_a_stream_that_is_gone_says_so(edge: Edge) -> None:
    ada = await sign_up(edge.gateways[0])
    http = edge.gateways[0].http
    async with line(edge.gateways[0].address, ada) as one:
        await one.join()
        await one.say("say", room="hall", text="hello")
        old = (await one.first("said"))["id"]
        # Its stay has seen the message, and so goes on from there; what it says itself it may hear first by its answer.
        await one.first("message")
        async with open_bus(BusConfig((edge.nats.url,)), "test") as bus:
            await bus.streams.delete_stream("CHAT")
        # Its stay ends, and then is refused: what it had seen is of another stream.
        assert await one.error() == ("OUT_OF_RANGE", "MESSAGE_TOO_OLD")

    async def refused() -> bool:
        # Which replica is asked is chance, and each notices for itself.
        answer = await http.get(f"/api/messages?since={old}", headers=ada.headers)
        return not answer.is_success and reason(answer) == (400, "MESSAGE_TOO_OLD")

    await eventually(refused)
    assert (await http.get("/api/messages", headers=ada.headers)).json()["messages"] == []


@contextlib.asynccontextmanager
async def live_events(
    nats: NatsServer, clock: Callable[[], float], heard: asyncio.Event | None = None
) -> AsyncIterator[LiveEvents]:
    """`heard`: events come once it is set; heartbeats come all the time."""
    async with open_bus(BusConfig((nats.url,)), "gateway") as bus, contextlib.AsyncExitStack() as stack:
        if heard is not None:
            patch = stack.enter_context(pytest.MonkeyPatch.context())
            patch.setattr(bus.connection, "subscribe", _held_back(bus.connection.subscribe, heard))
        live = LiveEvents(bus, clock)
        async with live.running():
            yield live


def _held_back(subscribe: Callable[..., Awaitable[Any]], heard: asyncio.Event) -> Callable[..., Awaitable[Any]]:
    """nats-py's `subscribe`, whose callbacks hear a message of a stream once the event is set."""

    async def subscribed(subject: str, *, cb: Callable[[Msg], Awaitable[None]], **options: Any) -> Any:
        async def later(message: Msg) -> None:
            if message.reply:
                await heard.wait()
            await cb(message)

        return await subscribe(subject, cb=later, **options)

    return subscribed


async def test_a_gateway_that_is_behind_repeats_no_event_that_another_one_has_sent(nats: NatsServer) -> None:
    behind = asyncio.Event()
    async with live_events(nats, time.time, behind) as live:
        await eventually(lambda: live.hearing)
        await tell(nats, ("OrderPlaced",) * 3)
        async with contextlib.aclosing(live.feed(3)) as frames:
            coming = asyncio.create_task(anext(frames))
            await eventually(lambda: live.viewers)
            behind.set()
            await tell(nats, ("OrderPlaced",), first=4)
            assert (await asyncio.wait_for(coming, 10)).endswith(b"\nid: 4\n\n")


async def test_a_viewer_that_does_not_read_is_told_how_much_it_missed(nats: NatsServer) -> None:
    async with live_events(nats, time.time) as live:
        await eventually(lambda: live.hearing)
        async with contextlib.aclosing(live.feed(None)) as frames:
            coming = asyncio.create_task(anext(frames))
            await eventually(lambda: live.viewers)
            await tell(nats, ("OrderPlaced",) * (BUFFER + 51))
            assert (await coming).endswith(b"\nid: 1\n\n")
            await eventually(lambda: live.position == BUFFER + 51)
            assert await anext(frames) == b'event: missed\ndata: {"count": 50}\n\n'
            assert (await anext(frames)).endswith(b"\nid: 52\n\n")


async def test_the_chart_stands_still_while_nothing_can_be_heard_and_then_tells_every_second(nats: NatsServer) -> None:
    ahead, looks = 0.0, 0
    figures: list[dict] = []

    def clock() -> float:
        nonlocal looks
        looks += 1
        return time.time() + ahead

    async def watch(live: LiveEvents) -> None:
        async for frame in live.chart(None):
            data, number = re.fullmatch(rb"event: second\ndata: (.*)\nid: (\d+)\n\n", frame).groups()
            figures.append(json.loads(data) | {"id": int(number)})

    async with live_events(nats, clock) as live, background_task(watch(live), "watching"):
        await eventually(lambda: figures)
        await nats.kill()
        await eventually(lambda: not live.hearing)
        told = live.last_second
        ahead, before = 10.0, looks
        await eventually(lambda: looks > before + 6, 15)
        ahead = 0.0
        assert live.last_second == told
        await nats.start()
        await eventually(lambda: live.hearing, 15)
        await tell(nats)
        await eventually(lambda: sum(each["placed"] for each in figures) == 1, 15)
    ids = [each["id"] for each in figures]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
