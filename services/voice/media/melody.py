"""The music of the extension `music`: sixteen notes of a scale, as a WAV file of 16 kHz."""

from __future__ import annotations

import io
import wave

import numpy as np

from services.voice.audio.frames import SAMPLE_RATE, Pcm, to_pcm

NOTE_SECONDS = 0.3
AMPLITUDE = 0.25
_SEMITONES = (0, 4, 7, 12, 16, 12, 7, 4, -3, 0, 4, 9, 12, 9, 4, 0)
_MIDDLE_C = 261.63
_FADE = 0.02


def melody() -> Pcm:
    """One round of the melody; its end goes over into its beginning."""
    t = np.arange(round(NOTE_SECONDS * SAMPLE_RATE)) / SAMPLE_RATE
    edge = np.minimum(1.0, np.minimum(t, t[::-1]) / _FADE)
    notes = []
    for semitone in _SEMITONES:
        hertz = _MIDDLE_C * 2 ** (semitone / 12)
        notes.append(edge * (np.sin(2 * np.pi * hertz * t) + 0.3 * np.sin(4 * np.pi * hertz * t)) / 1.3)
    return to_pcm((AMPLITUDE * np.concatenate(notes)).astype(np.float32))


def wav(samples: Pcm) -> bytes:
    """The samples as the contents of a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(SAMPLE_RATE)
        writer.writeframes(samples.astype("<i2").tobytes())
    return file.getvalue()
