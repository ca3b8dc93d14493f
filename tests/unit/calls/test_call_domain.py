"""Calls: every transition, and what holds for any interleaving of inputs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.realtime.calls import domain
from services.gateway.realtime.calls.domain import (
    Accept,
    Back,
    Call,
    CallRefusedError,
    CallState,
    CallTimes,
    Change,
    Decline,
    HangUp,
    Lost,
    Participant,
    Reported,
    Resume,
    Tick,
)

TIMES = CallTimes(ring=45.0, grace=12.0)
ADA, BOB, EVE = "ada", "bob", "eve"


def participant(user: str, connection: str = "") -> Participant:
    where = connection or f"{user}-1"
    return Participant(f"p-{where}", user, user.title(), where, "one", domain.hash_of(f"t-{where}"))


def rung(callee: str = BOB, now: float = 0.0, before: Call | None = None, *, busy: bool = False) -> Call:
    return domain.ring(before, Call(f"c{now}", "hall", ADA, callee, now), participant(ADA), busy=busy).call


def after(call: Call, *inputs: domain.Input, now: float = 1.0) -> Call:
    for given_one in inputs:
        call = domain.apply(call, given_one, now, TIMES).call
    return call


def names(change: Change) -> list[str]:
    return [event.name for event in change.events]


def refused(call: Call, given_one: domain.Input, now: float = 1.0) -> str:
    with pytest.raises(CallRefusedError) as caught:
        domain.apply(call, given_one, now, TIMES)
    return caught.value.reason


def test_a_call_is_accepted_by_the_callee_and_ends_when_one_hangs_up() -> None:
    call = rung()
    assert refused(call, Accept(participant(EVE))) == "NOT_CALLED"
    assert refused(call, Accept(participant(ADA, "ada-2"))) == "ALREADY_IN_CALL"
    accepted = domain.apply(call, Accept(participant(BOB)), 3.0, TIMES)
    assert names(accepted) == ["CallAccepted"]
    assert (accepted.call.state, accepted.call.accepted_at) == (CallState.ACCEPTED, 3.0)
    assert refused(accepted.call, Accept(participant(BOB, "bob-2"))) == "ALREADY_IN_CALL"
    ada, bob = accepted.call.participants
    assert (domain.polite(bob, ada), domain.polite(ada, bob)) == (True, False)
    ended = domain.apply(accepted.call, HangUp("bob-1"), 10.0, TIMES)
    assert names(ended) == ["ParticipantLeft", "CallEnded"]
    assert ended.events[-1].data == {"reason": "hung_up", "seconds": 7.0}
    assert refused(ended.call, HangUp("ada-1")) == "CALL_OVER"


def test_a_callee_declines_or_is_busy_and_a_caller_cannot_do_so() -> None:
    assert after(rung(), Decline(BOB)).state is CallState.DECLINED
    assert after(rung(), Decline(BOB, busy=True)).state is CallState.BUSY
    assert rung(busy=True).state is CallState.BUSY
    assert refused(rung(), Decline(EVE)) == "NOT_CALLED"
    assert refused(rung(), Decline(ADA)) == "ALREADY_IN_CALL"


def test_ringing_ends_with_its_time_or_its_caller() -> None:
    assert after(rung(), Tick(), now=44.9).state is CallState.RINGING
    missed = after(rung(), Tick(), now=45.0)
    assert (missed.state, missed.reason) == (CallState.MISSED, "no_answer")
    cancelled = after(rung(), HangUp("ada-1"))
    assert (cancelled.state, cancelled.reason) == (CallState.MISSED, "cancelled")
    vanished = after(after(rung(), Lost("ada-1", 1.0)), Tick(), now=13.0)
    assert (vanished.state, vanished.reason) == (CallState.MISSED, "vanished")


def test_glare_is_one_call_that_is_accepted() -> None:
    first = rung()
    assert domain.slot_of("hall", ADA, BOB) == domain.slot_of("hall", BOB, ADA) != domain.slot_of("hall")
    second = domain.ring(first, Call("c2", "hall", BOB, ADA, 1.0), participant(BOB))
    assert (second.call.id, second.call.state) == (first.id, CallState.ACCEPTED)
    assert names(second) == ["CallAccepted"]


def test_a_ring_in_a_room_joins_the_call_of_the_room_up_to_four() -> None:
    call = rung(callee="")
    for user in (BOB, EVE, "mallory"):
        call = domain.ring(call, Call("other", "hall", user, "", 1.0), participant(user)).call
    assert [each.number for each in call.participants] == [1, 2, 3, 4]
    assert refused(call, Accept(participant("late"))) == "CALL_FULL"
    call = after(call, HangUp("ada-1"), HangUp("bob-1"))
    assert call.state is CallState.ACCEPTED
    call = after(call, Accept(participant("late")))
    assert call.participants[-1].number == 5
    assert after(call, HangUp("late-1"), HangUp("eve-1")).state is CallState.ENDED


def test_who_declines_a_call_of_the_room_does_not_end_it() -> None:
    call = after(rung(callee=""), Decline(BOB), Decline(BOB), Decline(EVE, busy=True))
    assert (call.state, call.refused) == (CallState.RINGING, (BOB, EVE))


def test_a_participant_resumes_with_its_token_within_the_grace() -> None:
    call = after(rung(), Accept(participant(BOB)))
    away = after(call, Lost("bob-1", 5.0))
    assert refused(away, Resume("p-bob-1", BOB, "guess", "bob-9", "two")) == "NOT_IN_CALL"
    assert refused(away, Resume("p-bob-1", ADA, "t-bob-1", "bob-9", "two")) == "NOT_IN_CALL"
    back = after(away, Resume("p-bob-1", BOB, "t-bob-1", "bob-9", "two"))
    bob = back.participants[1]
    assert (bob.id, bob.connection, bob.replica, bob.away_since, bob.number) == ("p-bob-1", "bob-9", "two", None, 2)
    assert after(back, Lost("bob-1", 6.0)) is back  # the old connection
    assert after(away, Back("bob-1")).participants[1].away_since is None
    assert after(away, Tick(), now=16.9) is away
    gone = after(away, Tick(), now=17.0)
    assert (gone.state, gone.reason) == (CallState.ENDED, "vanished")
    assert refused(gone, Resume("p-bob-1", BOB, "t-bob-1", "bob-9", "two")) == "CALL_OVER"


def test_milestones_are_told_once_for_a_call() -> None:
    call = after(rung(), Accept(participant(BOB)))
    once = domain.apply(call, Reported("bob-1", connected=True, media=True, details={"x": "y"}), 2.0, TIMES)
    assert names(once) == ["CallConnected", "CallMediaStarted"]
    again = domain.apply(once.call, Reported("ada-1", connected=True, media=True), 3.0, TIMES)
    assert again.call is once.call
    assert names(domain.apply(call, Reported("bob-1", failed=True), 2.0, TIMES)) == ["CallConnectionFailed"]
    assert refused(call, Reported("eve-1", connected=True)) == "NOT_IN_CALL"


def test_due_is_when_a_tick_changes_something() -> None:
    call = rung()
    assert domain.due(call, TIMES) == 45.0
    accepted = after(call, Accept(participant(BOB)))
    assert domain.due(accepted, TIMES) == TIMES.most
    assert domain.due(after(accepted, Lost("bob-1", 5.0)), TIMES) == 17.0
    assert domain.due(after(accepted, HangUp("bob-1")), TIMES) == float("inf")
    assert after(accepted, Tick(), now=TIMES.most).reason == "too_long"


CONNECTIONS = [f"{user}-{number}" for user in (ADA, BOB, EVE, "kim", "lee") for number in (1, 2)]
connections = st.sampled_from(CONNECTIONS)


def user_of(connection: str) -> str:
    return connection.partition("-")[0]


moves = st.one_of(
    st.builds(lambda each: ("ring", each), connections),
    st.builds(lambda each: Accept(participant(user_of(each), each)), connections),
    st.builds(lambda each, busy: Decline(user_of(each), busy), connections, st.booleans()),
    st.builds(HangUp, connections),
    st.builds(lambda each: Lost(each, 0.0), connections),
    st.builds(Back, connections),
    st.builds(lambda each, new: Resume(f"p-{each}", user_of(each), f"t-{each}", new, "two"), connections, connections),
    st.builds(lambda each: Reported(each, connected=True), connections),
    st.just(Tick()),
)


@given(st.booleans(), st.lists(st.tuples(moves, st.floats(0, 20)), max_size=40))
def test_any_interleaving_keeps_one_call_that_ends_when_all_are_gone(in_pairs: bool, given_moves: list) -> None:
    """The slot holds at most one active call; a call that is over stays as it is; without signs of life it is over."""
    slot: Call | None = None
    now, made = 0.0, 0
    for move, seconds in given_moves:
        now += seconds
        before = slot
        try:
            if isinstance(move, tuple):
                user = user_of(move[1])
                if in_pairs and user not in {ADA, BOB}:
                    continue
                callee = ({ADA, BOB} - {user}).pop() if in_pairs else ""
                slot = domain.ring(slot, Call(f"c{made}", "hall", user, callee, now), participant(user, move[1])).call
                made += 1
                assert not (before and before.active) or slot.id == before.id, "never two calls in one slot"
            elif slot is not None:
                moved = Lost(move.connection, now) if isinstance(move, Lost) else move
                slot = domain.apply(slot, moved, now, TIMES).call
        except CallRefusedError:
            assert slot is before
        check(slot, before)
    if slot is not None:
        for each in slot.participants:
            slot = domain.apply(slot, Lost(each.connection, now), now, TIMES).call
        for _ in range(2):
            slot = domain.apply(slot, Tick(), now + TIMES.ring + TIMES.grace, TIMES).call
        assert slot.state.final
        assert domain.due(slot, TIMES) == float("inf")


def check(call: Call | None, before: Call | None) -> None:
    if call is None:
        return
    users = [each.user_id for each in call.participants]
    assert len(set(users)) == len(users) <= domain.MOST_PARTICIPANTS
    numbers = [each.number for each in call.participants]
    assert sorted(set(numbers)) == numbers
    assert call.state.final == (call.ended_at is not None)
    if call.callee:
        assert set(users) <= {call.caller, call.callee}
    if before is not None and before.state.final and call.id == before.id:
        assert call is before
    if call.state is CallState.ACCEPTED:
        assert len(users) >= 2
    if call.state is CallState.RINGING:
        assert users == [call.caller]
