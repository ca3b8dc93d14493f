"""Messages, rooms and their members on all replicas.

Everything here is a function of its arguments, time included; `Roster` changes only by its methods, which return the
changes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from services.common.runtime.text import text_problem, with_line_breaks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

MAX_USER_ID = 128
MAX_NAME = 64
MAX_TEXT = 2000
MAX_CLIENT_ID = 128
MAX_PAGE = 500
PAGE = 50
PAGE_BYTES = 1_000_000
"""Maximum bytes of the texts of a page; gRPC's default limit is four times that."""
CROWD = 100
"""Above this number of members, presence changes are not sent: they would be most of the traffic."""
LISTED = 1000
"""Maximum members in a response."""

_ROOM = re.compile(r"[A-Za-z0-9_-]{1,64}")


class InvalidChatError(Exception):
    """The request is invalid. `fields` maps each invalid field to its problem."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.fields = dict(fields)
        super().__init__("; ".join(f"{field} {what}" for field, what in self.fields.items()))


class MessageTooOldError(Exception):
    """Messages after the given one may have been dropped."""

    def __init__(self) -> None:
        super().__init__("messages after this one have been dropped; join without resume_after")


@dataclass(frozen=True, slots=True)
class Member:
    """A user in a room."""

    room: str
    user_id: str
    name: str


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to be stored."""

    member: Member
    text: str
    client_id: str = ""
    """The caller's own id of the message; empty: none."""


@dataclass(frozen=True, slots=True)
class Message:
    """A stored message."""

    id: str
    sequence: int
    """Its sequence in the stream of all rooms."""
    content: NewMessage
    sent_at: datetime


def member(room: str, user_id: str, name: str) -> Member:
    """Creates a member. Raises InvalidChatError with all problems."""
    wrong = _wrong_room(room) | _wrong_user(user_id) | _wrong_line("name", name, MAX_NAME)
    if wrong:
        raise InvalidChatError(wrong)
    return Member(room, user_id, name.strip() or user_id)


def new_message(who: Member, text: str, client_id: str) -> NewMessage:
    """Creates a message, with line ends normalised to `\\n`. Raises InvalidChatError with all problems."""
    said = with_line_breaks(text)
    found = {
        "client_id": text_problem(client_id, MAX_CLIENT_ID),
        "text": text_problem(said, MAX_TEXT, required=True, lines=True),
    }
    wrong = {field: what for field, what in found.items() if what}
    if wrong:
        raise InvalidChatError(wrong)
    return NewMessage(who, said, client_id)


def check_room(room: str) -> None:
    """Raises InvalidChatError."""
    wrong = _wrong_room(room)
    if wrong:
        raise InvalidChatError(wrong)


def page_size(limit: int) -> int:
    """Number of messages of a page; raises InvalidChatError."""
    if not 0 <= limit <= MAX_PAGE:
        raise InvalidChatError({"limit": f"must be from 0 to {MAX_PAGE}"})
    return limit or PAGE


def fitting(messages: Iterable[Message]) -> int:
    """Number of leading messages that fit into a page; at least one."""
    left, count = PAGE_BYTES, 0
    for message in messages:
        left -= len(message.content.text.encode())
        if left < 0 and count:
            break
        count += 1
    return count


def _wrong_room(room: str) -> dict[str, str]:
    if _ROOM.fullmatch(room):
        return {}
    return {"room": "must be 1 to 64 letters, digits, dashes and underscores"}


def _wrong_user(user_id: str) -> dict[str, str]:
    if 0 < len(user_id) <= MAX_USER_ID and all("!" <= letter <= "~" for letter in user_id):
        return {}
    return {"user_id": f"must be 1 to {MAX_USER_ID} visible ASCII characters"}


def _wrong_line(name: str, text: str, longest: int) -> dict[str, str]:
    what = text_problem(text, longest)
    return {name: what} if what else {}


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection of a user to a room."""

    member: Member
    since: datetime


@dataclass(frozen=True, slots=True)
class Person:
    """A user in a room with one or more connections; `since`: of the oldest one, `name`: of the newest one."""

    user_id: str
    name: str
    connections: int
    since: datetime


@dataclass(frozen=True, slots=True)
class PresenceChange:
    """A user has joined (first connection) or left (last connection)."""

    room: str
    person: Person
    present: bool


class Roster:
    """The connections of all replicas, by room."""

    def __init__(self) -> None:
        self._replicas: dict[str, dict[str, Connection]] = {}
        self._rooms: dict[str, dict[str, dict[tuple[str, str], Connection]]] = {}

    def add(self, replica: str, connection: str, attendance: Connection) -> Sequence[PresenceChange]:
        """Adds a connection; returns presence changes."""
        if self._replicas.get(replica, {}).get(connection) == attendance:
            return ()
        changes = list(self.remove(replica, connection))
        self._replicas.setdefault(replica, {})[connection] = attendance
        who = attendance.member
        connections = self._rooms.setdefault(who.room, {}).setdefault(who.user_id, {})
        connections[replica, connection] = attendance
        if len(connections) == 1:
            changes.append(PresenceChange(who.room, _person(connections), present=True))
        return changes

    def remove(self, replica: str, connection: str) -> Sequence[PresenceChange]:
        """Removes a connection; returns presence changes."""
        attendance = self._replicas.get(replica, {}).pop(connection, None)
        if attendance is None:
            return ()
        who = attendance.member
        people = self._rooms[who.room]
        before = _person(people[who.user_id])
        del people[who.user_id][replica, connection]
        if people[who.user_id]:
            return ()
        del people[who.user_id]
        if not people:
            del self._rooms[who.room]
        return (PresenceChange(who.room, before, present=False),)

    def replace(self, replica: str, connections: Mapping[str, Connection]) -> Sequence[PresenceChange]:
        """Replaces all connections of a replica; empty: the replica is gone."""
        changes: list[PresenceChange] = []
        known = self._replicas.get(replica, {})
        for connection, attendance in connections.items():
            if known.get(connection) != attendance:
                changes += self.add(replica, connection, attendance)
        for connection in [connection for connection in known if connection not in connections]:
            changes += self.remove(replica, connection)
        if not connections:
            self._replicas.pop(replica, None)
        return changes

    def of(self, replica: str) -> Mapping[str, Connection]:
        """The connections of a replica."""
        return self._replicas.get(replica, {})

    def people(self, room: str, limit: int = LISTED) -> Sequence[Person]:
        """Members of a room, the first known `limit`, sorted by `since`."""
        found = islice(self._rooms.get(room, {}).values(), limit)
        return sorted(map(_person, found), key=lambda person: (person.since, person.user_id))

    def count(self, room: str) -> int:
        return len(self._rooms.get(room, ()))

    def rooms(self) -> Mapping[str, int]:
        """The number of members of each room."""
        return {room: len(people) for room, people in self._rooms.items()}


def _person(connections: Mapping[tuple[str, str], Connection]) -> Person:
    attendances = list(connections.values())
    newest = max(attendances, key=lambda attendance: attendance.since).member
    return Person(newest.user_id, newest.name, len(attendances), min(each.since for each in attendances))
