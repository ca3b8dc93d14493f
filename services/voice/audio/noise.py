"""Noise suppression: a spectral gate.

Blocks of two frames, half overlapping, are taken apart into 321 frequencies. Each is multiplied by a gain between
GAIN_FLOOR and 1, and the blocks are added together again. The root of a Hann window before and after adds up to 1, so
what passes with gain 1 is unchanged, one frame (20 ms) later.

What is noise? Estimators that watch each frequency for its quiet moments (minimum statistics) take a long tone for
noise, and so remove music, dial tones and hums. Here noise is what is spread over neighbouring frequencies: the median
within bands of 800 Hz, which a tone in the band does not move. Voiced speech does, so the estimate is a low quantile of
those medians over WINDOW_SECONDS, within which a speaker breathes.

The gain is Wiener's, of a signal-to-noise ratio that is smoothed as Y. Ephraim and D. Malah propose
("decision-directed": IEEE Trans. ASSP 32(6), 1984, equation 51): without it, single frequencies of the remaining noise
flicker, which sounds like music.

The libraries for this were considered: docs/decisions/0140-audio-processing.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from services.voice.audio.frames import FRAME_SAMPLES, FRAME_SECONDS, silence
from services.voice.audio.levels import amplitude

if TYPE_CHECKING:
    from services.voice.audio.frames import Frame

_Floats: TypeAlias = NDArray[np.float64]

GAIN_FLOOR = amplitude(-22.0)
"""What remains of noise. Without any, a line sounds dead."""
WINDOW_SECONDS = 1.5
"""The time within which there is a moment without speech."""

_BINS = FRAME_SAMPLES + 1
_BAND = 32
_BANDS = FRAME_SAMPLES // _BAND
_HISTORY = round(WINDOW_SECONDS / FRAME_SECONDS)
_QUANTILE = 0.2
_SMOOTHING = 0.9
"""The weight of the last block in the signal-to-noise ratio (alpha in the paper, whose blocks are shorter)."""
_OVERESTIMATE = 1.4
"""The quantile lies below the mean."""
_MEDIAN_OF_EXPONENTIAL = math.log(2.0)
"""The power of noise at one frequency is exponentially distributed; its median is this part of its mean."""
_SMALLEST = 1e-12
_WINDOW = np.sqrt(np.hanning(2 * FRAME_SAMPLES + 1)[:-1])
_CENTRES = np.arange(_BANDS) * _BAND + _BAND / 2
_ALL = np.arange(_BINS, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class NoiseState:
    previous: Frame = field(default_factory=silence)
    """The last frame."""
    overlap: _Floats = field(default_factory=lambda: np.zeros(FRAME_SAMPLES))
    """The second half of the last block."""
    history: _Floats = field(default_factory=lambda: np.zeros((0, _BANDS)))
    """The noise in each band, of the last blocks."""
    ratio: _Floats = field(default_factory=lambda: np.zeros(_BINS))
    """The signal-to-noise ratio of the last block, as estimated by its outcome."""


def suppress(state: NoiseState, frame: Frame) -> tuple[NoiseState, Frame]:
    """The previous frame with less noise. Peaks may exceed those of the input."""
    block = np.concatenate((state.previous, frame)) * _WINDOW
    parts = np.fft.rfft(block)
    power = np.square(np.abs(parts))
    history = _remembered(state.history, power)
    ratio = power / _noise(history)
    prior = _SMOOTHING * state.ratio + (1.0 - _SMOOTHING) * np.maximum(ratio - 1.0, 0.0)
    gains = np.maximum(prior / (1.0 + prior), GAIN_FLOOR)
    cleaned = np.fft.irfft(parts * gains) * _WINDOW
    done = (state.overlap + cleaned[:FRAME_SAMPLES]).astype(np.float32)
    return NoiseState(frame, cleaned[FRAME_SAMPLES:], history, np.square(gains) * ratio), done


def _remembered(history: _Floats, power: _Floats) -> _Floats:
    """The history with the noise of this block. Silence is not noise: it would be remembered as perfect quiet."""
    medians = np.median(power[:-1].reshape(_BANDS, _BAND), axis=1) / _MEDIAN_OF_EXPONENTIAL
    if not medians.any():
        return history
    return np.vstack((history[-_HISTORY + 1 :], medians))


def _noise(history: _Floats) -> _Floats:
    """The power of the noise at each frequency."""
    if not len(history):
        return np.full(_BINS, _SMALLEST)
    bands = np.quantile(history, _QUANTILE, axis=0) * _OVERESTIMATE
    return np.maximum(np.interp(_ALL, _CENTRES, bands), _SMALLEST)
