"""A client of calls on the gateway's WebSocket, with the signs of life that a participant gives."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from support.demo.people import sign_up
from support.demo.sockets import Line, line
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from support.demo.people import Person

QUICK = {"GATEWAY_CALL_RING_SECONDS": "3", "GATEWAY_CALL_GRACE_SECONDS": "3"}
"""Times of calls for tests that wait for them."""
ALIVE_SECONDS = 0.5


@dataclass
class Caller:
    """One window of a user."""

    line: Line
    person: Person
    participant: str = ""
    token: str = ""
    alive: bool = True
    """Whether it gives signs of life."""

    @property
    def user_id(self) -> str:
        return self.person.subject

    async def signal(self, kind: str, **fields: Any) -> None:
        await self.line.connection.send(json.dumps({"type": "signal", "kind": kind, **fields}))

    async def asked(self, kind: str, **fields: Any) -> dict[str, Any]:
        """What answers a signal: a frame with its `ref`."""
        ref = f"{kind}-{len(self.line.heard)}"
        await self.signal(kind, ref=ref, **fields)
        answer = await eventually(
            lambda: next((frame for frame in self.line.heard if frame.get("ref") == ref), None), 15
        )
        if answer.get("token"):
            self.participant, self.token = answer["participant"], answer["token"]
        return answer

    async def refusal(self, kind: str, **fields: Any) -> tuple[str, str]:
        """Code and reason with which a signal is refused."""
        answer = await self.asked(kind, **fields)
        assert answer["type"] == "error", answer
        return answer["code"], answer["reason"]

    def call(self, call: str) -> dict[str, Any]:
        """The latest that was heard of a call; empty: nothing."""
        heard = [frame for frame in self.line.of("call") if frame["call"] == call]
        return heard[-1] if heard else {}

    async def until(self, call: str, condition: Callable[[dict[str, Any]], Any], seconds: float = 15) -> dict[str, Any]:
        """The latest of a call, once it is as wanted."""
        await eventually(lambda: self.call(call) and condition(self.call(call)), seconds)
        return self.call(call)

    async def state(self, call: str, state: str, seconds: float = 15) -> dict[str, Any]:
        return await self.until(call, lambda frame: frame["state"] == state, seconds)

    def signals(self, kind: str) -> list[dict[str, Any]]:
        return [frame for frame in self.line.of("signal") if frame["kind"] == kind]

    async def first(self, kind: str, count: int = 1) -> dict[str, Any]:
        """The signal of that kind with that number, which must come."""
        await eventually(lambda: len(self.signals(kind)) >= count, 15)
        return self.signals(kind)[count - 1]

    async def keep_alive(self) -> None:
        while True:
            if self.alive:
                await self.line.say("ping")
            await asyncio.sleep(ALIVE_SECONDS)


@contextlib.asynccontextmanager
async def caller(
    served: Any, person: Person | None = None, room: str = "hall", name: str = ""
) -> AsyncIterator[Caller]:
    """A window in a room; without `person` of a new user. `served`: a gateway; with `person` its address is enough."""
    who = person or await sign_up(served)
    async with line(served.address, who) as opened:
        if room:
            await opened.join(room, name=name)
        window = Caller(opened, who)
        living = asyncio.create_task(window.keep_alive())
        try:
            yield window
        finally:
            living.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await living


async def in_call(ada: Caller, bob: Caller, room: str = "hall") -> str:
    """The id of an accepted call of two."""
    rung = await ada.asked("ring", room=room, to=bob.user_id)
    assert rung["type"] == "call", rung
    await bob.state(rung["call"], "ringing")
    accepted = await bob.asked("accept", call=rung["call"])
    assert accepted["state"] == "accepted", accepted
    await ada.state(rung["call"], "accepted")
    return str(rung["call"])
