"""One column of a spectrogram: what frequencies a frame holds.

A frame under a Hann window, padded to 512 samples, gives 257 bins of 31.25 Hz. They are joined to BINS bands of equal
width, each with the level of its loudest bin, so that a tone keeps its level whatever the number of bands. The scale is
that of `levels.peak`: a sine of full scale reads 0 dBFS, or up to 0.9 dB less where it falls between two bins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from services.voice.audio.frames import FRAME_SAMPLES, SAMPLE_RATE
from services.voice.audio.levels import SILENCE_DBFS, amplitude

if TYPE_CHECKING:
    from services.voice.audio.frames import Frame

Column: TypeAlias = NDArray[np.float32]
"""BINS levels in dBFS, the lowest frequencies first."""

BINS = 64
BIN_HERTZ = SAMPLE_RATE / 2 / BINS
"""The width of a band: 125 Hz."""

_POINTS = 512
_WINDOW = np.hanning(FRAME_SAMPLES + 1)[:-1]
_SCALE = 2.0 / float(np.sum(_WINDOW))


def spectrum(frame: Frame) -> Column:
    """The levels of the bands in dBFS, SILENCE_DBFS at least. Band i ends at (i + 1) * BIN_HERTZ."""
    magnitudes = np.abs(np.fft.rfft(frame * _WINDOW, _POINTS)) * _SCALE
    # The bin at 8 kHz belongs to the last band.
    bands = magnitudes[:-1].reshape(BINS, -1).max(axis=1)
    bands[-1] = max(bands[-1], magnitudes[-1])
    column: Column = (20.0 * np.log10(np.maximum(bands, amplitude(SILENCE_DBFS)))).astype(np.float32)
    return column
