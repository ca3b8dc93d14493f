"""Mixing: each listener hears the sum of all others.

The sum of two speakers can be twice full scale. Dividing by their number would make all quieter each time a silent
member joins, so each listener's sum goes through a limiter of its own instead, which acts only when it must.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from services.voice.audio.limiter import LimiterState, limit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.voice.audio.frames import Frame


@dataclass(frozen=True, slots=True)
class MixState:
    limiters: Mapping[str, LimiterState] = field(default_factory=dict)
    """The limiter of each listener. A member that is not in a mix is forgotten."""


def mix(state: MixState, frames: Mapping[str, Frame]) -> tuple[MixState, dict[str, Frame]]:
    """What each member hears, by its name: the frames of the others, below full scale. A silent member has a frame of
    silence."""
    if not frames:
        return MixState(), {}
    stacked = np.stack(list(frames.values())).astype(np.float64)
    others = np.sum(stacked, axis=0) - stacked
    limiters, heard = {}, {}
    for name, frame in zip(frames, others, strict=True):
        limiters[name], heard[name] = limit(state.limiters.get(name, LimiterState()), frame.astype(np.float32))
    return MixState(limiters), heard
