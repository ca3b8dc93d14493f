"""The saga: decides an order's next action, and the events that an outcome leads to. No input or output.

The steps run in order: reserve, charge, ship. A refusal, or too many attempts without an answer, starts compensation:
every step that may have had an effect is undone, the last one first. A call without an answer may have arrived, or may
still arrive. So StepStarted is stored before a step is tried, participants remember a compensation that arrives before
its step, and all calls of a step have the same key.

Shipping cannot be undone. Its compensation releases the reservation: either it was not shipped and never will be, or it
was shipped, and then the order is complete. It is compensated first, before any other effect is undone.

A step that cannot be undone after `undo_attempts` needs an operator's decision.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from services.order.domain import OrderState, StepState, evolve
from services.order.events import (
    CompensationCompleted,
    CompensationFailed,
    CompensationStarted,
    Event,
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
class RetryPolicy:
    """Timeouts, attempts and backoff. Durations in seconds."""

    timeout: float = 3.0
    """Of one call."""
    attempts: int = 10
    """Attempts of a step without an answer before compensation."""
    undo_attempts: int = 10
    """Attempts to undo a step before an operator must decide."""
    backoff: float = 0.2
    """Pause before the second attempt; doubled each time."""
    backoff_max: float = 10.0
    lease: float = 10.0
    """Duration of a driver's lease; longer than a call."""

    @property
    def lease_time(self) -> timedelta:
        return timedelta(seconds=self.lease)


@dataclass(frozen=True, slots=True)
class Do:
    """Do the step."""

    step: StepName
    attempt: int

    @property
    def started(self) -> Event:
        return StepStarted(self.step, self.attempt)


@dataclass(frozen=True, slots=True)
class Undo:
    """Undo the step."""

    step: StepName
    attempt: int

    @property
    def started(self) -> Event:
        return CompensationStarted(self.step, self.attempt)


@dataclass(frozen=True, slots=True)
class Conclude:
    """All steps are done or undone; `event` ends the order."""

    event: Event


@dataclass(frozen=True, slots=True)
class Wait:
    until: datetime


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing to do without a decision."""


@dataclass(frozen=True, slots=True)
class Done:
    """The step is done, or undone."""

    total_cents: int = 0


@dataclass(frozen=True, slots=True)
class Refused:
    """The participant refused. `certain`: the step has and will have no effect."""

    reason: str
    certain: bool = False


@dataclass(frozen=True, slots=True)
class TooLate:
    """The step cannot be undone: the items were shipped."""


@dataclass(frozen=True, slots=True)
class NoAnswer:
    error: str


Outcome = Done | Refused | TooLate | NoAnswer
SHIPPED = "the reserved items were shipped"


def next_step(order: Order, now: datetime) -> Do | Undo | Conclude | Wait | Rest:
    """Decides the next action. A step in progress was another driver's, which is gone: it is tried again at once."""
    if order.resting:
        return Rest()
    step = _next(order)
    if step is None:
        return Conclude(_end(order))
    if step.due is not None and step.due > now:
        return Wait(step.due)
    attempt = step.attempts + 1
    return Do(step.name, attempt) if order.state is OrderState.PENDING else Undo(step.name, attempt)


def due(order: Order) -> datetime | None:
    """Time of the next action; None if the order rests."""
    if order.resting:
        return None
    step = _next(order)
    return order.updated_at if step is None or step.due is None else step.due


def outcome_events(
    order: Order, call: Do | Undo, outcome: Outcome, *, now: datetime, policy: RetryPolicy, jitter: float
) -> Sequence[Event]:
    """The events of an outcome, including the order's end. `jitter`: 0 to 1, spreads retries."""
    retry_at = now + pause(call.attempt, policy, jitter)
    if isinstance(call, Do):
        event = _done(call, outcome, policy, retry_at)
    else:
        event = _undone(call, outcome, policy, retry_at, order.user_id)
    after = next_step(evolve(order, event, now), now)
    return [event, after.event] if isinstance(after, Conclude) else [event]


def _next(order: Order) -> Step | None:
    if order.state is OrderState.PENDING:
        return next((step for step in order.steps if step.state is not StepState.DONE), None)
    return next((step for step in reversed(order.steps) if step.begun and not step.given_up), None)


def _end(order: Order) -> Event:
    if order.state is OrderState.PENDING:
        return OrderCompleted(order.user_id, order.total_cents)
    return OrderRejected(order.user_id, order.refusal)


def _done(call: Do, outcome: Outcome, policy: RetryPolicy, retry_at: datetime) -> Event:
    match outcome:
        case Done(total):
            return StepCompleted(call.step, total)
        case Refused(reason, certain):
            return StepRefused(call.step, reason, certain)
        case TooLate():
            return StepRefused(call.step, SHIPPED, certain=False)
        case NoAnswer(error):
            if call.attempt >= policy.attempts:
                return StepAbandoned(call.step, f"no answer to {call.step}, tried {call.attempt} times: {error}")
            return StepFailed(call.step, error, retry_at)


def _undone(call: Undo, outcome: Outcome, policy: RetryPolicy, retry_at: datetime, user_id: str) -> Event:
    match outcome:
        case Done():
            return CompensationCompleted(call.step)
        case TooLate():
            return StepCompleted(call.step) if call.step is StepName.SHIP else _stuck(call, SHIPPED, user_id)
        case Refused(error) | NoAnswer(error):
            if call.attempt >= policy.undo_attempts:
                return _stuck(call, f"tried {call.attempt} times: {error}", user_id)
            return CompensationFailed(call.step, error, retry_at)


def _stuck(call: Undo, reason: str, user_id: str) -> Event:
    return OrderNeedsAttention(call.step, user_id, reason)


def pause(attempt: int, policy: RetryPolicy, jitter: float) -> timedelta:
    """Pause before the next attempt: exponential up to `backoff_max`, times 0.5 to 1 by `jitter`."""
    full = min(policy.backoff * 2 ** min(attempt - 1, 30), policy.backoff_max)
    return timedelta(seconds=full * (0.5 + jitter / 2))
