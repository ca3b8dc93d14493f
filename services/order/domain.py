"""Orders: their state, and how events change it.

Events are stored; an order is the sum of its events, and `evolve` is the only function that applies one. `saga` decides
the next step. Everything here is a function of its arguments, time included.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, replace
from datetime import datetime  # noqa: TC003 - stored orders are decoded by their annotations
from enum import StrEnum
from typing import TYPE_CHECKING

from services.common.runtime.text import text_problem
from services.order.events import (
    AttentionResolved,
    CompensationCompleted,
    CompensationFailed,
    CompensationStarted,
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
    StepStarted,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from services.order.events import Event

MAX_ITEMS = 100
MAX_QUANTITY = 1_000_000
MAX_LIST = 500
DEFAULT_LIST = 50
MAX_USER = 64
MAX_REASON = 500

_VISIBLE = re.compile(r"[!-~]{1,100}")
_USER = re.compile(r"[!-~]{1,64}")
_SKU = re.compile(r"[A-Za-z0-9.-]{1,64}")


class InvalidOrderError(Exception):
    """The request breaks a rule. `fields` maps each wrong field to what is wrong with it."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.fields = dict(fields)
        super().__init__("; ".join(f"{field} {what}" for field, what in self.fields.items()))


class OrderNotFoundError(Exception):
    """No order has that id."""

    def __init__(self) -> None:
        super().__init__("there is no such order")


class OrderDiffersError(Exception):
    """The idempotency key was used for another order."""

    def __init__(self) -> None:
        super().__init__("this key was used to place another order")


class NoAttentionNeededError(Exception):
    """The order has no step that needs a decision."""

    def __init__(self, state: str) -> None:
        super().__init__(f"the order needs no decision: it is {state}")


class OrderState(StrEnum):
    """State of an order."""

    PENDING = "PENDING"
    COMPLETED = "COMPLETED"
    REJECTED = "REJECTED"
    COMPENSATING = "COMPENSATING"
    NEEDS_ATTENTION = "NEEDS_ATTENTION"


class StepState(StrEnum):
    """State of a step."""

    WAITING = "WAITING"
    RUNNING = "RUNNING"
    DONE = "DONE"
    REFUSED = "REFUSED"
    COMPENSATING = "COMPENSATING"
    COMPENSATED = "COMPENSATED"
    STUCK = "STUCK"


@dataclass(frozen=True)
class Step:
    name: StepName
    state: StepState = StepState.WAITING
    attempts: int = 0
    """Attempts to do the step; while compensating, attempts to undo it."""
    error: str = ""
    begun: bool = False
    """Whether it may have had an effect that compensation must undo."""
    given_up: bool = False
    """An operator has decided to leave it as it is."""
    due: datetime | None = None
    """Earliest time of the next attempt."""
    updated_at: datetime | None = None


@dataclass(frozen=True)
class Order:
    id: str
    key: str
    user_id: str
    items: tuple[Item, ...]
    state: OrderState
    steps: tuple[Step, ...]
    placed_at: datetime
    updated_at: datetime
    version: int = 1
    """Number of its events."""
    total_cents: int = 0
    reason: str = ""
    """Why it was rejected or needs attention, as text."""
    refusal: str = ""
    """Why it is being compensated."""
    traceparent: str = ""
    """The trace in which it was placed; empty without one."""

    @property
    def resting(self) -> bool:
        """Whether it changes no more without a decision."""
        return self.state in {OrderState.COMPLETED, OrderState.REJECTED, OrderState.NEEDS_ATTENTION}

    def step(self, name: StepName) -> Step:
        return next(step for step in self.steps if step.name == name)


def placed(order_id: str, event: OrderPlaced, at: datetime) -> Order:
    """Creates the order from its first event."""
    steps = tuple(Step(name) for name in StepName)
    items = tuple(event.items)
    return Order(
        order_id, event.key, event.user_id, items, OrderState.PENDING, steps, at, at, traceparent=event.traceparent
    )


def evolve(order: Order, event: Event, at: datetime) -> Order:
    """Applies an event that happened at `at`."""
    return replace(_changed(order, event, at), version=order.version + 1, updated_at=at)


