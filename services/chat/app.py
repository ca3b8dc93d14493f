"""The use cases of the chat: rooms that are the same on every replica."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from services.chat import domain
from services.chat.domain import InvalidChatError, Message, NewMessage, Person
from services.chat.room_session import RoomDependencies, RoomSession
from services.common.messaging.stream_position import InvalidPositionError, StreamPosition, parse_position

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

    from services.chat.presence import Presence
    from services.common.messaging.fanout import Fanout


class Archive(Protocol):
    """The store of messages. Every method may raise BusUnavailableError."""

    def position(self) -> int:
        """Sequence of the last message that this replica has delivered."""

    async def store(self, remark: NewMessage) -> int:
        """Stores a message; returns its sequence. Deduplicates by room, user and client_id."""

    async def get(self, sequence: int) -> Message | None: ...

    async def knows(self, place: StreamPosition) -> bool:
        """Whether the position belongs to the present stream, which may have been recreated."""

    async def keeps(self, place: StreamPosition, room: str, now: datetime) -> bool:
        """Whether all messages of the room after that position are still stored."""

    def read(self, room: str, after: int, until: int) -> AsyncGenerator[Message]:
        """The messages of the room in order: sequences above `after`, up to and including `until`."""

    async def page(self, room: str, after: int, since: datetime | None, limit: int) -> Sequence[Message]:
        """At most `limit` messages, oldest first, above that sequence and not before that time."""

    async def latest(self, room: str, limit: int) -> Sequence[Message]:
        """The last messages, oldest first."""

    async def counts(self) -> Mapping[str, int]:
        """Number of messages of each room."""


class StoppingError(Exception):
    """This replica stops; clients connect to another one."""

    def __init__(self) -> None:
        super().__init__("this instance is stopping; connect again, after the last message seen")


class StreamLostError(Exception):
    """The stream was lost; sequences are reused."""

    def __init__(self) -> None:
        super().__init__("the messages were lost; connect again")


@dataclass(frozen=True, slots=True)
class MessagePage:
    messages: Sequence[Message]
    more: bool


@dataclass(frozen=True, slots=True)
class RoomMembers:
    """Members of a room: `people` has at most `domain.LISTED` of them, `total` is their number."""

    people: Sequence[Person]
    total: int


@dataclass(frozen=True, slots=True)
class RoomSummary:
    name: str
    messages: int
    people: int


def utc_now() -> datetime:
    return datetime.now(UTC)


class Chat:
    """The use cases. `buffer`: size of a caller's inbox, in messages."""

    def __init__(
        self,
        archive: Archive,
        fanout: Fanout[Message],
        presence: Presence,
        *,
        buffer: int,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._archive = archive
        self._presence = presence
        self._dependencies = RoomDependencies(archive, fanout, presence, buffer, now)
        self._now = now

    async def join(self, room: str, user_id: str, name: str, resume_after: str) -> RoomSession:
        """Creates a session in a room, which begins when its events are read.

        Raises InvalidChatError, MessageTooOldError, BusUnavailableError.
        """
        who = domain.member(room, user_id, name)
        now, era = self._now(), self._dependencies.fanout.era
        if not resume_after:
            return RoomSession(self._dependencies, who, StreamPosition(self._archive.position(), now), era)
        place = _parsed("resume_after", resume_after)
        if not await self._archive.keeps(place, room, now):
            raise domain.MessageTooOldError
        return RoomSession(self._dependencies, who, place, era)

    async def post(self, room: str, user_id: str, name: str, text: str, client_id: str) -> Message:
        """Posts a message; returns it when it is stored. Raises InvalidChatError, BusUnavailableError."""
        remark = domain.new_message(domain.member(room, user_id, name), text, client_id)
        sequence = await self._archive.store(remark)
        # The stored message has the server's time, and may be an earlier one with this client_id.
        found = await self._archive.get(sequence)
        now = self._now()
        return found or Message(str(StreamPosition(sequence, now)), sequence, remark, now)

    async def history(self, room: str, after: str, limit: int, since: datetime | None) -> MessagePage:
        """Messages after a message or since a time, oldest first; without either, the latest.

        Raises InvalidChatError, MessageTooOldError, BusUnavailableError.
        """
        domain.check_room(room)
        size = domain.page_size(limit)
        place = await self._known(after) if after else 0
        if not after and since is None:
            latest = await self._archive.latest(room, size)
            return MessagePage(latest[len(latest) - domain.fitting(reversed(latest)) :], more=False)
        found = await self._archive.page(room, place, since, size + 1)
        fitting = min(size, domain.fitting(found))
        return MessagePage(found[:fitting], more=len(found) > fitting)

    async def _known(self, after: str) -> int:
        place = _parsed("after", after)
        if not await self._archive.knows(place):
            raise domain.MessageTooOldError
        return place.sequence

    async def rooms(self) -> Sequence[RoomSummary]:
        """Rooms with messages or members, by name."""
        messages, people = await self._archive.counts(), self._presence.rooms()
        return [RoomSummary(name, messages.get(name, 0), people.get(name, 0)) for name in sorted({*messages, *people})]

    async def attendees(self, room: str) -> RoomMembers:
        domain.check_room(room)
        return RoomMembers(self._presence.people(room), self._presence.count(room))


def _parsed(field: str, text: str) -> StreamPosition:
    try:
        return parse_position(text)
    except InvalidPositionError:
        raise InvalidChatError({field: "must be the id of a message, as it came"}) from None
