"""The operator's own metrics, beside those of rollouts: its rollouts, and the duration of the longest pass."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prometheus_client import Gauge

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prometheus_client import CollectorRegistry

    from meshwright.rollout.reconciler import Reconciler


def register_metrics(registry: CollectorRegistry, reconcilers: Mapping[tuple[str, str], Reconciler]) -> None:
    """Registers the number of this replica's rollouts and the duration of its longest running pass."""
    Gauge("meshwright_operator_rollouts", "Rollouts reconciled by this replica.", registry=registry).set_function(
        lambda: float(len(reconcilers))
    )
    Gauge(
        "meshwright_operator_longest_pass_seconds",
        "How long the longest pass that is running has taken so far; 0 between passes.",
        registry=registry,
    ).set_function(lambda: longest_pass(reconcilers, time.monotonic()))


def longest_pass(reconcilers: Mapping[tuple[str, str], Reconciler], now: float) -> float:
    """Seconds."""
    begun = [reconciler.pass_began for reconciler in reconcilers.values() if reconciler.pass_began is not None]
    return max((now - moment for moment in begun), default=0.0)
