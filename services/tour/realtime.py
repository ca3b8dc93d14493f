"""The slides about real-time communication: polling, sockets, server-sent events, and reconnecting."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

from websockets.asyncio.client import connect

from services.tour.guide import WAIT_SECONDS, UnexpectedResultError, short

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from websockets.asyncio.client import ClientConnection

    from services.tour.guide import Guide, TourUser

ROOM = "tour"


class TourSocket:
    """A user's WebSocket."""

    def __init__(self, guide: Guide, who: str, connection: ClientConnection) -> None:
        self._guide = guide
        self._who = who
        self._connection = connection

    async def send(self, **message: Any) -> None:
        self._guide.say(f"  {self._who} > {json.dumps(message, ensure_ascii=False)}")
        await self._connection.send(json.dumps(message))

    async def until(self, kind: str) -> dict[str, Any]:
        """Returns the next frame of that type; skips others."""
        text: str | bytes = "nothing"
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while True:
                    text = await self._connection.recv()
                    frame: dict[str, Any] = json.loads(text)
                    if frame["type"] == kind:
                        self._guide.say(short(f"  {self._who} < {text!s}"))
                        return frame
        except TimeoutError as error:
            what = short(
                f"expected `{kind}` at {self._who}'s within {WAIT_SECONDS:.0f} s; the last that came: {text!s}"
            )
            raise UnexpectedResultError(what) from error


@contextlib.asynccontextmanager
async def tour_socket(guide: Guide, person: TourUser, name: str) -> AsyncIterator[TourSocket]:
    address = guide.gateway.replace("http", "ws", 1) + "/ws"
    async with connect(address, additional_headers=person.headers, compression=None, proxy=None) as connection:
        opened = TourSocket(guide, name, connection)
        await opened.until("welcome")
        yield opened


async def polling(guide: Guide) -> None:
    """HTTP polling (inefficient)."""
    person = await guide.person("Jane Doe")
    first = await guide.get(f"/api/messages?room={ROOM}&since={int(time.time())}", who=person)
    guide.check(first["has_new"] is False, "nothing new")
    answer = await guide.ask("GET", f"/api/messages?room={ROOM}", who=person)
    known = {"If-None-Match": answer.headers["ETag"]}
    again = await guide.ask("GET", f"/api/messages?room={ROOM}", who=person, headers=known)
    guide.check(again.status_code == 304, "304: nothing new, and no body")
    guide.slide_says("has no way to say `the same as before` cheaply; an ETag is one. Headers go over the wire still")


async def chat(guide: Guide) -> None:
    """WebSocket (efficient); message broadcasting."""
    john, jane = await guide.person("John Doe"), await guide.person("Jane Doe")
    async with tour_socket(guide, john, "John") as one, tour_socket(guide, jane, "Jane") as two:
        await one.send(type="join", room=ROOM, name="John")
        await one.until("joined")
        await two.send(type="join", room=ROOM, name="Jane")
        await two.until("joined")
        began = time.perf_counter()
        await one.send(type="say", room=ROOM, text="Hello!", client_id="1")
        heard = await two.until("message")
        took = (time.perf_counter() - began) * 1000
        guide.check(heard["text"] == "Hello!", "John's words at Jane's")
        guide.saw(f"from John by gateway, chat, NATS, chat and gateway to Jane in {took:.0f} ms; not the slide's 0")
        await two.send(type="dance", ref="d")
        guide.check((await two.until("error"))["reason"] == "UNKNOWN_TYPE", "a clear refusal, and the socket goes on")
        await two.send(type="say", room=ROOM, text="Hi there!")
        guide.check((await one.until("message"))["text"] == "Hello!", "his own words first")
        seen = await one.until("message")
        guide.check(seen["text"] == "Hi there!", "Jane's words at John's")
    async with tour_socket(guide, jane, "Jane") as two:
        await two.send(type="join", room=ROOM, resume_after=heard["id"])
        missed = await two.until("message")
        guide.check(missed["text"] == "Hi there!", "what came after the last message seen, once")
    guide.slide_says("lets any page connect, keeps clients in a map without a lock, and a slow one stops all")


async def events(guide: Guide) -> None:
    """Server-Sent Events: the live feed and the live chart."""
    person = await guide.person("Jane Doe")
    body = {"items": [{"sku": "TEA-EARL-GREY", "quantity": 1}]}
    await guide.ask("POST", "/api/v3/orders", body, who=person)
    seen: list[str] = []
    for name, wanted in (("feed", 1), ("chart", 3)):
        guide.say(f"  > GET /api/live/{name}")
        count = 0
        async with guide.http.stream("GET", f"/api/live/{name}", timeout=WAIT_SECONDS) as response:
            async for text in response.aiter_lines():
                if text.startswith("data: "):
                    guide.say(f"  < {text}")
                    count += 1
                if text.startswith("id: "):
                    seen.append(text.removeprefix("id: "))
                if count == wanted:
                    break
    async with guide.http.stream("GET", "/api/live/chart", headers={"Last-Event-ID": seen[-1]}) as response:
        async for text in response.aiter_lines():
            if text.startswith("id: "):
                guide.check(int(text.removeprefix("id: ")) == int(seen[-1]) + 1, "the second after the last one seen")
                break
    guide.saw(f"with Last-Event-ID: {seen[-1]} the chart goes on with the second after it")
    guide.slide_says("names server-sent events and never shows them")


async def notifications(guide: Guide) -> None:
    """Notification service with streaming: an order notifies its buyer."""
    person = await guide.person("Rosa Parks")
    async with tour_socket(guide, person, "Rosa") as one:
        await one.send(type="subscribe", types=["ORDER_UPDATE"])
        await one.until("subscribed")
        await guide.ask("POST", "/api/v3/account/deposits", {"amount_cents": 2000}, who=person, quiet=True)
        await guide.ask("POST", "/api/v3/orders", {"items": [{"sku": "TEA-EARL-GREY", "quantity": 1}]}, who=person)
        placed = await one.until("notification")
        ended = await one.until("notification")
        states = placed["data"]["status"], ended["data"]["status"]
        guide.check(states == ("placed", "completed"), f"placed and completed, not {states}")
    async with tour_socket(guide, person, "Rosa") as again:
        await again.send(type="subscribe", resume_after=placed["id"])
        once = await again.until("notification")
        guide.check(once["id"] == ended["id"], "what came after the last id, once")
    async with tour_socket(guide, person, "Rosa") as one:
        await one.send(type="subscribe", types=["INFO", "WARNING"])
        await one.until("subscribed")
        told = {"user_id": person.id, "type": "INFO", "title": "To you", "message": "Tea is ready"}
        await guide.call("notification", "SendNotification", told, who=person)
        guide.check((await one.until("notification"))["title"] == "To you", "what was sent to Rosa")
        operator = await guide.operator()
        await guide.call("notification", "Broadcast", {"type": "WARNING", "title": "To all"}, who=operator)
        guide.check((await one.until("notification"))["title"] == "To all", "what was sent to all")
    guide.slide_says("sends to one stream from several goroutines at once, and forgets whoever is away")
