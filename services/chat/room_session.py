"""The session of one connection in one room.

Messages of the room go into an inbox of bounded size (`fanout`); a slow reader is told how many messages were left
out. Comings and goings are kept beside it, one for each member, and cancel each other out: what waits is the difference
between what the caller knows and what is true, so its size is bounded by the number of members.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from services.chat import domain
from services.chat.domain import Connection, InvalidChatError, Message, Person, PresenceChange
from services.common.messaging.fanout import Gap, Inbox, read_backlog
from services.common.runtime.errors import BusUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
    from datetime import datetime

    from services.chat.app import Archive
    from services.chat.domain import Member
    from services.chat.presence import Presence
    from services.common.messaging.fanout import Fanout
    from services.common.messaging.stream_position import StreamPosition

REFUSALS = 16
"""Maximum unread refusals, after which no more input is read."""


@dataclass(frozen=True, slots=True)
class RoomJoined:
    """The session has begun. `people`: at most `domain.CROWD` members, `total`: their number."""

    room: str
    people: Sequence[Person]
    total: int


@dataclass(frozen=True, slots=True)
class MessageRefused:
    """A message was rejected. `code`: the name of a gRPC status."""

    client_id: str
    code: str
    reason: str


RoomEvent: TypeAlias = "RoomJoined | Message | PresenceChange | MessageRefused | Gap[Message]"


@dataclass(frozen=True, slots=True)
class RoomDependencies:
    """Dependencies that all sessions of a replica share."""

    archive: Archive
    fanout: Fanout[Message]
    presence: Presence
    buffer: int
    now: Callable[[], datetime]


class RoomSession:
    """`events` is the session itself; `say` and `end` are called concurrently."""

    def __init__(self, dependencies: RoomDependencies, who: Member, place: StreamPosition, era: int) -> None:
        """`era`: the fan-out's at the time of `place`."""
        self.who = who
        self._dependencies = dependencies
        self._era = era
        self._place = place.sequence
        self._inbox = Inbox[Message](dependencies.buffer, lambda message: message.sequence > place.sequence)
        self._changes: dict[str, PresenceChange] = {}
        self._refused: deque[MessageRefused] = deque()
        self._room_for_refusals = asyncio.Event()
        self._ended = False
        self._last_said = 0

    def notice(self, change: PresenceChange) -> None:
        """Records a presence change."""
        before = self._changes.pop(change.person.user_id, None)
        if before is None or before.present == change.present:
            self._changes[change.person.user_id] = change
        self._inbox.wake()

    async def say(self, text: str, client_id: str) -> None:
        """Stores a message, which is returned as an event, or as MessageRefused if it is rejected."""
        try:
            self._last_said = await self._dependencies.archive.store(domain.new_message(self.who, text, client_id))
        except InvalidChatError as error:
            await self.refuse(MessageRefused(client_id, "INVALID_ARGUMENT", str(error)))
        except BusUnavailableError as error:
            await self.refuse(MessageRefused(client_id, "UNAVAILABLE", str(error)))

    async def refuse(self, refused: MessageRefused) -> None:
        while len(self._refused) >= REFUSALS:
            self._room_for_refusals.clear()
            await self._room_for_refusals.wait()
        self._refused.append(refused)
        self._inbox.wake()

    def end(self) -> None:
        """Ends the session after the delivery of its own messages."""
        self._ended = True
        self._inbox.wake()

    async def events(self) -> AsyncGenerator[RoomEvent]:
        """Yields the events of the session. Raises BusUnavailableError, StoppingError, StreamLostError."""
        with self._present():
            room, presence = self.who.room, self._dependencies.presence
            yield RoomJoined(room, presence.people(room, domain.CROWD), presence.count(room))
            async with contextlib.aclosing(self._heard()) as events:
                async for event in events:
                    yield event

    @contextlib.contextmanager
    def _present(self) -> Iterator[None]:
        attendance = Connection(self.who, self._dependencies.now())
        with self._dependencies.presence.entered(attendance, self.notice):
            yield

    async def _heard(self) -> AsyncGenerator[RoomEvent]:
        archive, room, seen = self._dependencies.archive, self.who.room, self._place

        def read(after: int, until: int) -> AsyncGenerator[Message]:
            return archive.read(room, after, until)

        async with contextlib.aclosing(read_backlog(read, seen, archive.position)) as older:
            async for message in older:
                seen = message.sequence
                yield message
        with self._dependencies.fanout.open((room,), self._inbox, self._era):
            until = archive.position()
            async with contextlib.aclosing(read(seen, until)) as rest:
                async for message in rest:
                    yield message
            seen = max(seen, until)
            while not (self._ended and seen >= self._last_said and not self._refused):
                await self._inbox.wait()
                for event in self._waiting():
                    yield event
                    if isinstance(event, Message):
                        seen = event.sequence

    def _waiting(self) -> Iterator[RoomEvent]:
        """Yields the pending events."""
        while self._refused:
            yield self._refused.popleft()
            self._room_for_refusals.set()
        while self._changes:
            yield self._changes.pop(next(iter(self._changes)))
        while taken := self._inbox.take():
            gap, message = taken
            if gap:
                yield gap
            yield message
