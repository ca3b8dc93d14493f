"""Levels in dBFS: decibels relative to full scale.

0 dBFS is an amplitude of 1.0, for the peak and for the root mean square alike. A sine of full scale thus has a peak of
0 and an RMS of -3.01 dBFS, a square wave has 0 for both. (AES17 adds 3.01 dB to the RMS; meters of telephony, as ITU-T
P.56, do not.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from services.voice.audio.frames import Frame

SILENCE_DBFS = -100.0
"""The level of silence: below the smallest step of int16, which is -90.3 dBFS."""


@dataclass(frozen=True, slots=True)
class Levels:
    """The levels of a frame in dBFS, SILENCE_DBFS at least."""

    peak: float
    rms: float


def decibels(amplitude: float) -> float:
    """The level of an amplitude in dBFS, SILENCE_DBFS at least."""
    return max(SILENCE_DBFS, 20.0 * math.log10(amplitude)) if amplitude > 0.0 else SILENCE_DBFS


def amplitude(level: float) -> float:
    """The amplitude of a level in dBFS, or the factor of a gain in dB."""
    return math.pow(10.0, level / 20.0)


def peak(frame: Frame) -> float:
    """The largest magnitude in the frame; 0 without samples."""
    return float(np.max(np.abs(frame), initial=0.0))


def rms(frame: Frame) -> float:
    """The root mean square of the frame; 0 without samples."""
    return float(np.sqrt(np.mean(np.square(frame, dtype=np.float64)))) if frame.size else 0.0


def levels(frame: Frame) -> Levels:
    """Peak and RMS of a frame, for a meter."""
    return Levels(decibels(peak(frame)), decibels(rms(frame)))
