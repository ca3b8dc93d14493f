"""Runs the agent's checks: one task per polled check, one for time (TTL, reaping)."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

from meshwright.dev.consul.catalog.models import CRITICAL
from meshwright.dev.consul.health_checks.prober import Prober

if TYPE_CHECKING:
    from meshwright.dev.consul.catalog.agent import Agent, CheckSpec
    from meshwright.dev.consul.health_checks.prober import Outcome

TICK = 0.1
"""Seconds between two looks at what is due: TTLs and session expiry are at most this late."""


class ChecksRunner:
    """The agent's `Runner` on asyncio."""

    def __init__(self) -> None:
        self.agent: Agent | None = None
        self._prober = Prober()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, spec: CheckSpec, *, at_once: bool) -> None:
        """Begin to run a check, instead of any that had its id: at once, or within its interval."""
        self.stop(spec.id)
        self._tasks[spec.id] = asyncio.create_task(self._run(spec, at_once=at_once), name=f"check {spec.id}")

    def stop(self, check_id: str) -> None:
        """Run it no more; its outcome, if one is under way, is dropped."""
        task = self._tasks.pop(check_id, None)
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        """Stop all checks and close all connections."""
        tasks = tuple(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._prober.close()

    async def _run(self, spec: CheckSpec, *, at_once: bool) -> None:
        try:
            # The first pause is shortened at random, so that checks that began together drift apart.
            pause = spec.interval * random.uniform(0.5, 1.0)  # noqa: S311
            if not at_once:
                await asyncio.sleep(pause)
                pause = spec.interval
            while True:
                status, output = await self._probe(spec)
                if self.agent is not None:
                    self.agent.report(spec.id, status, output, time.monotonic())
                await asyncio.sleep(pause)
                pause = spec.interval
        finally:
            await asyncio.shield(self._prober.forget(spec))

    async def _probe(self, spec: CheckSpec) -> Outcome:
        try:
            return await self._prober.probe(spec)
        except Exception as error:  # noqa: BLE001 - a target that no library of ours takes must not end its checks
            return CRITICAL, f"{type(error).__name__}: {error}"
