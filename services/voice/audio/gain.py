"""Automatic gain: each speaker at one level, whatever the telephone.

The gain follows the RMS of what is spoken towards TARGET_DBFS. It falls fast (attack), since too loud hurts, and rises
slowly (release), so that it follows a speaker and not a syllable. It approaches the wanted gain exponentially, and so
never overshoots. In pauses it stays: otherwise it would bring the noise of the room to the level of speech. Peaks above
full scale are the limiter's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from services.voice.audio.frames import FRAME_SECONDS
from services.voice.audio.levels import amplitude, decibels, rms
from services.voice.audio.limiter import LimiterState, limit, ramp

if TYPE_CHECKING:
    from services.voice.audio.frames import Frame

TARGET_DBFS = -20.0
"""RMS of a speaker. Speech has peaks 12 to 15 dB above it."""
MAX_GAIN_DB = 24.0
"""How much a speaker is raised, or lowered, at most."""
PAUSE_DBFS = -55.0
"""A frame below this RMS is a pause."""
ATTACK_SECONDS = 0.1
RELEASE_SECONDS = 0.6
"""After these times 63 % of a change are done."""

_ATTACK = 1.0 - math.exp(-FRAME_SECONDS / ATTACK_SECONDS)
_RELEASE = 1.0 - math.exp(-FRAME_SECONDS / RELEASE_SECONDS)


@dataclass(frozen=True, slots=True)
class GainState:
    gain: float = 0.0
    """The gain at the end of the last frame, in dB."""
    limiter: LimiterState = field(default_factory=LimiterState)


def normalise(state: GainState, frame: Frame) -> tuple[GainState, Frame]:
    """The frame with the speaker's gain, limited below full scale."""
    level = decibels(rms(frame))
    after = state.gain if level < PAUSE_DBFS else _next_gain(state.gain, level)
    raised = (frame * ramp(amplitude(state.gain), amplitude(after))).astype(np.float32)
    limiter, limited = limit(state.limiter, raised)
    return GainState(after, limiter), limited


def _next_gain(gain: float, level: float) -> float:
    wanted = min(MAX_GAIN_DB, max(-MAX_GAIN_DB, TARGET_DBFS - level))
    return gain + (wanted - gain) * (_ATTACK if wanted < gain else _RELEASE)
