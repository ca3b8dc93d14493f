"""Calls as their clients use them: each message is checked, decided by `domain`, and written by compare-and-set.

Every replica follows the same bucket. A change that is written is seen by all of them, also by the one that wrote it,
and each tells its own connections. A participant's connection is watched by the replica that has it; a replica that is
gone is noticed by all others, of which one's change is written.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from services.gateway.errors import ApiError
from services.gateway.realtime.calls import domain, messages
from services.gateway.realtime.calls.call_frames import call_frame, signal_frame
from services.gateway.realtime.calls.domain import Call, CallRefusedError, Participant
from services.gateway.realtime.calls.relay import AWAY, DELIVERED, SLOW, Envelope
from services.gateway.realtime.calls.store import ConflictError
from services.gateway.realtime.frames import frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.gateway.http.middleware.rate_limit import RateLimiter
    from services.gateway.realtime.calls.directory import CallDirectory
    from services.gateway.realtime.calls.domain import CallTimes, Change
    from services.gateway.realtime.calls.events import CallEvents
    from services.gateway.realtime.calls.relay import SignalRelay
    from services.gateway.realtime.calls.sessions import CallSession, SessionRegistry
    from services.gateway.realtime.calls.store import CallStore, StoredCall
    from services.gateway.realtime.clients import ChatClient, UserCredentials

ATTEMPTS = 20
"""Of a change that other replicas overtake."""
MOST_RUNG = 50
"""Members of a room that can be rung as a whole."""


@dataclass(frozen=True, slots=True)
class CallSettings:
    """`times`: of calls. `me`: this replica. `clock`: seconds since 1970."""

    times: CallTimes
    me: str
    clock: Callable[[], float]

    @property
    def alive_seconds(self) -> float:
        """How often a participant sends something."""
        return round(self.times.grace / 3, 3)

    @property
    def silent_seconds(self) -> float:
        """After which a silent connection counts as lost."""
        return self.times.grace * 2 / 3


@dataclass(frozen=True, slots=True)
class CallBackends:
    store: CallStore
    directory: CallDirectory
    sessions: SessionRegistry
    events: CallEvents
    chat: ChatClient


class CallService:
    """Handles the `signal` messages of sockets. Methods raise ApiError, BusUnavailableError."""

    def __init__(self, settings: CallSettings, backends: CallBackends, rings: RateLimiter) -> None:
        self._settings = settings
        self._store = backends.store
        self._directory = backends.directory
        self._sessions = backends.sessions
        self._events = backends.events
        self._chat = backends.chat
        self._rings = rings
        self._relay: SignalRelay

    def use(self, relay: SignalRelay) -> None:
        self._relay = relay

    async def handle(  # noqa: PLR0911 - one case each
        self, session: CallSession, who: UserCredentials, message: object, ref: str
    ) -> str | None:
        """Handles a message; returns the frame that answers it."""
        match message:
            case messages.Ring():
                return await self._ring(session, who, message, ref)
            case messages.Accept():
                return await self._accept(session, message, ref)
            case messages.Decline() | messages.Busy():
                call = self._call_for(session, message.call)
                given = domain.Decline(session.user_id, busy=isinstance(message, messages.Busy))
                return self._answer(await self.change(call.id, given), session, ref)
            case messages.HangUp():
                return self._answer(await self.change(message.call, domain.HangUp(session.connection)), session, ref)
            case messages.Resume():
                return await self._resume(session, message, ref)
            case messages.Description() | messages.Candidate():
                return await self._signal(session, message, ref)
            case messages.Report():
                return await self._report(session, message, ref)
        raise ApiError("UNIMPLEMENTED", "this kind of signal is not there")

    def tell_room(self, session: CallSession, room: str) -> None:
        """Sends the active calls of a room to a connection that has just joined it."""
        for stored in self._directory.in_room(room):
            if self._directory.concerns(stored.call, session):
                session.tell(stored.call.id, call_frame(stored.call, session.connection))

    async def leave_room(self, session: CallSession, room: str) -> None:
        """Hangs up where a connection leaves the room of its call."""
        stored = self._directory.of_connection(session.connection)
        if stored and stored.call.room == room:
            await self.change(stored.call.id, domain.HangUp(session.connection))

    async def change(self, call_id: str, given: domain.Input) -> StoredCall:
        """Applies the input to a call; returns the call after it."""
        slot = slot_of_call(call_id)

        def decide(before: StoredCall | None) -> Change:
            if before is None or before.call.id != call_id:
                raise ApiError("NOT_FOUND", "there is no such call", reason="NO_SUCH_CALL")
            return domain.apply(before.call, given, self._settings.clock(), self._settings.times)

        return await self._decided(slot, decide)

    async def _decided(self, slot: str, decide: Callable[[StoredCall | None], Change]) -> StoredCall:
        before = self._store.get(slot)
        fresh = False
        for _ in range(ATTEMPTS):
            try:
                change = decide(before)
            except (CallRefusedError, ApiError) as refused:
                if fresh:
                    raise as_api_error(refused) from refused
                # What is known here may be old.
                before, fresh = await self._store.read(slot), True
                continue
            if before is not None and change.call is before.call:
                return before
            if before is not None:
                await self._events.publish(slot, before)
            try:
                written = await self._store.write(slot, change.call, change.events, before)
            except ConflictError:
                before, fresh = await self._store.read(slot), True
                continue
            for event in change.events:
                self._events.record(written.call, event)
            await self._events.publish(slot, written)
            return written
        raise ApiError("ABORTED", "the call changes too fast", reason="CALL_CONTENDED")

    async def _ring(self, session: CallSession, who: UserCredentials, message: messages.Ring, ref: str) -> str:
        name = self._name_in(session, message.room)
        if not self._rings.check(session.user_id).allowed:
            raise ApiError("RESOURCE_EXHAUSTED", "too many rings", reason="RATE_LIMITED")
        self._check_free(session)
        await self._check_callee(session, who, message)
        slot = domain.slot_of(message.room, session.user_id, message.to) if message.to else domain.slot_of(message.room)
        token = secrets.token_urlsafe(24)
        now = self._settings.clock()
        wanted = Call(f"{slot}.{secrets.token_hex(8)}", message.room, session.user_id, message.to, now)
        traceparent, span = self._events.begin(wanted)
        caller = self._participant(session, name, token)
        busy = bool(message.to) and self._directory.is_busy(message.to, slot)

        rung = replace(wanted, traceparent=traceparent)
        await self._tick(slot)
        stored = await self._decided(
            slot, lambda before: domain.ring(before.call if before else None, rung, caller, busy=busy)
        )
        if span is not None and stored.call.id == wanted.id:
            span.end()
        return self._answer(stored, session, ref, token)

    async def _tick(self, slot: str) -> None:
        """Ends a call of the slot whose time is over, if that was not noticed yet."""
        known = self._store.get(slot)
        if known and self._settings.clock() >= domain.due(known.call, self._settings.times):
            await self.change(known.call.id, domain.Tick())

    async def _check_callee(self, session: CallSession, who: UserCredentials, message: messages.Ring) -> None:
        if message.to == session.user_id:
            raise ApiError("INVALID_ARGUMENT", "a user cannot ring itself", reason="INVALID_MESSAGE")
        there = await self._chat.members(who, message.room)
        if not message.to and there.total > MOST_RUNG:
            what = f"more than {MOST_RUNG} are in the room; ring one of them"
            raise ApiError("FAILED_PRECONDITION", what, reason="ROOM_TOO_LARGE")
        if message.to and message.to not in {person.user_id for person in there.people}:
            raise ApiError("FAILED_PRECONDITION", "that user is not in the room", reason="USER_NOT_IN_ROOM")

    async def _accept(self, session: CallSession, message: messages.Accept, ref: str) -> str:
        call = self._call_for(session, message.call) if self._known(message.call) else None
        if call is None:
            call = await self._read_for(session, message.call)
        self._check_free(session)
        token = secrets.token_urlsafe(24)
        participant = self._participant(session, session.rooms[call.room], token)
        stored = await self.change(call.id, domain.Accept(participant))
        return self._answer(stored, session, ref, token)

    async def _resume(self, session: CallSession, message: messages.Resume, ref: str) -> str:
        elsewhere = self._directory.of_connection(session.connection)
        if elsewhere and elsewhere.call.id != message.call:
            raise ApiError("FAILED_PRECONDITION", "this connection is in a call", reason="IN_ANOTHER_CALL")
        given = domain.Resume(
            message.participant, session.user_id, message.token, session.connection, self._settings.me
        )
        return self._answer(await self.change(message.call, given), session, ref, message.token)

    async def _signal(self, session: CallSession, message: messages.Addressed, ref: str) -> str | None:
        stored, sender = await self._taking_part(session, message.call)
        peer = stored.call.participant(message.to)
        if peer is None or peer.id == sender.id:
            raise ApiError("FAILED_PRECONDITION", "that participant is not in the call", reason="NO_SUCH_PEER")
        text = signal_frame(message.kind, stored.call.id, sender.id, peer.id, message.content)
        envelope = Envelope(slot_of_call(stored.call.id), stored.revision, peer.id, text)
        answer = AWAY if peer.away_since is not None else await self._relay.send(peer.replica, envelope)
        if answer == SLOW:
            raise ApiError("RESOURCE_EXHAUSTED", "the peer does not take its signals in", reason="PEER_SLOW")
        if answer != DELIVERED:
            raise ApiError("UNAVAILABLE", "the peer's connection is lost, for now", reason="PEER_AWAY")
        return frame("signalled", call=stored.call.id, to=peer.id, ref=ref) if ref else None

    async def deliver(self, envelope: Envelope) -> str:
        """Hands a signal to a connection of this replica."""
        stored = self._store.get(envelope.slot)
        if stored is None or stored.revision < envelope.revision:
            # The peer must hear of its participants before it hears from them.
            stored = await self._store.read(envelope.slot)
        peer = stored.call.participant(envelope.to) if stored and stored.call.active else None
        session = self._sessions.get(peer.connection) if peer else None
        if session is None:
            return AWAY
        return DELIVERED if session.signal(envelope.frame) else SLOW

    async def _report(self, session: CallSession, message: messages.Report, ref: str) -> str | None:
        await self._taking_part(session, message.call)
        given = domain.Reported(
            session.connection,
            connected=message.state in {"connected", "completed"},
            media=message.media,
            failed=message.state == "failed",
            details=message.attributes,
        )
        stored = await self.change(message.call, given)
        return frame("reported", call=stored.call.id, ref=ref) if ref else None

    async def _taking_part(self, session: CallSession, call_id: str) -> tuple[StoredCall, Participant]:
        """The call, and this connection in it. Raises ApiError."""
        stored = self._store.get(slot_of_call(call_id))
        if stored is None or stored.call.id != call_id:
            stored = await self._store.read(slot_of_call(call_id))
        if stored is None or stored.call.id != call_id:
            raise ApiError("NOT_FOUND", "there is no such call", reason="NO_SUCH_CALL")
        if not stored.call.active:
            raise ApiError("FAILED_PRECONDITION", "the call is over", reason="CALL_OVER")
        sender = stored.call.of_connection(session.connection)
        if sender is None:
            raise ApiError("PERMISSION_DENIED", "this connection is not in that call", reason="NOT_IN_CALL")
        return stored, sender

    def _known(self, call_id: str) -> bool:
        stored = self._store.get(slot_of_call(call_id))
        return stored is not None and stored.call.id == call_id

    async def _read_for(self, session: CallSession, call_id: str) -> Call:
        await self._store.read(slot_of_call(call_id))
        return self._call_for(session, call_id)

    def _call_for(self, session: CallSession, call_id: str) -> Call:
        """A call that concerns this connection, as a member of its room. Raises ApiError."""
        stored = self._store.get(slot_of_call(call_id))
        if stored is None or stored.call.id != call_id:
            raise ApiError("NOT_FOUND", "there is no such call", reason="NO_SUCH_CALL")
        self._name_in(session, stored.call.room)
        return stored.call

    def _name_in(self, session: CallSession, room: str) -> str:
        name = session.rooms.get(room)
        if name is None:
            raise ApiError("FAILED_PRECONDITION", "join the room first", reason="NOT_IN_ROOM")
        return name

    def _check_free(self, session: CallSession) -> None:
        if self._directory.of_connection(session.connection):
            raise ApiError("FAILED_PRECONDITION", "this connection is in a call", reason="IN_ANOTHER_CALL")

    def _participant(self, session: CallSession, name: str, token: str) -> Participant:
        return Participant(
            secrets.token_hex(8),
            session.user_id,
            name,
            session.connection,
            self._settings.me,
            domain.hash_of(token),
        )

    def _answer(self, stored: StoredCall, session: CallSession, ref: str, token: str = "") -> str:
        alive = self._settings.alive_seconds if token else 0.0
        return call_frame(stored.call, session.connection, ref=ref, token=token, alive_seconds=alive)


def slot_of_call(call_id: str) -> str:
    """The slot that a call's id names. Raises ApiError."""
    slot, dot, _ = call_id.partition(".")
    if not dot or len(slot) != 24 or not slot.isalnum():  # noqa: PLR2004 - as `slot_of` makes them
        raise ApiError("NOT_FOUND", "there is no such call", reason="NO_SUCH_CALL")
    return slot


def as_api_error(refused: CallRefusedError | ApiError) -> ApiError:
    if isinstance(refused, ApiError):
        return refused
    denied = refused.reason in {"NOT_CALLED", "NOT_IN_CALL"}
    code = "PERMISSION_DENIED" if denied else "FAILED_PRECONDITION"
    return ApiError(code, str(refused), reason=refused.reason)
