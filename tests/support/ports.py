"""Ports that a test promises to somebody who will bind them a while later, or whom nobody is to answer.

Services find theirs from 20000 up to the ephemeral range, at any moment: a promised port must not be among those. And
each of pytest's workers has its own, so that two tests never promise the same one.
"""

from __future__ import annotations

import itertools
import os
import random

from meshwright.ports import is_free

FIRST = 10000
EACH = 1250
WORKERS = 8

_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS
_numbers = itertools.count(random.randrange(EACH))


def promised_port() -> int:
    """One that is free, and that this process has not promised before."""
    for _ in range(EACH):
        port = FIRST + _worker * EACH + next(_numbers) % EACH
        if is_free(port):
            return port
    raise OSError(f"none of {EACH} ports is free")
