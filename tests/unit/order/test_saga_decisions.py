"""What the saga does next, and what answers mean for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.order import domain, saga
from services.order.domain import OrderState, StepState
from services.order.events import (
    AttentionResolved,
    CompensationFailed,
    Item,
    OrderCompleted,
    OrderNeedsAttention,
    OrderPlaced,
    OrderRejected,
    Resolution,
    StepAbandoned,
    StepCompleted,
    StepFailed,
    StepName,
    StepRefused,
)
from services.order.saga import Do, Done, NoAnswer, Refused, Rest, RetryPolicy, TooLate, Undo, Wait

NOW = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = RetryPolicy(attempts=3, undo_attempts=2, backoff=1.0, backoff_max=5.0)
RESERVE, CHARGE, SHIP = StepName


def new() -> domain.Order:
    return domain.placed("id", OrderPlaced("k", "ada", (Item("TEA", 1),)), NOW)


def played(*outcomes, order=None) -> tuple[domain.Order, list]:
    """The order after those answers, each asked for when it is due, and the calls that were made."""
    order, calls, now = order or new(), [], NOW
    for outcome in outcomes:
        call = saga.next_step(order, now)
        while isinstance(call, Wait):
            now = call.until
            call = saga.next_step(order, now)
        assert isinstance(call, Do | Undo), call
        calls.append(call)
        order = domain.evolve(order, call.started, now)
        for fact in saga.outcome_events(order, call, outcome, now=now, policy=POLICY, jitter=1.0):
            order = domain.evolve(order, fact, now)
    return order, calls


def test_the_steps_are_done_in_their_order_and_end_the_order() -> None:
    order, calls = played(Done(500), Done(), Done())
    assert calls == [Do(RESERVE, 1), Do(CHARGE, 1), Do(SHIP, 1)]
    assert (order.state, order.total_cents) == (OrderState.COMPLETED, 500)
    assert saga.next_step(order, NOW) == Rest()
    assert saga.due(order) is None


def test_a_certain_refusal_undoes_what_came_before_and_not_the_step_itself() -> None:
    order, calls = played(Done(500), Refused("no money", certain=True), Done())
    assert calls[2:] == [Undo(RESERVE, 1)]
    assert (order.state, order.reason) == (OrderState.REJECTED, "no money")
    assert order.step(CHARGE).state is StepState.REFUSED


def test_an_uncertain_refusal_undoes_the_step_as_well() -> None:
    order, calls = played(Done(500), Refused("what?"), Done(), Done())
    assert calls[2:] == [Undo(CHARGE, 1), Undo(RESERVE, 1)]
    assert order.state is OrderState.REJECTED


def test_what_was_tried_too_often_without_an_answer_is_undone_the_last_first() -> None:
    order, calls = played(Done(500), Done(), *[NoAnswer("away")] * 3, Done(), Done(), Done())
    assert calls[2:] == [Do(SHIP, 1), Do(SHIP, 2), Do(SHIP, 3), Undo(SHIP, 1), Undo(CHARGE, 1), Undo(RESERVE, 1)]
    assert (order.state, order.reason) == (OrderState.REJECTED, "no answer to ship_items, tried 3 times: away")


def test_what_has_left_the_house_completes_the_order_and_nothing_else_is_undone() -> None:
    order, calls = played(Done(500), Done(), *[NoAnswer("away")] * 3, TooLate())
    assert calls[-1] == Undo(SHIP, 1)
    assert (order.state, order.reason) == (OrderState.COMPLETED, "")


def test_a_reservation_that_was_shipped_against_all_plans_needs_attention() -> None:
    order, _ = played(Done(500), Refused("no money", certain=True), TooLate())
    assert (order.state, order.step(RESERVE).state) == (OrderState.NEEDS_ATTENTION, StepState.STUCK)
    assert order.reason == "reserve_inventory cannot be undone: the reserved items were shipped"


def test_a_step_that_another_driver_left_under_way_is_tried_again_at_once() -> None:
    order = domain.evolve(new(), Do(RESERVE, 1).started, NOW)
    assert order.step(RESERVE).state is StepState.RUNNING
    assert saga.next_step(order, NOW) == Do(RESERVE, 2)
    assert saga.due(order) == NOW


def test_a_compensation_that_fails_too_often_needs_attention() -> None:
    stuck, _ = played(Done(500), Refused("no", certain=True), NoAnswer("away"), NoAnswer("away"))
    assert stuck.state is OrderState.NEEDS_ATTENTION
    assert saga.next_step(stuck, NOW) == Rest()
    again = domain.evolve(stuck, AttentionResolved(RESERVE, Resolution.RETRY, "grace", "back"), NOW)
    assert (again.reason, saga.next_step(again, NOW)) == ("no", Undo(RESERVE, 1))
    order, _ = played(NoAnswer("away"), Done(), order=again)
    assert (order.state, order.reason) == (OrderState.REJECTED, "no")
    left = domain.evolve(stuck, AttentionResolved(RESERVE, Resolution.GIVE_UP, "grace", "broken"), NOW)
    reason = "no; reserve_inventory was given up by grace: broken"
    assert saga.next_step(left, NOW) == saga.Conclude(OrderRejected("ada", reason))


def test_tries_are_apart_twice_as_long_each_time_up_to_a_limit_and_spread() -> None:
    full = [saga.pause(attempt, POLICY, 1.0).total_seconds() for attempt in (1, 2, 3, 4, 5, 1000)]
    assert full == [1.0, 2.0, 4.0, 5.0, 5.0, 5.0]
    assert saga.pause(4, POLICY, 0.0).total_seconds() == 2.5


@pytest.mark.parametrize(
    ("call", "outcome", "facts"),
    [
        (Do(RESERVE, 1), Done(7), [StepCompleted(RESERVE, 7)]),
        (Do(RESERVE, 1), NoAnswer("away"), [StepFailed(RESERVE, "away", NOW + timedelta(seconds=1))]),
        (Do(RESERVE, 1), Refused("x", certain=True), [StepRefused(RESERVE, "x"), OrderRejected("ada", "x")]),
        (Do(RESERVE, 3), NoAnswer("x"), [StepAbandoned(RESERVE, "no answer to reserve_inventory, tried 3 times: x")]),
        (Undo(CHARGE, 1), Refused("x"), [CompensationFailed(CHARGE, "x", NOW + timedelta(seconds=1))]),
        (Undo(CHARGE, 2), NoAnswer("x"), [OrderNeedsAttention(CHARGE, "ada", "tried 2 times: x")]),
    ],
)
def test_an_answer_becomes_facts(call, outcome, facts):
    order = domain.evolve(new(), Do(call.step, 1).started, NOW)
    assert list(saga.outcome_events(order, call, outcome, now=NOW, policy=POLICY, jitter=1.0)) == facts


def test_the_last_answer_and_the_end_are_one_change() -> None:
    order, _ = played(Done(500), Done())
    order = domain.evolve(order, Do(SHIP, 1).started, NOW)
    facts = saga.outcome_events(order, Do(SHIP, 1), Done(), now=NOW, policy=POLICY, jitter=0.0)
    assert list(facts) == [StepCompleted(SHIP), OrderCompleted("ada", 500)]


def test_an_order_is_placed_once() -> None:
    with pytest.raises(ValueError, match="placed once"):
        domain.evolve(new(), OrderPlaced("k", "ada", ()), NOW)
