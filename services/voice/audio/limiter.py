"""A limiter: no sample above the ceiling, by gain instead of clipping.

Clipping a loud passage makes a square wave of it. A limiter lowers the gain and lets it rise slowly afterwards. There
is no look-ahead, which would delay the call by a frame: where a frame is too loud, the gain goes down across it in a
ramp, and samples that come before the ramp is low enough are brought to the ceiling one by one. That distorts the first
frame of an outburst, and no later one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from services.voice.audio.frames import FRAME_SAMPLES, FRAME_SECONDS
from services.voice.audio.levels import amplitude, peak

if TYPE_CHECKING:
    from services.voice.audio.frames import Frame

CEILING = amplitude(-1.0)
"""The largest magnitude of a limited sample: 1 dB below full scale, for what codecs add."""
RELEASE_SECONDS = 0.25
"""After this time 63 % of a lowered gain are back."""

_RELEASE = 1.0 - math.exp(-FRAME_SECONDS / RELEASE_SECONDS)
_RAMP = np.arange(1, FRAME_SAMPLES + 1, dtype=np.float64) / FRAME_SAMPLES
_SMALLEST = 1e-9


@dataclass(frozen=True, slots=True)
class LimiterState:
    gain: float = 1.0
    """The factor at the end of the last frame, 1 at most."""


def limit(state: LimiterState, frame: Frame) -> tuple[LimiterState, Frame]:
    """The frame with no magnitude above CEILING."""
    highest = min(1.0, CEILING / max(peak(frame), _SMALLEST))
    end = highest if highest < state.gain else state.gain + (highest - state.gain) * _RELEASE
    gains = np.minimum(ramp(state.gain, end), CEILING / np.maximum(np.abs(frame), _SMALLEST))
    return LimiterState(end), (frame * gains).astype(np.float32)


def ramp(start: float, end: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Factors for the samples of a frame, in a straight line that reaches `end` with the last: a step would click."""
    return start + (end - start) * _RAMP
