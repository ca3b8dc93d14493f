"""Tones, noise and voices as arrays of float32 at 16 kHz, their frames, and least-squares fits of tones."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from services.voice.audio.frames import FRAME_SAMPLES, SAMPLE_RATE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Signal: TypeAlias = NDArray[np.float32]


def times(seconds: float) -> NDArray[np.float64]:
    return np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE


def tone(hertz: float, seconds: float, amplitude: float = 1.0) -> Signal:
    return (amplitude * np.sin(2 * np.pi * hertz * times(seconds))).astype(np.float32)


def white_noise(seconds: float, rms: float, seed: int = 1) -> Signal:
    return np.random.default_rng(seed).normal(0.0, rms, round(seconds * SAMPLE_RATE)).astype(np.float32)


def voice(seconds: float, amplitude: float = 0.5) -> Signal:
    """A voiced sound: 20 harmonics of a pitch that moves between 110 and 150 Hz, loud and quiet four times a second."""
    t = times(seconds)
    phase = 2 * np.pi * np.cumsum(130.0 + 20.0 * np.sin(2 * np.pi * 0.7 * t)) / SAMPLE_RATE
    summed = sum(np.sin(k * phase + k) / k for k in range(1, 21))
    loudness = 0.6 + 0.4 * np.sin(2 * np.pi * 4.0 * t)
    whole = summed * loudness
    return (amplitude * whole / np.max(np.abs(whole))).astype(np.float32)


def frames(signal: Signal) -> Iterator[Signal]:
    for start in range(0, len(signal) - FRAME_SAMPLES + 1, FRAME_SAMPLES):
        yield signal[start : start + FRAME_SAMPLES]


def joined(parts: Iterable[Signal]) -> Signal:
    return np.concatenate(list(parts))


def fitted(signal: Signal, hertz: Sequence[float]) -> tuple[list[float], Signal]:
    """The amplitude of each tone by least squares, and what remains without them."""
    t = np.arange(len(signal)) / SAMPLE_RATE
    columns = [wave(2 * np.pi * each * t) for each in hertz for wave in (np.sin, np.cos)]
    basis = np.stack(columns, axis=1)
    factors = np.linalg.lstsq(basis, signal.astype(np.float64), rcond=None)[0]
    remainder = (signal - basis @ factors).astype(np.float32)
    return [float(np.hypot(*pair)) for pair in factors.reshape(-1, 2)], remainder
