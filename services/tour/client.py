"""The slides' Flutter client: connect, messages as a stream, send, dispose; here by the client of the demo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.client import DemoClient, Room
from services.tour.guide import PASSWORD, fresh

if TYPE_CHECKING:
    from services.tour.guide import Guide

ROOM = "tour"


async def flutter_client(guide: Guide) -> None:
    """Flutter WebSocket client; receiving messages in a widget."""
    async with DemoClient(guide.gateway) as john, DemoClient(guide.gateway) as jane:
        for client, name in ((john, "John Doe"), (jane, "Jane Doe")):
            await client.session.sign_up(name, f"{fresh('client')}@example.org", PASSWORD)
        async with john.room(ROOM) as his, jane.room(ROOM) as hers:
            await guide.until("both in the room", lambda: _both(his, hers))
            guide.say('  > room.send("Hello!")')
            words = fresh("Hello!")
            his.send(words)
            await guide.until("John's words at Jane's", lambda: _heard(hers, words))
            guide.saw("Jane's widget iterates over room.messages(), and hears it once")
            guide.say("  > live.reconnect(), and room.send() before it is back")
            changes = john.live.changes.count
            john.live.reconnect()
            await john.live.changes.after(changes)
            late, meanwhile = fresh("still"), fresh("meanwhile")
            own = his.send(late)
            guide.saw(f"what he says without a connection is {own.delivery.value}")
            hers.send(meanwhile)
            await guide.until("his words, once", lambda: _heard(hers, late))
            await guide.until("what she said meanwhile", lambda: _heard(his, meanwhile))
            for room in (his, hers):
                texts = [message.text for message in room.timeline.messages]
                guide.check(texts.count(late) == texts.count(meanwhile) == 1, "each message once")
            guide.saw(f"with a connection it is {own.delivery.value}, once, and he has what she said meanwhile")
    guide.slide_says("neither reconnects nor says what became of a message; `You: ...` and the echo show it twice")


async def _both(*rooms: Room) -> bool:
    return all(room.joined for room in rooms)


async def _heard(room: Room, text: str) -> bool:
    return text in [message.text for message in room.timeline.messages]
