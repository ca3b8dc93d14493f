"""A socket's room and notification subscriptions: streams that survive restarts of the services.

If a stream breaks because an instance stopped, crashed or is unreachable, it is reopened after the last id that the
client got, at another instance, after a growing pause. The client gets `interrupted`, and continues.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from services.gateway.errors import ApiError
from services.gateway.realtime import frames

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from demo.chat.v1 import chat_pb2 as chat_pb
    from services.gateway.realtime.clients import ChatClient, UserCredentials
    from services.gateway.realtime.commands import Join, Subscribe

    Send = Callable[[str], Awaitable[None]]

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
CALM_SECONDS = 5.0
"""A stream that lasted this long is reopened after the first pause."""
MOST_HISTORY = 500
_TRANSIENT = {"UNAVAILABLE", "CANCELLED", "INTERNAL", "UNKNOWN", "DEADLINE_EXCEEDED", "ABORTED", "RESOURCE_EXHAUSTED"}
"""Codes after which a stream is reopened. Others are sent to the client."""


async def resubscribing(once: Callable[[], Awaitable[None]], interrupted: Callable[[], Awaitable[None]]) -> ApiError:
    """Runs `once` repeatedly; returns the first permanent error."""
    pause = FIRST_PAUSE
    while True:
        began = time.monotonic()
        try:
            await once()
        except ApiError as failure:
            if failure.code not in _TRANSIENT:
                return failure
        if time.monotonic() - began > CALM_SECONDS:
            pause = FIRST_PAUSE
        await interrupted()
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)


class RoomSubscription:
    """A user's subscription to one room. `on_joined` is called once, when it is in force."""

    def __init__(
        self,
        chat: ChatClient,
        send: Send,
        who: UserCredentials,
        join: Join,
        on_joined: Callable[[], None] = lambda: None,
    ) -> None:
        self._chat = chat
        self._send = send
        self._who = who
        self._join = join
        self._after = join.resume_after
        self._on_joined = on_joined
        self._joined = False
        self._interrupted_sent = False
        """Whether `interrupted` was sent since the stream broke."""
        self._from_nothing = False
        """The room was empty when the subscription began."""

    async def run(self) -> None:
        """Runs until a permanent error, which is sent to the client."""
        failure = await resubscribing(self._once, self._interrupted)
        await self._send(frames.error(failure, room=self._join.room, ref=self._join.ref))

    async def _once(self) -> None:
        await self._begin()
        join = self._join
        stream = self._chat.stay(self._who, join.room, join.name, self._after)
        async with contextlib.aclosing(stream) as events:
            async for event in events:
                await self._hear(event)

    async def _begin(self) -> None:
        """Find the place to go on from: without one, what is said while the stream is broken would be lost."""
        if self._after:
            return
        join = self._join
        wanted = MOST_HISTORY if self._from_nothing else join.history
        messages = (await self._chat.history(self._who, join.room, "", max(1, wanted))).messages
        for message in messages if wanted else ():
            await self._send(frames.message(message))
        self._from_nothing = not messages
        self._after = messages[-1].id if messages else ""

    async def _hear(self, event: chat_pb.ChatEvent) -> None:
        match event.WhichOneof("kind"):
            case "message":
                await self._send(frames.message(event.message))
                self._after = event.message.id
            case "joined":
                ref = "" if self._joined else self._join.ref
                await self._send(frames.joined(event.joined, resumed=self._joined, ref=ref))
                if not self._joined:
                    self._on_joined()
                self._joined, self._interrupted_sent = True, False
            case "presence":
                await self._send(frames.presence(event.presence))
            case "missed":
                await self._send(frames.missed(self._join.room, event.missed))

    async def _interrupted(self) -> None:
        if not self._interrupted_sent:
            self._interrupted_sent = True
            await self._send(frames.frame("interrupted", room=self._join.room))


class NotificationSubscription:
    """One user's notifications."""

    def __init__(self, chat: ChatClient, send: Send, who: UserCredentials, wanted: Subscribe) -> None:
        self._chat = chat
        self._send = send
        self._who = who
        self._wanted = wanted
        self._after = wanted.resume_after
        self._subscribed = False
        self._interrupted_sent = False

    async def run(self) -> None:
        """Runs until a permanent error, which is sent to the client."""
        failure = await resubscribing(self._once, self._interrupted)
        await self._send(frames.error(failure, ref=self._wanted.ref))

    async def _once(self) -> None:
        stream = self._chat.notifications(self._who, self._wanted.types, self._after)
        welcomed = False
        async with contextlib.aclosing(stream) as events:
            async for event in events:
                if welcomed:
                    await self._send(frames.notification(event))
                elif not self._subscribed:
                    await self._send(frames.frame("subscribed", id=event.id, ref=self._wanted.ref))
                    self._subscribed = True
                # The welcome's id is after `_after`: later notifications are after both.
                if welcomed or not self._after:
                    self._after = event.id
                welcomed, self._interrupted_sent = True, False

    async def _interrupted(self) -> None:
        if not self._interrupted_sent:
            self._interrupted_sent = True
            await self._send(frames.frame("interrupted"))
