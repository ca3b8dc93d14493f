"""Who is in which call, by what this replica knows of all calls; and who hears of a change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.gateway.realtime.calls.call_frames import call_frame, lost_frame, public
from services.gateway.realtime.calls.domain import CallState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from services.gateway.realtime.calls.domain import Call
    from services.gateway.realtime.calls.sessions import CallSession, SessionRegistry
    from services.gateway.realtime.calls.store import StoredCall

OLD_SECONDS = 60.0
"""A call that was over for longer is news to no connection."""


class CallDirectory:
    """The active calls. `clock`: seconds since 1970."""

    def __init__(self, sessions: SessionRegistry, clock: Callable[[], float]) -> None:
        self._sessions = sessions
        self._clock = clock
        self._active: dict[str, StoredCall] = {}
        """By id."""
        self._connections: dict[str, str] = {}
        """Ids of calls by connections of participants."""
        self._users: dict[str, set[str]] = {}
        """Ids of calls by users who take part."""
        self._rooms: dict[str, set[str]] = {}

    def active(self) -> Sequence[StoredCall]:
        return list(self._active.values())

    def in_room(self, room: str) -> Sequence[StoredCall]:
        return [self._active[each] for each in self._rooms.get(room, ())]

    def of_connection(self, connection: str) -> StoredCall | None:
        """The active call in which the connection takes part."""
        return self._active.get(self._connections.get(connection, ""))

    def is_busy(self, user_id: str, slot: str) -> bool:
        """Whether the user takes part in an accepted call other than that of the slot."""
        calls = [self._active[each].call for each in self._users.get(user_id, ())]
        return any(call.state is CallState.ACCEPTED and not call.id.startswith(f"{slot}.") for call in calls)

    def concerns(self, call: Call, session: CallSession) -> bool:
        """Whether a connection in the call's room hears of it: of a call of two, those two users' are."""
        return not call.callee or session.user_id in {call.caller, call.callee}

    def changed(self, before: StoredCall | None, after: StoredCall | None) -> None:
        """Takes a change in, and tells the connections of this replica that it concerns."""
        if before and (after is None or after.call.id != before.call.id):
            self._remove(before.call)
            self._tell(before, None)
            before = None
        if after is None:
            return
        if before:
            self._remove(before.call)
        if after.call.active:
            self._add(after)
        elif before is None and (after.call.ended_at or 0.0) < self._clock() - OLD_SECONDS:
            return
        if before is None or public(before.call) != public(after.call):
            self._tell(before, after)

    def _add(self, stored: StoredCall) -> None:
        call = stored.call
        self._active[call.id] = stored
        self._rooms.setdefault(call.room, set()).add(call.id)
        for each in call.participants:
            self._connections[each.connection] = call.id
            self._users.setdefault(each.user_id, set()).add(call.id)

    def _remove(self, call: Call) -> None:
        self._active.pop(call.id, None)
        _discard(self._rooms, call.room, call.id)
        for each in call.participants:
            if self._connections.get(each.connection) == call.id:
                del self._connections[each.connection]
            _discard(self._users, each.user_id, call.id)

    def _tell(self, before: StoredCall | None, after: StoredCall | None) -> None:
        """`after`: None: the call is lost, or another one has taken its place."""
        latest = after or before
        if latest is None or (after is None and not latest.call.active):
            return
        told = {
            each.connection: each
            for each in self._sessions.in_room(latest.call.room)
            if self.concerns(latest.call, each)
        }
        for stored in (before, after):
            for participant in stored.call.participants if stored else ():
                if session := self._sessions.get(participant.connection):
                    told[session.connection] = session
        for session in told.values():
            text = call_frame(after.call, session.connection) if after else lost_frame(latest.call)
            session.tell(latest.call.id, text)


def _discard(index: dict[str, set[str]], key: str, value: str) -> None:
    """Removes a value from an index, and its key with the last one."""
    values = index.get(key, set())
    values.discard(value)
    if not values:
        index.pop(key, None)
