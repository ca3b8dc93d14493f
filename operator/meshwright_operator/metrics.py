"""The operator's own series, beside those of rollouts: whether it works, and whether one pass hangs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prometheus_client import Gauge

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prometheus_client import CollectorRegistry

    from meshwright.rollout.following import Follower


def show_followers(registry: CollectorRegistry, followers: Mapping[tuple[str, str], Follower]) -> None:
    """Show on the page how many rollouts this replica looks after, and how long the longest pass has been running."""
    Gauge("meshwright_operator_rollouts", "Rollouts that this replica looks after.", registry=registry).set_function(
        lambda: float(len(followers))
    )
    Gauge(
        "meshwright_operator_longest_pass_seconds",
        "How long the longest pass that is running has taken so far; 0 between passes.",
        registry=registry,
    ).set_function(lambda: longest_pass(followers, time.monotonic()))


def longest_pass(followers: Mapping[tuple[str, str], Follower], now: float) -> float:
    """Seconds."""
    begun = [follower.pass_began for follower in followers.values() if follower.pass_began is not None]
    return max((now - moment for moment in begun), default=0.0)
