"""The quality of a call as a number: the E-model of ITU-T G.107 (06/2015), reduced to what a network does to a call.

With the model's default values for all that is not measured here (noise, loudness, echo, sidetone), its rating is

    R = 93.2 - Idd - Ie,eff

Idd is the impairment by delay (clause 7.4), Ie,eff that by loss (clause 7.5) with a codec's values of ITU-T G.113
Appendix I, and the mean opinion score follows from R (Annex B): 4.41 is the best that a telephone of 3.1 kHz reaches.
Loss is taken for random.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

BEST_RATING = 93.2
"""R of the default values of G.107."""
_FREE_DELAY = 0.1
"""Seconds below which delay does no harm."""


@dataclass(frozen=True, slots=True)
class Codec:
    """What a codec does to speech, by ITU-T G.113 Appendix I."""

    impairment: float
    """Ie: without loss."""
    robustness: float
    """Bpl: in percent of loss; the higher the better."""


G711 = Codec(0.0, 4.3)
G711_CONCEALED = Codec(0.0, 25.1)
"""With the concealment of G.711 Appendix I, or another as good."""


def one_way_delay(round_trip: float, jitter: float, frame: float = 0.02) -> float:
    """Mouth to ear, in seconds: half the round trip, a jitter buffer of twice the jitter, and a frame at either end."""
    return round_trip / 2 + 2 * jitter + 2 * frame


def rating(loss: float, delay: float, codec: Codec = G711_CONCEALED) -> float:
    """R, from 0 to 93.2.

    loss: share of packets that were lost or came too late, from 0 to 1. delay: mouth to ear, in seconds.
    """
    percent = 100.0 * min(1.0, max(0.0, loss))
    by_loss = codec.impairment + (95.0 - codec.impairment) * percent / (percent + codec.robustness)
    return min(BEST_RATING, max(0.0, BEST_RATING - delay_impairment(delay) - by_loss))


def delay_impairment(delay: float) -> float:
    """Idd of that delay in seconds: 0 up to 100 ms."""
    if delay <= _FREE_DELAY:
        return 0.0
    x = math.log2(delay / _FREE_DELAY)
    impairment: float = 25.0 * ((1.0 + x**6) ** (1 / 6) - 3.0 * (1.0 + (x / 3.0) ** 6) ** (1 / 6) + 2.0)
    return impairment


def opinion_score(r: float) -> float:
    """The mean opinion score of a rating: 1 (bad) to 4.5 (excellent)."""
    if r <= 0.0:
        return 1.0
    if r >= 100.0:  # noqa: PLR2004
        return 4.5
    return max(1.0, 1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6)


def mean_opinion_score(loss: float, round_trip: float, jitter: float, codec: Codec = G711_CONCEALED) -> float:
    """The estimated mean opinion score, 1 to 4.41. loss: share, 0 to 1; round_trip and jitter: seconds."""
    return opinion_score(rating(loss, one_way_delay(round_trip, jitter), codec))
