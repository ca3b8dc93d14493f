"""Frames, levels and spectra of signals whose values are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from services.voice.audio.frames import FRAME_SAMPLES, from_bytes, from_pcm, silence, to_bytes, to_pcm
from services.voice.audio.levels import SILENCE_DBFS, amplitude, decibels, levels
from services.voice.audio.spectrum import BIN_HERTZ, BINS, spectrum
from support.audio.signals import frames, tone, white_noise

pcm_frames = arrays(np.int16, FRAME_SAMPLES)


@given(pcm_frames)
def test_pcm_survives_the_way_to_floats_and_back(pcm):
    frame = from_pcm(pcm)
    assert frame.dtype == np.float32
    assert np.array_equal(to_pcm(frame), pcm)
    assert np.array_equal(from_bytes(to_bytes(frame)), frame)


def test_what_exceeds_full_scale_saturates_and_what_is_no_number_is_silent():
    frame = silence()
    frame[:6] = [1.5, -1.5, np.inf, -np.inf, np.nan, 1.0]
    assert to_pcm(frame)[:6].tolist() == [32767, -32768, 32767, -32768, 0, 32767]


@pytest.mark.parametrize("size", [0, 638, 641, 1280])
def test_a_frame_of_another_size_is_refused(size):
    with pytest.raises(ValueError, match=f"640 bytes, not {size}"):
        from_bytes(bytes(size))


def test_another_number_of_samples_is_refused():
    with pytest.raises(ValueError, match="320 samples"):
        from_pcm(np.zeros(160, np.int16))


@pytest.mark.parametrize(("amplitude", "peak", "rms"), [(1.0, 0.0, -3.01), (0.5, -6.02, -9.03), (0.001, -60.0, -63.01)])
def test_a_sine_has_an_rms_three_decibels_below_its_peak(amplitude, peak, rms):
    measured = levels(tone(1000, 0.02, amplitude))
    assert (measured.peak, measured.rms) == (pytest.approx(peak, abs=0.01), pytest.approx(rms, abs=0.01))


def test_a_square_wave_of_full_scale_has_zero_for_both_and_silence_the_lowest_level():
    square = np.where(np.arange(FRAME_SAMPLES) % 16 < 8, 1.0, -1.0).astype(np.float32)
    assert (levels(square).peak, levels(square).rms) == (0.0, 0.0)
    assert (levels(silence()).peak, levels(silence()).rms) == (SILENCE_DBFS, SILENCE_DBFS)


@pytest.mark.parametrize("hertz", [100, 440, 1000, 1760, 3400, 7900])
def test_a_tone_is_the_loudest_band_of_its_spectrum_at_its_own_level(hertz):
    column = spectrum(tone(hertz, 0.02, 0.1))
    assert column.shape == (BINS,)
    assert int(np.argmax(column)) == int(hertz // BIN_HERTZ)
    assert column.max() == pytest.approx(-20.0, abs=1.0)


def test_white_noise_is_spread_over_all_bands():
    column = np.mean([spectrum(frame) for frame in frames(white_noise(2.0, 0.1))], axis=0)
    assert column.max() - column.min() < 4.0


def test_a_silent_spectrum_is_at_the_lowest_level():
    assert np.all(spectrum(silence()) == SILENCE_DBFS)


@given(pcm_frames)
def test_levels_and_spectra_are_finite_and_the_rms_is_never_above_the_peak(pcm):
    frame = from_pcm(pcm)
    measured = levels(frame)
    assert SILENCE_DBFS <= measured.rms <= measured.peak + 1e-3 <= 1e-2
    assert np.all(np.isfinite(spectrum(frame)))
    assert spectrum(frame).max() <= 6.1


@given(st.floats(-90, 0))
def test_decibels_and_amplitudes_are_inverse(level):
    assert decibels(amplitude(level)) == pytest.approx(level, abs=1e-6)
