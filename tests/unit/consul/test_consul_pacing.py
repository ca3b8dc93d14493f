"""Backoff and pace are functions of what they are told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwright.consul.pacing import Backoff, Pace


@pytest.mark.parametrize(("failures", "expected"), [(1, 0.1), (2, 0.2), (3, 0.4), (4, 0.8), (5, 1.0), (5000, 1.0)])
def test_delays_double_up_to_the_cap(failures, expected):
    assert Backoff(first=0.1, cap=1.0).delay(failures, 1.0) == pytest.approx(expected)


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_jitter_takes_away_up_to_half(failures, chance):
    backoff = Backoff(first=0.1, cap=1.0)
    full = backoff.delay(failures, 1.0)
    assert full / 2 <= backoff.delay(failures, chance) <= full


def test_a_burst_passes_at_once_and_then_the_rate_counts() -> None:
    pace = Pace(burst=3, rate=2.0)
    assert [pace.delay(10.0) for _ in range(5)] == pytest.approx([0.0, 0.0, 0.0, 0.5, 1.0])


def test_a_pause_earns_the_burst_again_and_no_more() -> None:
    pace = Pace(burst=3, rate=2.0)
    for _ in range(3):
        pace.delay(0.0)
    assert [pace.delay(100.0) for _ in range(4)] == pytest.approx([0.0, 0.0, 0.0, 0.5])


def test_events_at_the_rate_never_wait() -> None:
    pace = Pace(burst=1, rate=4.0)
    assert [pace.delay(step / 4) for step in range(20)] == pytest.approx([0.0] * 20)
