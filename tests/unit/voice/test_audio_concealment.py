"""Lost frames: what is put in their place is nearer to what was lost than silence, and fades in long gaps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from services.voice.audio.concealment import ConcealmentState, conceal, receive
from services.voice.audio.frames import FRAME_SAMPLES, from_pcm
from services.voice.audio.levels import peak, rms
from support.audio.signals import fitted, frames, joined, tone, voice


def heard(signal, lost):
    """What is heard of a signal without those frames."""
    state, outcome = ConcealmentState(), []
    for place, frame in enumerate(frames(signal)):
        state, done = conceal(state) if place in lost else receive(state, frame)
        outcome.append(done)
    return outcome


def chosen(count, share, seed):
    """A share of the frames after the first five, never two in a row."""
    rolls = np.random.default_rng(seed).random(count) < share
    return {place for place in range(5, count) if rolls[place] and not rolls[place - 1]}


@pytest.mark.parametrize("seed", range(4))
def test_five_per_cent_of_a_voice_are_concealed_six_decibels_better_than_by_silence(seed):
    signal = voice(10.0)
    whole = list(frames(signal))
    lost = chosen(len(whole), 0.05, seed)
    assert len(lost) >= 10
    error = joined(frame - whole[place] for place, frame in enumerate(heard(signal, lost)) if place in lost)
    silent = joined(whole[place] for place in lost)
    assert 20 * np.log10(rms(silent) / rms(error)) > 6.0


def test_a_tone_goes_on_through_a_lost_frame_as_if_nothing_was_missing():
    signal = tone(400, 1.0, 0.5)
    outcome = joined(heard(signal, {20}))
    (level,), rest = fitted(outcome, [400])
    assert level == pytest.approx(0.5, rel=0.01)
    assert rms(rest) < 0.005


def test_there_is_no_click_at_either_end_of_a_gap():
    signal = voice(2.0)
    largest = np.max(np.abs(np.diff(signal)))
    assert np.max(np.abs(np.diff(joined(heard(signal, {20, 40, 41, 60}))))) < 1.5 * largest


def test_a_long_gap_fades_to_silence_within_60_ms_and_what_arrives_after_it_is_heard():
    signal = voice(1.0)
    outcome = heard(signal, set(range(20, 30)))
    loudness = [rms(outcome[place]) for place in range(20, 30)]
    assert loudness[0] > 0.8 * rms(outcome[19])
    assert loudness[3:] == [0.0] * 7
    assert np.array_equal(outcome[31], list(frames(signal))[31])


def test_without_a_loss_nothing_changes_and_a_loss_before_the_first_frame_is_silence():
    signal = voice(1.0)
    assert np.array_equal(joined(heard(signal, set())), signal)
    assert peak(conceal(ConcealmentState())[1]) == 0.0


@given(st.lists(st.none() | arrays(np.int16, FRAME_SAMPLES), min_size=1, max_size=8))
def test_whatever_is_lost_the_outcome_is_finite_and_no_louder_than_three_times_the_input(course):
    state, loudest = ConcealmentState(), 0.0
    for pcm in course:
        if pcm is None:
            state, frame = conceal(state)
        else:
            state, frame = receive(state, from_pcm(pcm))
            loudest = max(loudest, peak(from_pcm(pcm)))
        assert frame.shape == (FRAME_SAMPLES,)
        assert frame.dtype == np.float32
        assert np.all(np.isfinite(frame))
        assert peak(frame) <= 3 * loudest + 1e-6
