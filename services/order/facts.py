"""What may happen to an order: the facts that are stored, and that others are told.

A fact is never changed. Where one must say more than it did, `aggregate` raises the version and brings the old ones up.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


class StepName(StrEnum):
    """The steps, in their order. What is undone is undone in the opposite order."""

    RESERVE = "reserve_inventory"
    CHARGE = "charge_payment"
    SHIP = "ship_items"


class Resolution(StrEnum):
    """What a person decides about a step that cannot be undone."""

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
    """It is about to be tried, and may have had an effect from here on."""

    step: StepName
    attempt: int


@dataclass(frozen=True)
class StepFailed:
    """There was no answer; whether it was done is not known."""

    step: StepName
    error: str
    retry_at: datetime


@dataclass(frozen=True)
class StepCompleted:
    step: StepName
    total_cents: int = 0
    """What the reserved items cost; of other steps 0."""


@dataclass(frozen=True)
class StepRefused:
    """It came to an answer that ends the order, and has had no effect where that is `certain`."""

    step: StepName
    reason: str
    certain: bool = True


@dataclass(frozen=True)
class StepAbandoned:
    """It was tried often enough without an answer; whether it was done is not known."""

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
    """A person has decided."""

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


Fact = (
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
