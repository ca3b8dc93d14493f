"""The E-model against values of its recommendations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.voice.audio.quality import (
    G711,
    G711_CONCEALED,
    Codec,
    delay_impairment,
    mean_opinion_score,
    one_way_delay,
    opinion_score,
    rating,
)


@pytest.mark.parametrize(
    ("r", "score"), [(93.2, 4.41), (90, 4.34), (80, 4.03), (70, 3.60), (60, 3.10), (50, 2.58), (0, 1.0), (100, 4.5)]
)
def test_ratings_have_the_scores_of_g_107_annex_b(r, score):
    assert opinion_score(r) == pytest.approx(score, abs=0.008)


@pytest.mark.parametrize(("delay", "impairment"), [(0.0, 0.0), (0.1, 0.0), (0.2, 3.04), (0.4, 24.07)])
def test_delay_does_harm_beyond_100_ms(delay, impairment):
    assert delay_impairment(delay) == pytest.approx(impairment, abs=0.01)


@pytest.mark.parametrize(
    ("loss", "codec", "r"),
    [
        (0.0, G711, 93.2),
        (0.01, G711, 75.28),
        (0.05, G711, 42.13),
        (0.05, G711_CONCEALED, 77.42),
        (0.0, Codec(11, 19), 82.2),
    ],
)
def test_loss_does_harm_by_the_robustness_of_the_codec(loss, codec, r):
    assert rating(loss, 0.05, codec) == pytest.approx(r, abs=0.01)


def test_a_perfect_call_has_the_best_score_and_one_without_packets_the_worst():
    assert mean_opinion_score(0.0, 0.0, 0.0) == pytest.approx(4.41, abs=0.005)
    assert mean_opinion_score(1.0, 3.0, 1.0) == 1.0
    assert one_way_delay(0.1, 0.01) == pytest.approx(0.11)


shares = st.floats(0, 1)
seconds = st.floats(0, 60)


@given(shares, shares, seconds, seconds)
def test_more_loss_and_more_delay_are_never_better_and_scores_stay_on_the_scale(less, more, sooner, later):
    less, more = sorted((less, more))
    sooner, later = sorted((sooner, later))
    better, worse = mean_opinion_score(less, sooner, 0.0), mean_opinion_score(more, later, 0.0)
    assert 1.0 <= worse <= better + 1e-9 <= 4.5
