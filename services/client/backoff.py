"""How long to wait before something that failed is tried again: exponentially longer, with full jitter below a floor.

Many clients lose one gateway in one moment. Without jitter they would come back in one moment, too (AWS Architecture
Blog, "Exponential Backoff And Jitter", 2015).
"""

from __future__ import annotations

import random

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 15.0


def backoff(attempt: int, longest: float = LONGEST_SECONDS) -> float:
    """Seconds before attempt `attempt` + 1, counted from 0: between half and all of what doubles up to `longest`."""
    ceiling = min(longest, FIRST_SECONDS * 2.0 ** min(attempt, 32))
    return ceiling * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, keeps no secret
