"""Voice activity: whether a member of a conference speaks now.

A frame is active when its level is MARGIN_DB above the noise floor and above QUIETEST_DBFS. The floor follows the level
down at once and rises by 3 dB a second, slower than speech. A level that stays within STEADY_DB for half a second is no
speech but a fan that has started, or a tone: the floor goes there at once. Two active frames begin an utterance, so
that a click does not; HANGOVER_FRAMES without one end it, so that a pause between words does not.

It expects frames after `noise.suppress`. There it was compared with the WebRTC project's detector
(docs/decisions/0140-audio-processing.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.voice.audio.frames import FRAME_SECONDS
from services.voice.audio.levels import decibels, rms

if TYPE_CHECKING:
    from services.voice.audio.frames import Frame

MARGIN_DB = 8.0
QUIETEST_DBFS = -50.0
"""Softer frames are never speech."""
SLOWLY_AT_MOST_DBFS = -30.0
"""The floor rises slowly up to here: speech that never pauses stays speech."""
STEADY_DB = 6.0
STEADY_FRAMES = 25
ONSET_FRAMES = 2
HANGOVER_FRAMES = 12
"""240 ms."""

_RISE_DB = 3.0 * FRAME_SECONDS


@dataclass(frozen=True, slots=True)
class ActivityState:
    floor: float = SLOWLY_AT_MOST_DBFS
    """The noise floor in dBFS. It begins at the level of the first frame."""
    recent: tuple[float, ...] = ()
    """The levels of the last STEADY_FRAMES frames."""
    active: int = 0
    """Active frames in a row."""
    remaining: int = 0
    """Frames until the utterance ends, if none is active."""

    @property
    def speaking(self) -> bool:
        return self.remaining > 0


def detect(state: ActivityState, frame: Frame) -> ActivityState:
    """The state after a frame; `speaking` is the answer."""
    level = decibels(rms(frame))
    recent = (*state.recent[1 - STEADY_FRAMES :], level)
    floor = min(level, max(state.floor, min(state.floor + _RISE_DB, SLOWLY_AT_MOST_DBFS)))
    if len(recent) == STEADY_FRAMES and max(recent) - min(recent) < STEADY_DB:
        floor = max(recent)
    active = state.active + 1 if level > max(floor + MARGIN_DB, QUIETEST_DBFS) else 0
    begins = active >= ONSET_FRAMES or (active and state.speaking)
    return ActivityState(floor, recent, active, HANGOVER_FRAMES if begins else max(0, state.remaining - 1))
