"""What a client knows of a room: each message once, in order, whatever the order in which it hears of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.client.backoff import LONGEST_SECONDS, backoff
from services.client.live import STOPPING, TOO_MUCH, reconnect_after
from services.client.timeline import KEPT, Delivery, Message, OutgoingMessage, Timeline

ADA, GRACE = "ada", "grace"


def message(number: int, user: str = GRACE, client_id: str = "") -> Message:
    return Message(f"{number:08}", user, user.title(), f"text {number}", "2026-01-01T00:00:00Z", client_id)


@given(st.lists(st.integers(0, 2 * KEPT)))
def test_messages_are_in_order_and_once_and_the_newest_are_kept(numbers: list[int]) -> None:
    timeline = Timeline()
    for number in numbers:
        timeline.see(message(number), ADA)
    assert [each.id for each in timeline.messages] == [f"{number:08}" for number in sorted(set(numbers))][-KEPT:]


@given(st.permutations(["said", "message", "again"]))
def test_a_message_of_ones_own_is_sent_whatever_is_heard_first(order: list[str]) -> None:
    timeline, own = Timeline(), OutgoingMessage("mark", "text")
    timeline.outgoing["mark"] = own
    for what in order:
        if what == "said":
            timeline.stored("mark")
        else:
            timeline.see(message(1, ADA, "mark"), ADA)
    assert own.delivery is Delivery.SENT
    assert (timeline.outgoing, len(timeline.messages)) == ({}, 1)


def test_anothers_message_with_the_same_mark_is_not_ones_own() -> None:
    timeline, own = Timeline(), OutgoingMessage("mark", "text")
    timeline.outgoing["mark"] = own
    timeline.see(message(1, GRACE, "mark"), ADA)
    assert timeline.unsent() == [own]


def test_what_has_failed_is_not_sent_again_by_itself() -> None:
    timeline, own = Timeline(), OutgoingMessage("mark", "text")
    timeline.outgoing["mark"] = own
    timeline.failed("mark", "too long")
    assert (timeline.unsent(), own.reason) == ([], "too long")


def test_a_gap_is_told_before_the_first_message_after_it() -> None:
    timeline = Timeline()
    timeline.see(message(1), ADA)
    timeline.forget_before()
    assert (timeline.last, timeline.gap_before) == ("", "")
    timeline.see(message(7), ADA)
    timeline.see(message(8), ADA)
    assert timeline.gap_before == message(7).id


@given(st.integers(0, 10_000))
def test_waits_grow_and_end(attempt: int) -> None:
    assert 0.2 < backoff(attempt) <= LONGEST_SECONDS
    assert reconnect_after(TOO_MUCH, attempt) == 20
    assert reconnect_after(STOPPING, 0) < 0.3
