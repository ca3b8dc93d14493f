"""The demo as `meshwright up` runs it, from nothing running to the first request that succeeds.

A user is created through the gateway; attempts follow each other without pause until one succeeds. Resident memory is
summed over all processes a moment after; shared pages (the interpreter's, gRPC's) are counted in each, so the
proportional sum (PSS) is given beside it.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import httpx
import psutil

from bench.report import Section
from support.demo.up import DemoUp, first_answer, starting

ROUNDS = 5


def memory(demo: DemoUp) -> tuple[int, float, float]:
    """Processes, RSS and PSS in MiB, with the supervisor."""
    supervisor = psutil.Process(demo.process.child.pid)
    family = [supervisor, *supervisor.children(recursive=True)]
    infos = [process.memory_full_info() for process in family]
    return len(family), sum(info.rss for info in infos) / 2**20, sum(info.pss for info in infos) / 2**20


async def one_start() -> tuple[float, int, float, float]:
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        async with starting(Path(folder)) as demo, httpx.AsyncClient(timeout=20, trust_env=False) as client:
            await first_answer(demo, client)
            return (time.monotonic() - began, *memory(demo))


async def measure() -> Section:
    starts = [await one_start() for _ in range(ROUNDS)]
    seconds, processes, rss, pss = zip(*starts, strict=True)
    return Section(
        key="startup",
        title="The whole demo",
        how=f"{ROUNDS} starts. {' '.join((__doc__ or '').split())}",
        header=("to the first request", "processes", "RSS in all", "PSS in all"),
        rows=[
            (
                f"{statistics.median(seconds):.1f} s (worst {max(seconds):.1f} s)",
                str(processes[0]),
                f"{statistics.median(rss):.0f} MiB",
                f"{statistics.median(pss):.0f} MiB",
            )
        ],
    )
