"""Packet loss concealment: a lost frame is replaced by what was heard before it.

The method is that of ITU-T G.711 Appendix I (1999), which needs no help of the sender: speech is nearly periodic, so
the last period goes on, found by autocorrelation among pitches of 66 to 500 Hz. After 20 ms it fades, and is silent
after FADE_SECONDS: a longer guess would be a buzz. A step at the beginning is bent away within 2.5 ms, and the first
frame that arrives is blended with the guess for 5 ms. Other than the Appendix, which delays all audio by 3.75 ms for
the first blend, this adds no delay.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from services.voice.audio.frames import FRAME_SAMPLES, SAMPLE_RATE

if TYPE_CHECKING:
    from services.voice.audio.frames import Frame

FADE_SECONDS = 0.06
"""The length of a gap after which its rest is silent."""

_SHORTEST_PERIOD = SAMPLE_RATE // 500
_LONGEST_PERIOD = FRAME_SAMPLES * 3 // 4
_HISTORY = 2 * FRAME_SAMPLES
_MATCHED = FRAME_SAMPLES
"""Samples that are compared to find the period."""
_BEND = SAMPLE_RATE // 400
_BLEND = SAMPLE_RATE // 200
_FADE_FRAMES = round(FADE_SECONDS * SAMPLE_RATE / FRAME_SAMPLES)
_SMALLEST = 1e-9


def _no_history() -> Frame:
    return np.zeros(_HISTORY, np.float32)


@dataclass(frozen=True, slots=True)
class ConcealmentState:
    history: Frame = field(default_factory=_no_history)
    """The last 40 ms, as they were heard."""
    period: Frame = field(default_factory=lambda: np.zeros(0, np.float32))
    """In a gap: the period that is repeated."""
    lost: int = 0
    """The frames of the gap so far."""


def receive(state: ConcealmentState, frame: Frame) -> tuple[ConcealmentState, Frame]:
    """A frame that arrived: unchanged, but for its beginning after a gap."""
    if state.lost:
        guess = _guess(state)[:_BLEND]
        weight = np.linspace(0.0, 1.0, _BLEND, endpoint=False)
        frame = np.concatenate((guess * (1.0 - weight) + frame[:_BLEND] * weight, frame[_BLEND:])).astype(np.float32)
    return ConcealmentState(_joined(state.history, frame)), frame


def conceal(state: ConcealmentState) -> tuple[ConcealmentState, Frame]:
    """The frame in place of a lost one."""
    if not state.lost:
        state = ConcealmentState(state.history, state.history[-_period(state.history) :], 0)
    frame = _guess(state)
    return ConcealmentState(_joined(state.history, frame), state.period, state.lost + 1), frame


def _guess(state: ConcealmentState) -> Frame:
    """The period repeated, at its place in the gap, faded as far as the gap is long."""
    places = (state.lost * FRAME_SAMPLES + np.arange(FRAME_SAMPLES)) % len(state.period)
    guess = state.period[places].astype(np.float64)
    if not state.lost:
        # In a signal that is not quite periodic, the repetition begins beside the last sample.
        step = float(state.history[-1] - state.history[-1 - len(state.period)])
        guess[:_BEND] += step * np.linspace(1.0, 0.0, _BEND, endpoint=False)
    fade = np.linspace(_remaining(state.lost), _remaining(state.lost + 1), FRAME_SAMPLES, endpoint=False)
    return (guess * fade).astype(np.float32)


def _remaining(lost: int) -> float:
    """The amplitude after that many lost frames: 1 after the first, 0 after _FADE_FRAMES."""
    return min(1.0, max(0.0, (_FADE_FRAMES - lost) / (_FADE_FRAMES - 1)))


def _period(history: Frame) -> int:
    """The lag, in samples, at which the history resembles itself most."""
    samples = history.astype(np.float64)
    recent = samples[-_MATCHED:]
    windows = np.lib.stride_tricks.sliding_window_view(samples, _MATCHED)[-1 - _LONGEST_PERIOD : -_SHORTEST_PERIOD]
    likeness = windows @ recent / np.sqrt(np.maximum(np.square(windows).sum(axis=1), _SMALLEST))
    # The first window is the longest lag; among equals the shortest lag is the period, the others its multiples.
    best = len(likeness) - 1 - int(np.argmax(np.round(likeness[::-1], 6)))
    return _LONGEST_PERIOD - best


def _joined(history: Frame, frame: Frame) -> Frame:
    return np.concatenate((history[FRAME_SAMPLES:], frame))
