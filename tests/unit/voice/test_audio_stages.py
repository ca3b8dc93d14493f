"""Each stage on signals whose right outcome is known: levels in dB, tones by least squares."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from services.voice.audio import gain, limiter, mixing, noise
from services.voice.audio.frames import FRAME_SAMPLES, from_pcm, silence, to_pcm
from services.voice.audio.levels import decibels, peak, rms
from support.audio.signals import fitted, frames, joined, tone, voice, white_noise

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.audio.signals import Signal

WARM_UP = 16_000
"""One second, in which a stage learns."""


def through(stage: Callable, state: object, signal: Signal) -> Signal:
    outcome = []
    for frame in frames(signal):
        state, done = stage(state, frame)
        outcome.append(done)
    return joined(outcome)


def changed_by(before: float, after: float) -> float:
    """The change in dB."""
    return 20 * float(np.log10(after / before))


def suppressed(signal: Signal) -> Signal:
    return through(noise.suppress, noise.NoiseState(), signal)


@pytest.mark.parametrize("seed", range(5))
def test_a_tone_keeps_its_level_in_noise_as_loud_as_itself_which_goes_down_by_12_db(seed: int) -> None:
    clean = tone(440, 4.0, 0.1)
    signal = clean + white_noise(4.0, rms(clean), seed)
    (tone_before,), noise_before = fitted(signal[WARM_UP:], [440])
    (tone_after,), noise_after = fitted(suppressed(signal)[WARM_UP:], [440])
    assert abs(changed_by(tone_before, tone_after)) < 1.0
    assert changed_by(rms(noise_before), rms(noise_after)) < -12.0


def test_noise_alone_goes_down_and_silence_stays_silent():
    signal = white_noise(3.0, 0.05)
    assert changed_by(rms(signal[WARM_UP:]), rms(suppressed(signal)[WARM_UP:])) < -15.0
    assert peak(suppressed(np.zeros(WARM_UP, np.float32))) == 0.0


def test_a_voice_without_noise_passes_one_frame_later():
    signal = np.concatenate((white_noise(0.5, 1e-4), voice(2.0)))
    after = suppressed(signal)[WARM_UP + FRAME_SAMPLES :]
    before = signal[WARM_UP : WARM_UP + len(after)]
    assert changed_by(rms(before), rms(after - before)) < -20.0


def test_a_voice_in_noise_comes_nearer_to_the_voice_without():
    clean, noisy = voice(3.0), voice(3.0) + white_noise(3.0, 0.05)
    after = suppressed(noisy)[WARM_UP + FRAME_SAMPLES :]
    clean, noisy = clean[WARM_UP : WARM_UP + len(after)], noisy[WARM_UP : WARM_UP + len(after)]
    assert changed_by(rms(noisy - clean), rms(after - clean)) < -3.0


@pytest.mark.parametrize("level", [-40.0, -30.0, -20.0, -10.0, -3.1])
def test_a_speaker_reaches_the_target_without_overshooting(level: float) -> None:
    signal = tone(300, 5.0, 10 ** (level / 20) * np.sqrt(2))
    after = through(gain.normalise, gain.GainState(), signal)
    assert decibels(rms(after[-WARM_UP:])) == pytest.approx(gain.TARGET_DBFS, abs=0.3)
    course = [decibels(rms(frame)) for frame in frames(after)]
    rising = level < gain.TARGET_DBFS
    assert all(b >= a - 0.02 if rising else b <= a + 0.02 for a, b in itertools.pairwise(course))
    assert (max(course) if rising else min(course)) == pytest.approx(gain.TARGET_DBFS, abs=0.3)


def test_a_whisper_after_which_a_shout_follows_does_not_clip():
    signal = np.concatenate((tone(300, 5.0, 0.01), tone(300, 1.0, 1.0)))
    after = through(gain.normalise, gain.GainState(), signal)
    assert peak(after) <= limiter.CEILING + 1e-6
    assert decibels(rms(after[-3200:])) == pytest.approx(gain.TARGET_DBFS, abs=1.0)


def test_pauses_are_not_raised():
    signal = np.concatenate((tone(300, 5.0, 0.1), white_noise(5.0, 0.0005)))
    after = through(gain.normalise, gain.GainState(), signal)
    before_db = decibels(rms(tone(300, 1.0, 0.1)))
    assert changed_by(0.0005, rms(after[-WARM_UP:])) == pytest.approx(gain.TARGET_DBFS - before_db, abs=0.3)


def test_two_tones_of_full_scale_are_mixed_without_clipping():
    heard = {"ada": [], "bob": [], "carl": []}
    state = mixing.MixState()
    for first, second in zip(frames(tone(440, 3.0)), frames(tone(1000, 3.0)), strict=True):
        state, mixed = mixing.mix(state, {"ada": first, "bob": second, "carl": silence()})
        for name, frame in mixed.items():
            heard[name].append(frame)
    both = joined(heard["carl"])
    assert peak(both) <= limiter.CEILING + 1e-6
    (low, high), rest = fitted(both[WARM_UP:], [440, 1000])
    assert low == pytest.approx(high, rel=0.01)
    assert low == pytest.approx(limiter.CEILING / 2, rel=0.05)
    assert changed_by(low / np.sqrt(2), rms(rest)) < -35.0
    # The others hear each other, and nothing of themselves.
    for name, own, other in (("ada", 440, 1000), ("bob", 1000, 440)):
        (itself, them), _ = fitted(joined(heard[name])[WARM_UP:], [own, other])
        assert them == pytest.approx(limiter.CEILING, rel=0.02)
        assert changed_by(them, itself) < -60.0


def test_a_mix_forgets_members_that_left_and_an_empty_room_is_no_error():
    state, _ = mixing.mix(mixing.MixState(), {"ada": silence(), "bob": silence()})
    state, heard = mixing.mix(state, {"ada": silence()})
    assert set(state.limiters) == set(heard) == {"ada"}
    assert mixing.mix(state, {}) == (mixing.MixState(), {})


pcm_frames = arrays(np.int16, FRAME_SAMPLES, elements=st.sampled_from([0, 1, -1, 32767, -32768, 1000])) | arrays(
    np.int16, FRAME_SAMPLES
)
courses = st.lists(pcm_frames, min_size=1, max_size=6)


@given(courses)
def test_gain_and_limiter_never_exceed_the_ceiling_whatever_comes(course):
    gained, limited = gain.GainState(gain=gain.MAX_GAIN_DB), limiter.LimiterState()
    for pcm in course:
        gained, frame = gain.normalise(gained, from_pcm(pcm))
        assert peak(frame) <= limiter.CEILING + 1e-6
        assert abs(gained.gain) <= gain.MAX_GAIN_DB
        limited, frame = limiter.limit(limited, 3 * from_pcm(pcm))
        assert peak(frame) <= limiter.CEILING + 1e-6
        assert 0.0 < limited.gain <= 1.0


@given(courses)
def test_suppression_stays_finite_and_in_shape(course):
    state = noise.NoiseState()
    for pcm in course:
        state, frame = noise.suppress(state, from_pcm(pcm))
        assert frame.shape == (FRAME_SAMPLES,)
        assert frame.dtype == np.float32
        assert np.all(np.isfinite(frame))
        assert to_pcm(frame).shape == (FRAME_SAMPLES,)


@given(st.lists(pcm_frames, min_size=1, max_size=5))
def test_any_number_of_speakers_is_mixed_below_the_ceiling(course):
    speakers = {str(place): from_pcm(pcm) for place, pcm in enumerate(course)}
    _, heard = mixing.mix(mixing.MixState(), speakers)
    assert heard.keys() == speakers.keys()
    assert all(peak(frame) <= limiter.CEILING + 1e-6 for frame in heard.values())
