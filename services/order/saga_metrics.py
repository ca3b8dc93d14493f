"""Prometheus metrics of sagas: number in progress, number that need a decision, and delay of driving.

Each replica reads the same table, so that a query takes the maximum over them, never the sum.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from prometheus_client import Gauge

from services.common.runtime.errors import StoreUnavailableError
from services.order.app import utc_now

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from prometheus_client import CollectorRegistry

log = logging.getLogger(__name__)

EVERY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class SagaOverview:
    """The sagas at one time."""

    counts: Mapping[str, int]
    """Number in progress by state, including 0."""
    overdue: float
    """Seconds since the longest due order was due."""


class Sagas(Protocol):
    """The stored orders."""

    async def overview(self, now: datetime) -> SagaOverview:
        """Raises StoreUnavailableError."""


class SagaMetrics:
    """The metrics of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._orders = Gauge(
            "saga_orders", "Orders that have not come to an end, by state.", ["state"], registry=registry
        )
        self._overdue = Gauge(
            "saga_overdue_seconds",
            "How long the order that is due the longest waits for a driver; 0 where none does.",
            registry=registry,
        )

    def show(self, overview: SagaOverview) -> None:
        for state, count in overview.counts.items():
            self._orders.labels(state).set(count)
        self._overdue.set(overview.overdue)

    async def follow(self, sagas: Sagas, every: float = EVERY_SECONDS) -> None:
        """Updates the metrics periodically, forever; run it as a task. Keeps the last values while the database is
        unavailable."""
        while True:
            try:
                self.show(await sagas.overview(utc_now()))
            except StoreUnavailableError as error:
                log.debug("the figures of sagas wait: %s", error)
            except Exception:
                log.exception("the figures of sagas wait")
            await asyncio.sleep(every)