def _changed(order: Order, event: Event, at: datetime) -> Order:  # noqa: PLR0911 - one line for each event
    match event:
        case StepStarted(name, attempt):
            return _with(order, name, at, state=StepState.RUNNING, attempts=attempt, begun=True, due=None)
        case StepFailed(name, error, retry_at):
            return _with(order, name, at, state=StepState.WAITING, error=error, due=retry_at)
        case StepCompleted(name, total):
            done = _with(order, name, at, state=StepState.DONE, error="", due=None)
            return replace(done, state=OrderState.PENDING, reason="", total_cents=total or order.total_cents)
        case StepRefused(name, reason, certain):
            refused = _with(order, name, at, state=StepState.REFUSED, error=reason, begun=not certain)
            return _undoing(refused, reason)
        case StepAbandoned(name, reason):
            return _undoing(_with(order, name, at, state=StepState.WAITING, error=reason), reason)
        case OrderCompleted():
            return replace(order, state=OrderState.COMPLETED)
        case OrderRejected(_, reason):
            return replace(order, state=OrderState.REJECTED, reason=reason)
        case OrderPlaced():
            raise ValueError("an order is placed once")
        case _:
            return _changed_undoing(order, event, at)


def _changed_undoing(
    order: Order,
    event: CompensationStarted | CompensationFailed | CompensationCompleted | OrderNeedsAttention | AttentionResolved,
    at: datetime,
) -> Order:
    match event:
        case CompensationStarted(name, attempt):
            return _with(order, name, at, state=StepState.COMPENSATING, attempts=attempt, due=None)
        case CompensationFailed(name, error, retry_at):
            return _with(order, name, at, error=error, due=retry_at)
        case CompensationCompleted(name):
            return _with(order, name, at, state=StepState.COMPENSATED, begun=False)
        case OrderNeedsAttention(name, _, reason):
            stuck = _with(order, name, at, state=StepState.STUCK, error=reason)
            return replace(stuck, state=OrderState.NEEDS_ATTENTION, reason=f"{name} cannot be undone: {reason}")
        case AttentionResolved(name, Resolution.RETRY, _, _):
            again = _with(order, name, at, state=StepState.COMPENSATING, attempts=0, due=None)
            return replace(again, state=OrderState.COMPENSATING, reason=order.refusal)
        case AttentionResolved(name, _, actor, reason):
            left = _with(order, name, at, given_up=True)
            return _undoing(left, f"{order.refusal}; {name} was given up by {actor}: {reason}")


def _with(order: Order, name: str, at: datetime, **changes: object) -> Order:
    steps = tuple(
        replace(step, updated_at=at, **changes) if step.name == name else step  # type: ignore[arg-type]
        for step in order.steps
    )
    return replace(order, steps=steps)


def _undoing(order: Order, reason: str) -> Order:
    """Begins compensation: attempts count from 0 again, now of undoing."""
    steps = tuple(replace(step, attempts=0, due=None) if step.begun else step for step in order.steps)
    return replace(order, state=OrderState.COMPENSATING, reason=reason, refusal=reason, steps=steps)


def check_order(key: str, user_id: str, items: Sequence[Item]) -> None:
    """Raises InvalidOrderError, which lists every wrong field."""
    found = {
        "idempotency_key": "" if _VISIBLE.fullmatch(key) else "must be 1 to 100 visible ASCII characters",
        "user_id": "" if _USER.fullmatch(user_id) else "must be 1 to 64 visible ASCII characters",
        "items": "" if 1 <= len(items) <= MAX_ITEMS else f"must be 1 to {MAX_ITEMS} items",
    }
    seen: set[str] = set()
    for number, item in enumerate(items[:MAX_ITEMS]):
        sku = "" if _SKU.fullmatch(item.sku) else "must be 1 to 64 letters, digits, dashes and dots"
        found[f"items[{number}].sku"] = "is named twice" if item.sku in seen else sku
        quantity = "" if 1 <= item.quantity <= MAX_QUANTITY else f"must be 1 to {MAX_QUANTITY}"
        found[f"items[{number}].quantity"] = quantity
        seen.add(item.sku)
    refuse(found)


def check_resolution(actor: str, reason: str) -> None:
    """Raises InvalidOrderError, which lists every wrong field."""
    refuse(
        {
            "actor": "" if _VISIBLE.fullmatch(actor) else "must be 1 to 100 visible ASCII characters",
            "reason": text_problem(reason, MAX_REASON, required=True),
        }
    )


def refuse(found: Mapping[str, str]) -> None:
    """Raises InvalidOrderError if any field has a problem."""
    wrong = {field: what for field, what in found.items() if what}
    if wrong:
        raise InvalidOrderError(wrong)


def parse_id(text: str) -> str | None:
    """Normalises an order id; None if it is invalid."""
    try:
        return str(uuid.UUID(text)) if len(text) <= len("urn:uuid:") + 36 else None
    except ValueError:
        return None
