"""The saga: what to do next for an order, and what an answer means for it. All decisions, no input or output.

The steps are done in their order: reserve, charge, ship. A refusal, or too many tries without an answer, turns the saga
round: every step that may have had an effect is undone, the last one first. "May have had": a call without an answer
may have arrived, and may still arrive. That is why a step counts as begun before it is tried (StepStarted is stored
first), why participants remember an undoing that came before its doing, and why everything goes by one key.

What is shipped cannot be called back. Undoing that step is asking for the reservation back: either it was not shipped
and never will be, or the answer is that it has left the house, and then the order is complete after all. It is undone
first, so that nothing else has been taken back by then.

What cannot be undone after so many tries needs a person; only that person's decision moves the order on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from services.order.domain import State, StepState, evolve
from services.order.facts import (
    CompensationCompleted,
    CompensationFailed,
    CompensationStarted,
    Fact,
    OrderCompleted,
    OrderNeedsAttention,
    OrderRejected,
    StepAbandoned,
    StepCompleted,
    StepFailed,
    StepName,
    StepRefused,
    StepStarted,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from services.order.domain import Order, Step


@dataclass(frozen=True, slots=True)
class Policy:
    """How long and how often. Durations in seconds."""

    timeout: float = 3.0
    """For one call."""
    attempts: int = 10
    """Tries of a step without an answer before the order is undone."""
    undo_attempts: int = 10
    """Tries of undoing a step before a person must look."""
    backoff: float = 0.2
    """Before the second try; doubled each time."""
    backoff_max: float = 10.0
    lease: float = 10.0
    """How long an order belongs to whoever drives it; longer than a call."""

    @property
    def lease_time(self) -> timedelta:
        return timedelta(seconds=self.lease)


@dataclass(frozen=True, slots=True)
class Do:
    """Try the step."""

    step: StepName
    attempt: int

    @property
    def started(self) -> Fact:
        return StepStarted(self.step, self.attempt)


@dataclass(frozen=True, slots=True)
class Undo:
    """Try to undo the step."""

    step: StepName
    attempt: int

    @property
    def started(self) -> Fact:
        return CompensationStarted(self.step, self.attempt)


@dataclass(frozen=True, slots=True)
class Conclude:
    """All is done, or undone: this is how it ends."""

    fact: Fact


@dataclass(frozen=True, slots=True)
class Wait:
    until: datetime


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing happens by itself any more."""


@dataclass(frozen=True, slots=True)
class Done:
    """The answer is that it is done, or undone."""

    total_cents: int = 0


@dataclass(frozen=True, slots=True)
class Refused:
    """The answer is no. `certain`: the step has had, and will have, no effect."""

    reason: str
    certain: bool = False


@dataclass(frozen=True, slots=True)
class TooLate:
    """What is to be undone cannot be: it has left the house."""


@dataclass(frozen=True, slots=True)
class NoAnswer:
    error: str


Outcome = Done | Refused | TooLate | NoAnswer
GONE = "what was reserved has left the house"


def next_step(order: Order, now: datetime) -> Do | Undo | Conclude | Wait | Rest:
    """What to do now. A step that is under way belonged to somebody who is gone: it is tried again at once."""
    if order.resting:
        return Rest()
    step = _next(order)
    if step is None:
        return Conclude(_end(order))
    if step.due is not None and step.due > now:
        return Wait(step.due)
    attempt = step.attempts + 1
    return Do(step.name, attempt) if order.state is State.PENDING else Undo(step.name, attempt)


def due(order: Order) -> datetime | None:
    """When there is something to do; None where nothing happens by itself."""
    if order.resting:
        return None
    step = _next(order)
    return order.updated_at if step is None or step.due is None else step.due


def answered(
    order: Order, call: Do | Undo, outcome: Outcome, *, now: datetime, policy: Policy, jitter: float
) -> Sequence[Fact]:
    """What has happened by that answer, the order's end included. `jitter`: 0 to 1, spreads the retries of many."""
    retry_at = now + pause(call.attempt, policy, jitter)
    if isinstance(call, Do):
        fact = _done(call, outcome, policy, retry_at)
    else:
        fact = _undone(call, outcome, policy, retry_at, order.user_id)
    after = next_step(evolve(order, fact, now), now)
    return [fact, after.fact] if isinstance(after, Conclude) else [fact]


def _next(order: Order) -> Step | None:
    if order.state is State.PENDING:
        return next((step for step in order.steps if step.state is not StepState.DONE), None)
    return next((step for step in reversed(order.steps) if step.begun and not step.given_up), None)


def _end(order: Order) -> Fact:
    if order.state is State.PENDING:
        return OrderCompleted(order.user_id, order.total_cents)
    return OrderRejected(order.user_id, order.refusal)


def _done(call: Do, outcome: Outcome, policy: Policy, retry_at: datetime) -> Fact:
    match outcome:
        case Done(total):
            return StepCompleted(call.step, total)
        case Refused(reason, certain):
            return StepRefused(call.step, reason, certain)
        case TooLate():
            return StepRefused(call.step, GONE, certain=False)
        case NoAnswer(error):
            if call.attempt >= policy.attempts:
                return StepAbandoned(call.step, f"no answer to {call.step}, tried {call.attempt} times: {error}")
            return StepFailed(call.step, error, retry_at)


def _undone(call: Undo, outcome: Outcome, policy: Policy, retry_at: datetime, user_id: str) -> Fact:
    match outcome:
        case Done():
            return CompensationCompleted(call.step)
        case TooLate():
            return StepCompleted(call.step) if call.step is StepName.SHIP else _stuck(call, GONE, user_id)
        case Refused(error) | NoAnswer(error):
            if call.attempt >= policy.undo_attempts:
                return _stuck(call, f"tried {call.attempt} times: {error}", user_id)
            return CompensationFailed(call.step, error, retry_at)


def _stuck(call: Undo, reason: str, user_id: str) -> Fact:
    return OrderNeedsAttention(call.step, user_id, reason)


def pause(attempt: int, policy: Policy, jitter: float) -> timedelta:
    """Before the next try: doubled each time up to the limit, and then between half and all of it."""
    full = min(policy.backoff * 2 ** min(attempt - 1, 30), policy.backoff_max)
    return timedelta(seconds=full * (0.5 + jitter / 2))
