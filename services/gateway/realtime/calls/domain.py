"""A call and its transitions: inputs in, the new call and its events out. Time is an argument, in seconds since 1970.

A call is one value. It belongs to a slot: a room, or two users in a room. A slot has one call at a time, so that two
users who ring each other at once get one call: the second ring finds the first one, and accepts it. A participant is
one connection of a user in a call. It keeps its id when it resumes on another connection, and is gone when no sign of
life came for `CallTimes.grace`. Of two participants the later one is polite (W3C WebRTC, 10.7, perfect negotiation).
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_PARTICIPANTS = 4


class CallState(Enum):
    RINGING = "ringing"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    BUSY = "busy"
    MISSED = "missed"
    ENDED = "ended"

    @property
    def final(self) -> bool:
        return self not in {CallState.RINGING, CallState.ACCEPTED}


@dataclass(frozen=True, slots=True)
class CallTimes:
    """Limits of a call, in seconds."""

    ring: float = 45.0
    """After which an unanswered call is missed."""
    grace: float = 12.0
    """After the last sign of life a participant is gone."""
    most: float = 43_200.0
    """The longest call."""


@dataclass(frozen=True, slots=True)
class Participant:
    """One connection of a user in a call."""

    id: str
    user_id: str
    name: str
    connection: str
    replica: str
    """The gateway that has the connection."""
    token_hash: str
    """Of the token with which the participant resumes."""
    number: int = 0
    """In order of joining, from 1."""
    away_since: float | None = None
    """The last sign of life of a connection that was lost; None: it is there."""


@dataclass(frozen=True, slots=True)
class Call:
    """`callee`: a user's id; empty: the call is of everyone in the room. Times are None until they are reached."""

    id: str
    room: str
    caller: str
    callee: str
    rung_at: float
    state: CallState = CallState.RINGING
    participants: tuple[Participant, ...] = ()
    joined: int = 0
    """Number of participants that ever joined."""
    refused: tuple[str, ...] = ()
    """Users who declined a call of the room, or were busy."""
    reason: str = ""
    """Why it ended: hung_up, cancelled, vanished, no_answer, too_long, in_another_call."""
    accepted_at: float | None = None
    connected_at: float | None = None
    media_at: float | None = None
    ended_at: float | None = None
    failed: bool = False
    """Whether a failed ICE connection was reported."""
    traceparent: str = ""

    @property
    def active(self) -> bool:
        return not self.state.final

    def participant(self, identifier: str) -> Participant | None:
        return next((each for each in self.participants if each.id == identifier), None)

    def of_user(self, user_id: str) -> Participant | None:
        return next((each for each in self.participants if each.user_id == user_id), None)

    def of_connection(self, connection: str) -> Participant | None:
        return next((each for each in self.participants if each.connection == connection), None)


@dataclass(frozen=True, slots=True)
class CallEvent:
    """`name`: as in `CallAccepted`. `data`: without secrets."""

    name: str
    at: float
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    call: Call
    events: tuple[CallEvent, ...] = ()


class CallRefusedError(Exception):
    """The input is not allowed now. `reason`: a constant, such as CALL_OVER."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Accept:
    participant: Participant


@dataclass(frozen=True, slots=True)
class Decline:
    """`busy`: the user is in another call."""

    user_id: str
    busy: bool = False


@dataclass(frozen=True, slots=True)
class HangUp:
    connection: str


@dataclass(frozen=True, slots=True)
class Resume:
    """A participant on another connection."""

    participant: str
    user_id: str
    token: str
    connection: str
    replica: str


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection is gone or silent. `since`: its last sign of life."""

    connection: str
    since: float


@dataclass(frozen=True, slots=True)
class Back:
    """The connection was silent, and is not any more."""

    connection: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class Reported:
    """What a participant saw of its connection to another one. `details`: attributes for traces and events."""

    connection: str
    connected: bool = False
    media: bool = False
    failed: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)


