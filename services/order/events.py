"""The events of an order, as they are stored and published.

A stored event never changes. For an event with new fields, `event_types` raises its version and upcasts stored ones.
"""

from __future__ import annotations

from collections.abc import Sequence  # noqa: TC003 - stored events are decoded by their annotations
from dataclasses import dataclass
from datetime import datetime  # noqa: TC003
from enum import StrEnum


class StepName(StrEnum):
    """The steps in their order. Compensation runs in the reverse order."""

    RESERVE = "reserve_inventory"
    CHARGE = "charge_payment"
    SHIP = "ship_items"


class Resolution(StrEnum):
    """An operator's decision about a step that cannot be undone."""

    RETRY = "RETRY"
    GIVE_UP = "GIVE_UP"


@dataclass(frozen=True)
class Item:
    sku: str
    quantity: int


@dataclass(frozen=True)
class OrderPlaced:
    key: str
    user_id: str
    items: Sequence[Item]
    traceparent: str = ""


@dataclass(frozen=True)
class StepStarted:
    """The step is about to be tried; from here on it may have had an effect."""

    step: StepName
    attempt: int


@dataclass(frozen=True)
class StepFailed:
    """The participant did not answer; the effect is unknown."""

    step: StepName
    error: str
    retry_at: datetime


@dataclass(frozen=True)
class StepCompleted:
    step: StepName
    total_cents: int = 0
    """Price of the reserved items; 0 for other steps."""


@dataclass(frozen=True)
class StepRefused:
    """The participant refused, which ends the order. `certain`: the step has had no effect."""

    step: StepName
    reason: str
    certain: bool = True


@dataclass(frozen=True)
class StepAbandoned:
    """All attempts got no answer; the effect is unknown."""

    step: StepName
    reason: str


@dataclass(frozen=True)
class CompensationStarted:
    step: StepName
    attempt: int


@dataclass(frozen=True)
class CompensationFailed:
    step: StepName
    error: str
    retry_at: datetime


@dataclass(frozen=True)
class CompensationCompleted:
    step: StepName


@dataclass(frozen=True)
class OrderNeedsAttention:
    """A step cannot be undone."""

    step: StepName
    user_id: str
    reason: str


@dataclass(frozen=True)
class AttentionResolved:
    """An operator has decided."""

    step: StepName
    resolution: Resolution
    actor: str
    reason: str


@dataclass(frozen=True)
class OrderCompleted:
    user_id: str
    total_cents: int


@dataclass(frozen=True)
class OrderRejected:
    user_id: str
    reason: str


Event = (
    OrderPlaced
    | StepStarted
    | StepFailed
    | StepCompleted
    | StepRefused
    | StepAbandoned
    | CompensationStarted
    | CompensationFailed
    | CompensationCompleted
    | OrderNeedsAttention
    | AttentionResolved
    | OrderCompleted
    | OrderRejected
)
