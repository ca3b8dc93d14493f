"""Who speaks now: utterances begin and end where they do, and noise, clicks and pauses are none."""

from __future__ import annotations

import numpy as np
import pytest

from services.voice.audio import activity, noise
from support.audio.signals import frames, joined, tone, voice, white_noise

UTTERANCE = np.concatenate((np.zeros(24_000, np.float32), voice(2.0), np.zeros(16_000, np.float32)))
SPOKEN = slice(75, 175)


def speaking(signal, *, cleaned=False):
    state, cleaner, course = activity.ActivityState(), noise.NoiseState(), []
    for frame in frames(signal):
        heard = frame
        if cleaned:
            cleaner, heard = noise.suppress(cleaner, frame)
        state = activity.detect(state, heard)
        course.append(state.speaking)
    return np.array(course)


def test_an_utterance_begins_within_40_ms_and_ends_within_300():
    course = speaking(UTTERANCE)
    assert not course[: SPOKEN.start].any()
    assert course[SPOKEN.start + 2 : SPOKEN.stop].all()
    assert not course[SPOKEN.stop + 15 :].any()


@pytest.mark.parametrize(("ratio_db", "found"), [(30, 0.95), (20, 0.95), (10, 0.8)])
def test_an_utterance_in_noise_is_found_after_suppression_and_the_noise_is_none(ratio_db, found):
    loudness = float(np.sqrt(np.mean(np.square(voice(2.0)))))
    course = speaking(UTTERANCE + white_noise(4.5, loudness * 10 ** (-ratio_db / 20)), cleaned=True)
    assert course[SPOKEN].mean() >= found
    assert course[40 : SPOKEN.start].mean() < 0.05
    assert course[SPOKEN.stop + 15 :].mean() < 0.05


@pytest.mark.parametrize("rms", [0.001, 0.01, 0.1])
def test_steady_noise_is_no_speech_whatever_its_level(rms):
    """After the half second in which it might be speech, and the hangover."""
    assert not speaking(white_noise(5.0, rms), cleaned=True)[45:].any()


def test_a_tone_is_no_speech():
    assert not speaking(tone(440, 3.0, 0.3))[40:].any()


def test_a_click_is_no_speech():
    signal = np.zeros(32_000, np.float32)
    signal[16_000:16_100] = 0.9
    assert not speaking(signal).any()


def test_pauses_between_words_do_not_end_an_utterance():
    words = [part for _ in range(5) for part in (voice(0.4), np.zeros(3200, np.float32))]
    assert speaking(joined(words))[2:].all()


def test_speech_that_never_pauses_stays_speech():
    assert speaking(np.tile(voice(1.0), 30))[2:].all()
