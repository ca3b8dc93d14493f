"""The sockets of this replica, as calls see them: who is connected, in which rooms, and what waits to be sent.

What waits for a socket is bounded: one frame for the latest state of each call, and MOST_SIGNALS signals. A signal that
finds no place is refused with an error to its sender; so a slow client delays no other one.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator

MOST_SIGNALS = 64


class CallSession:
    """One socket. `clock`: monotonic."""

    def __init__(self, user_id: str, send: Callable[[str], Awaitable[None]], clock: Callable[[], float]) -> None:
        self.connection = uuid.uuid4().hex
        self.user_id = user_id
        self.rooms: dict[str, str] = {}
        """Names by which the user is known, by room that was joined."""
        self.heard_at = clock()
        """When something came on the socket last."""
        self._clock = clock
        self._send = send
        self._waiting: deque[tuple[str, str]] = deque()
        self._states: dict[str, str] = {}
        self._signals = 0
        self._sending: asyncio.Task[None] | None = None

    def heard(self) -> None:
        """Notes a sign of life."""
        self.heard_at = self._clock()

    def tell(self, call: str, frame: str) -> None:
        """Sends the state of a call; a state that still waits is replaced."""
        if call not in self._states:
            self._waiting.append((call, ""))
        self._states[call] = frame
        self._start()

    def signal(self, frame: str) -> bool:
        """Sends a signal; returns whether there was a place for it."""
        if self._signals >= MOST_SIGNALS:
            return False
        self._signals += 1
        self._waiting.append(("", frame))
        self._start()
        return True

    def end(self) -> None:
        """Drops what waits."""
        self._waiting.clear()
        if self._sending:
            self._sending.cancel()

    def _start(self) -> None:
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._drain(), name="sending call frames")

    async def _drain(self) -> None:
        while self._waiting:
            call, frame = self._waiting.popleft()
            if call:
                frame = self._states.pop(call)
            else:
                self._signals -= 1
            await self._send(frame)


class SessionRegistry:
    """All sockets of this replica."""

    def __init__(self) -> None:
        self._sessions: dict[str, CallSession] = {}
        self._rooms: dict[str, dict[str, CallSession]] = {}

    def get(self, connection: str) -> CallSession | None:
        return self._sessions.get(connection)

    def in_room(self, room: str) -> Collection[CallSession]:
        return list(self._rooms.get(room, {}).values())

    @contextlib.contextmanager
    def present(self, session: CallSession) -> Iterator[None]:
        """Registers a socket for as long as the context lasts."""
        self._sessions[session.connection] = session
        try:
            yield
        finally:
            del self._sessions[session.connection]
            for room in list(session.rooms):
                self.left(session, room)
            session.end()

    def joined(self, session: CallSession, room: str, name: str) -> None:
        if session.connection in self._sessions:
            session.rooms[room] = name or session.user_id
            self._rooms.setdefault(room, {})[session.connection] = session

    def left(self, session: CallSession, room: str) -> None:
        session.rooms.pop(room, None)
        there = self._rooms.get(room, {})
        there.pop(session.connection, None)
        if not there:
            self._rooms.pop(room, None)
