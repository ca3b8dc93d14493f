"""Consumes the payment service's events, and records users' balances."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from services.common.messaging.event_consumer import consume_events
from services.user.adapters import PAYMENT
from services.user.event_log import SOURCE
from services.user.events import BalanceUpdated

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.common.messaging.bus import Bus
    from services.common.messaging.events import Event
    from services.user.adapters import DatabaseUsers

log = logging.getLogger(__name__)

REASONS = {"Deposited": "deposit", "Charged": "charge", "Refunded": "refund"}


def balance_of(event: Event) -> BalanceUpdated | None:
    """The balance in the event; None if it has none."""
    reason = REASONS.get(event.name)
    if reason is None:
        return None
    new, amount = int(event.data["balance_after_cents"]), int(event.data["amount_cents"])
    old = new + amount if reason == "charge" else new - amount
    return BalanceUpdated(old, new, reason, event.id)


async def consume_payments(bus: Bus, users: DatabaseUsers, on_change: Callable[[], None]) -> None:
    """Consumes forever; calls `on_change` after recording an event."""

    async def place() -> int:
        return await users.place(PAYMENT)

    async def take(at: int, event: Event) -> bool:
        update = balance_of(event)
        if update is None:
            log.debug("event %s says nothing of a balance", event.id)
            return False
        followed = await users.record_balance(at, event.subject, update, event.time)
        if followed:
            on_change()
        return followed

    async def on_reset(at: int, _: int) -> None:
        await users.restart_consumer(PAYMENT, at)

    await consume_events(bus, PAYMENT, place, take, SOURCE, on_reset=on_reset)
