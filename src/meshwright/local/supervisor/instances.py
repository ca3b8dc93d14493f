"""One seat and who sits there: the supervisor's notes, and what it tells others of them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from meshwright.local.supervisor.restarts import Restarts

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from meshwright.local.planner.plan import InstanceSpec, LaunchSpec
    from meshwright.local.supervisor.child_process import ChildProcess
    from meshwright.local.supervisor.readiness import Readiness
    from meshwright.local.topology.spec import ProcessSpec


class InstanceState(StrEnum):
    """What an instance is doing."""

    WAITING = "waiting"
    """for what it needs to be ready"""
    STARTING = "starting"
    """it runs and is not ready yet"""
    READY = "ready"
    BACKOFF = "backoff"
    """it ended, and will be started again"""
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"
    """it could not be started, and will not be tried again"""


@dataclass(frozen=True, slots=True)
class InstanceStatus:
    """An instance at one moment."""

    instance: str
    process: str
    service: str
    version: str
    state: InstanceState
    detail: str
    pid: int | None
    address: str
    restarts: int
    started: float | None
    """Seconds since the epoch."""


class Instance:
    """One seat: mutable, and touched by the supervisor only."""

    def __init__(self, spec: InstanceSpec, process: ProcessSpec) -> None:
        self.spec = spec
        self.process = process
        self.state = InstanceState.WAITING
        self.detail = ""
        self.since = time.time()
        self.launch: LaunchSpec | None = None
        self.child: ChildProcess | None = None
        self.task: asyncio.Task[None] | None = None
        self.restarts = Restarts()
        self.early_ends = 0
        self.end = ""
        self.readiness: Readiness | None = None
        """Of the process that runs, or ran last."""
        self.stopping = False
        self.was_ready = asyncio.Event()
        """Set when the instance has been ready for the first time, and for ever."""
        self.woken = asyncio.Event()

    @property
    def lateness(self) -> str:
        """Why the instance is not ready, where it should be by now."""
        if self.state is InstanceState.WAITING:
            return "not started: what it waits for is not ready"
        if self.end:
            return f"not ready in time: it {self.end}"
        return f"not ready in time: {self.readiness.reason if self.readiness else 'it was not started'}"

    async def unless_woken(self, wait: Coroutine[Any, Any, None]) -> bool:
        """Whether `wait` came to its end before the seat was given up."""
        waits = {asyncio.create_task(wait), asyncio.create_task(self.woken.wait())}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()
        return not self.woken.is_set()

    async def sleep(self, seconds: float) -> None:
        """Wait, unless the seat is given up meanwhile."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.woken.wait()

    def status(self) -> InstanceStatus:
        running = self.child if self.child and self.child.code is None else None
        return InstanceStatus(
            instance=self.spec.name,
            process=self.spec.process,
            service=self.process.service,
            version=self.spec.version,
            state=self.state,
            detail=self.detail,
            pid=running.pid if running else None,
            address=self.launch.address if self.launch else "",
            restarts=self.restarts.total,
            started=running.started if running else None,
        )
