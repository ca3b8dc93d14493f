"""Presence: the members of rooms, exchanged between replicas over NATS.

Presence is soft state and is not stored. Each replica numbers its changes and publishes them, and once a second the
number alone. A replica that sees a gap requests the whole state. A replica that is silent for three seconds is removed
with its members: after a kill -9 members remain for at most four seconds. While NATS is unavailable, and for three
seconds afterwards, no replica is removed.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nats.errors import Error as NatsError

from services.chat.domain import CROWD, LISTED, Connection, Member, Person, PresenceChange, Roster
from services.common.runtime.tasks import background_task

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence

    from nats.aio.msg import Msg

    from services.common.messaging.bus import Bus

log = logging.getLogger(__name__)

SUBJECT = "presence.chat"
ASK = "presence.chat.ask"
EVERYONE = "*"
BEAT_SECONDS = 1.0
GONE_SECONDS = 3.0
PART = 500
"""Maximum connections in one message."""


@dataclass
class _Peer:
    """The known state of another replica."""

    heard: float
    version: int = -1
    parts: dict[int, Mapping[str, Connection]] = field(default_factory=dict)
    asked: float = float("-inf")


class Presence:
    """The roster of all replicas. `me` is unique to this process; `clock` counts seconds."""

    def __init__(self, bus: Bus, me: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._bus = bus
        self._me = me
        self._clock = clock
        self._roster = Roster()
        self._version = 0
        self._peers: dict[str, _Peer] = {}
        self._numbers = itertools.count(1)
        self._listeners: dict[str, dict[str, Callable[[PresenceChange], None]]] = {}
        self._news: list[tuple[str, Connection | None]] = []
        self._wanted = False
        self._something = asyncio.Event()
        self._looked = clock()

    def people(self, room: str, limit: int = LISTED) -> Sequence[Person]:
        return self._roster.people(room, limit)

    def count(self, room: str) -> int:
        return self._roster.count(room)

    def rooms(self) -> Mapping[str, int]:
        return self._roster.rooms()

    @contextlib.contextmanager
    def entered(self, attendance: Connection, notice: Callable[[PresenceChange], None]) -> Iterator[None]:
        """Adds a connection for as long as the context lasts; `notice` is called with the room's presence changes."""
        connection, room = str(next(self._numbers)), attendance.member.room
        self._tell(self._roster.add(self._me, connection, attendance))
        self._listeners.setdefault(room, {})[connection] = notice
        self._publish_soon(connection, attendance)
        try:
            yield
        finally:
            del self._listeners[room][connection]
            if not self._listeners[room]:
                del self._listeners[room]
            self._tell(self._roster.remove(self._me, connection))
            self._publish_soon(connection, None)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Exchanges presence for as long as the context lasts; announces the end to other replicas."""
        async with (
            background_task(self._subscribe(), "hearing presence"),
            background_task(self._run(), "telling presence"),
        ):
            yield
        await self._send({"gone": True})

    async def _subscribe(self) -> None:
        while True:
            # nats-py renews subscriptions after a reconnect, but only after a first connection.
            with contextlib.suppress(NatsError, OSError):
                await self._bus.connection.subscribe(SUBJECT, cb=self._hear)
                await self._bus.connection.subscribe(ASK, cb=self._asked)
                await self._bus.connection.publish(ASK, EVERYONE.encode())
                return
            await asyncio.sleep(BEAT_SECONDS / 5)

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEAT_SECONDS):
                    await self._something.wait()
            self._something.clear()
            await self._publish()
            self._forget(self._clock())

    async def _publish(self) -> None:
        """Publishes the changes, or the number alone; the whole state if requested."""
        news, self._news = self._news, []
        for start in range(0, len(news), PART):
            self._version += 1
            await self._send({"changes": [_change(*each) for each in news[start : start + PART]]})
        if self._wanted:
            self._wanted = False
            mine = list(self._roster.of(self._me).items())
            parts = [mine[start : start + PART] for start in range(0, len(mine), PART)] or [[]]
            for number, part in enumerate(parts):
                await self._send({"part": number, "parts": len(parts), "all": [_change(*each) for each in part]})
        elif not news:
            await self._send({})

    async def _send(self, about: Mapping[str, Any], subject: str = SUBJECT) -> None:
        body = json.dumps({"from": self._me, "version": self._version, **about}, separators=(",", ":"))
        # While the server is unavailable, other replicas miss this number, and request the state.
        with contextlib.suppress(NatsError, OSError):
            await self._bus.connection.publish(subject, body.encode())

    async def _asked(self, message: Msg) -> None:
        if message.data.decode(errors="replace") in {self._me, EVERYONE}:
            self._wanted = True
            self._something.set()

    async def _hear(self, message: Msg) -> None:
        try:
            about = json.loads(message.data)
            if about["from"] != self._me:
                self._learn(str(about["from"]), int(about["version"]), about)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("what was heard of presence makes no sense: %r", error)

    def _learn(self, name: str, version: int, about: Mapping[str, Any]) -> None:
        now = self._clock()
        if about.get("gone"):
            self._peers.pop(name, None)
            self._tell(self._roster.replace(name, {}))
            return
        peer = self._peers.setdefault(name, _Peer(now))
        peer.heard = now
        if "all" in about:
            self._take_part(name, peer, version, about)
        elif "changes" in about and version == peer.version + 1:
            peer.version = version
            for connection, attendance in map(_changed, about["changes"]):
                if attendance is None:
                    self._tell(self._roster.remove(name, connection))
                else:
                    self._tell(self._roster.add(name, connection, attendance))
        elif version != peer.version and now >= peer.asked + BEAT_SECONDS:
            peer.asked = now
            self._ask(name)

    def _take_part(self, name: str, peer: _Peer, version: int, about: Mapping[str, Any]) -> None:
        if about["part"] == 0:
            peer.parts = {}
        changes = dict(map(_changed, about["all"]))
        peer.parts[int(about["part"])] = {key: value for key, value in changes.items() if value is not None}
        if len(peer.parts) == about["parts"]:
            whole = {key: value for part in peer.parts.values() for key, value in part.items()}
            peer.version, peer.parts = version, {}
            self._tell(self._roster.replace(name, whole))

    def _ask(self, name: str) -> None:
        async def ask() -> None:
            with contextlib.suppress(NatsError, OSError):
                await self._bus.connection.publish(ASK, name.encode())

        self._asking = asyncio.create_task(ask(), name="asking who is there")

    def _forget(self, now: float) -> None:
        """Removes silent replicas and their members."""
        # A paused process has not received heartbeats.
        deaf = not self._bus.connected or now > self._looked + 2 * BEAT_SECONDS
        self._looked = now
        for name, peer in list(self._peers.items()):
            if deaf:
                peer.heard = now
            elif now > peer.heard + GONE_SECONDS:
                log.info("the replica %s is gone", name)
                del self._peers[name]
                self._tell(self._roster.replace(name, {}))

    def _tell(self, changes: Sequence[PresenceChange]) -> None:
        for change in changes:
            if self._roster.count(change.room) <= CROWD:
                for notice in self._listeners.get(change.room, {}).values():
                    notice(change)

    def _publish_soon(self, connection: str, attendance: Connection | None) -> None:
        self._news.append((connection, attendance))
        self._something.set()


def _change(connection: str, attendance: Connection | None) -> list[str]:
    if attendance is None:
        return [connection]
    who = attendance.member
    return [connection, who.room, who.user_id, who.name, attendance.since.isoformat()]


def _changed(row: Sequence[str]) -> tuple[str, Connection | None]:
    if len(row) == 1:
        return row[0], None
    connection, room, user_id, name, since = row
    return connection, Connection(Member(room, user_id, name), datetime.fromisoformat(since))