Input: TypeAlias = Accept | Decline | HangUp | Resume | Lost | Back | Tick | Reported


def slot_of(room: str, *users: str) -> str:
    """The key of a slot: of the room, or of two users in it in any order."""
    text = "\0".join([room, *sorted(users)])
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def hash_of(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def ring(before: Call | None, wanted: Call, caller: Participant, *, busy: bool = False) -> Change:
    """Rings in a slot whose last call is `before`; `wanted`: the new call. `busy`: the callee is in another call.

    Joins an active call of the room, and accepts one by which the callee rings the caller (glare). Raises
    CallRefusedError.
    """
    if before is not None and before.active:
        return _accept(before, caller, wanted.rung_at)
    first = replace(caller, number=1)
    call = replace(wanted, participants=(first,), joined=1)
    rang = CallEvent("CallRang", call.rung_at, {"callee": call.callee} if call.callee else {})
    if busy:
        ended = _ended(call, CallState.BUSY, "in_another_call", call.rung_at)
        return Change(ended.call, (rang, *ended.events))
    return Change(call, (rang,))


def apply(call: Call, given: Input, now: float, times: CallTimes) -> Change:  # noqa: PLR0911 - one case each
    """The call after the input. An input that changes nothing returns the same call. Raises CallRefusedError."""
    if not call.active and not isinstance(given, Lost | Back | Tick | Reported):
        raise CallRefusedError("CALL_OVER", f"the call is over: {call.state.value}")
    if not call.active:
        return Change(call)
    match given:
        case Accept():
            return _accept(call, given.participant, now)
        case Decline():
            return _decline(call, given, now)
        case HangUp():
            return _hang_up(call, given.connection, now)
        case Resume():
            return _resume(call, given)
        case Lost():
            return _lost(call, given)
        case Back():
            found = call.of_connection(given.connection)
            there = found is None or found.away_since is None
            return Change(call if there or found is None else _with(call, replace(found, away_since=None)))
        case Reported():
            return _reported(call, given, now)
        case Tick():
            return _tick(call, now, times)


def due(call: Call, times: CallTimes) -> float:
    """When a Tick changes the call next; infinity for one that is over."""
    if not call.active:
        return float("inf")
    moments = [call.rung_at + times.most]
    if call.state is CallState.RINGING:
        moments.append(call.rung_at + times.ring)
    moments += [each.away_since + times.grace for each in call.participants if each.away_since is not None]
    return min(moments)


def polite(viewer: Participant, other: Participant) -> bool:
    """Whether `viewer` yields to `other` in a collision of offers: it joined later."""
    return viewer.number > other.number


def _accept(call: Call, participant: Participant, now: float) -> Change:
    if call.of_user(participant.user_id):
        raise CallRefusedError("ALREADY_IN_CALL", "this user is in that call")
    if call.callee and participant.user_id != call.callee:
        raise CallRefusedError("NOT_CALLED", "the call is another user's")
    if len(call.participants) >= MOST_PARTICIPANTS:
        raise CallRefusedError("CALL_FULL", f"a call has at most {MOST_PARTICIPANTS} participants")
    number = call.joined + 1
    first = call.state is CallState.RINGING
    after = replace(
        call,
        state=CallState.ACCEPTED,
        participants=(*call.participants, replace(participant, number=number)),
        joined=number,
        accepted_at=now if first else call.accepted_at,
    )
    name = "CallAccepted" if first else "ParticipantJoined"
    return Change(after, (CallEvent(name, now, {"user_id": participant.user_id}),))


def _decline(call: Call, given: Decline, now: float) -> Change:
    if call.of_user(given.user_id):
        raise CallRefusedError("ALREADY_IN_CALL", "this user is in that call; hang up instead")
    if not call.callee:
        known = given.user_id in call.refused
        return Change(call if known else replace(call, refused=(*call.refused, given.user_id)))
    if given.user_id != call.callee:
        raise CallRefusedError("NOT_CALLED", "the call is another user's")
    return _ended(call, CallState.BUSY if given.busy else CallState.DECLINED, "", now)


def _hang_up(call: Call, connection: str, now: float) -> Change:
    leaving = call.of_connection(connection)
    if leaving is None:
        raise CallRefusedError("NOT_IN_CALL", "this connection is not in that call")
    return _without(call, leaving, "hung_up", now)


def _resume(call: Call, given: Resume) -> Change:
    found = call.participant(given.participant)
    genuine = found is not None and hmac.compare_digest(found.token_hash, hash_of(given.token))
    if found is None or found.user_id != given.user_id or not genuine:
        raise CallRefusedError("NOT_IN_CALL", "this participant is not in that call, or its token is another one")
    return Change(_with(call, replace(found, connection=given.connection, replica=given.replica, away_since=None)))


def _lost(call: Call, given: Lost) -> Change:
    found = call.of_connection(given.connection)
    if found is None or found.away_since is not None:
        return Change(call)
    return Change(_with(call, replace(found, away_since=given.since)))


def _reported(call: Call, given: Reported, now: float) -> Change:
    if call.of_connection(given.connection) is None:
        raise CallRefusedError("NOT_IN_CALL", "this connection is not in that call")
    after, events = call, []
    if given.connected and call.connected_at is None:
        after = replace(after, connected_at=now)
        events.append(CallEvent("CallConnected", now, given.details))
    if given.media and call.media_at is None:
        after = replace(after, media_at=now)
        events.append(CallEvent("CallMediaStarted", now, given.details))
    if given.failed and not call.failed:
        after = replace(after, failed=True)
        events.append(CallEvent("CallConnectionFailed", now, given.details))
    return Change(after, tuple(events))


def _tick(call: Call, now: float, times: CallTimes) -> Change:
    if now >= call.rung_at + times.most:
        return _ended(call, CallState.ENDED if call.accepted_at else CallState.MISSED, "too_long", now)
    change = Change(call)
    for each in call.participants:
        if each.away_since is not None and now >= each.away_since + times.grace and change.call.active:
            without = _without(change.call, each, "vanished", now)
            change = Change(without.call, (*change.events, *without.events))
    if change.call.state is CallState.RINGING and now >= call.rung_at + times.ring:
        missed = _ended(change.call, CallState.MISSED, "no_answer", now)
        change = Change(missed.call, (*change.events, *missed.events))
    return change


def _without(call: Call, leaving: Participant, reason: str, now: float) -> Change:
    left = tuple(each for each in call.participants if each.id != leaving.id)
    after = replace(call, participants=left)
    gone = CallEvent("ParticipantLeft", now, {"user_id": leaving.user_id, "reason": reason})
    if call.state is CallState.RINGING:
        ended = _ended(after, CallState.MISSED, "cancelled" if reason == "hung_up" else reason, now)
    elif len(left) < 2:  # noqa: PLR2004 - there is no call of one
        ended = _ended(after, CallState.ENDED, reason, now)
    else:
        return Change(after, (gone,))
    return Change(ended.call, (gone, *ended.events))


_NAMES = {
    CallState.DECLINED: "CallDeclined",
    CallState.BUSY: "CallBusy",
    CallState.MISSED: "CallMissed",
    CallState.ENDED: "CallEnded",
}


def _ended(call: Call, state: CallState, reason: str, now: float) -> Change:
    after = replace(call, state=state, reason=reason, ended_at=now)
    seconds = round(now - call.accepted_at, 3) if call.accepted_at is not None else 0.0
    return Change(after, (CallEvent(_NAMES[state], now, {"reason": reason, "seconds": seconds}),))


def _with(call: Call, changed: Participant) -> Call:
    return replace(call, participants=tuple(changed if each.id == changed.id else each for each in call.participants))
