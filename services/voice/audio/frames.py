"""Frames of PCM: 20 ms of one channel at 16 kHz, 320 samples.

Stages work on float32 with full scale at 1.0, so that a stage may exceed full scale and a later one brings it back; a
stage whose output is promised below full scale says so. Telephones and PJSIP exchange int16. The conversion saturates
instead of wrapping.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
"""Samples a second."""
FRAME_SECONDS = 0.02
FRAME_SAMPLES = 320
FRAME_BYTES = 2 * FRAME_SAMPLES

Frame: TypeAlias = NDArray[np.float32]
"""FRAME_SAMPLES samples, full scale 1.0."""
Pcm: TypeAlias = NDArray[np.int16]
"""FRAME_SAMPLES samples as telephones exchange them."""

_FULL_SCALE = 32768.0
_LITTLE_ENDIAN = np.dtype("<i2")


def silence() -> Frame:
    """A frame of zeros."""
    return np.zeros(FRAME_SAMPLES, np.float32)


def from_pcm(pcm: Pcm) -> Frame:
    """Converts a frame of int16. Raises ValueError for another number of samples."""
    if pcm.shape != (FRAME_SAMPLES,):
        raise ValueError(f"a frame has {FRAME_SAMPLES} samples, not {pcm.shape}")
    return (pcm / _FULL_SCALE).astype(np.float32)


def to_pcm(frame: Frame) -> Pcm:
    """Converts a frame to int16. Samples beyond full scale saturate; NaN becomes 0."""
    scaled = np.rint(np.nan_to_num(frame, nan=0.0, posinf=1.0, neginf=-1.0) * _FULL_SCALE)
    pcm: Pcm = np.clip(scaled, -_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16)
    return pcm


def from_bytes(data: bytes) -> Frame:
    """Decodes a frame of little-endian int16. Raises ValueError unless it has FRAME_BYTES bytes."""
    if len(data) != FRAME_BYTES:
        raise ValueError(f"a frame has {FRAME_BYTES} bytes, not {len(data)}")
    return from_pcm(np.frombuffer(data, _LITTLE_ENDIAN).astype(np.int16))


def to_bytes(frame: Frame) -> bytes:
    """Encodes a frame as little-endian int16."""
    return to_pcm(frame).astype(_LITTLE_ENDIAN).tobytes()
