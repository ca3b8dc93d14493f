"""An instance: the supervisor's state of it, and its status for clients."""

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
    """The state of an instance."""

    WAITING = "waiting"
    """for its dependencies"""
    STARTING = "starting"
    """runs, not ready yet"""
    READY = "ready"
    BACKOFF = "backoff"
    """ended, waiting for the restart delay"""
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"
    """could not be started; there is no retry"""


@dataclass(frozen=True, slots=True)
class InstanceStatus:
    """The status of an instance at one moment."""

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
    """One instance: mutable, changed by the supervisor only."""

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
        """Of the running or last process."""
        self.stopping = False
        self.was_ready = asyncio.Event()
        """Set once the instance has been ready for the first time."""
        self.stop_requested = asyncio.Event()

    @property
    def not_ready_reason(self) -> str:
        """Why the instance is not ready in time."""
        if self.state is InstanceState.WAITING:
            return "not started: what it waits for is not ready"
        if self.end:
            return f"not ready in time: it {self.end}"
        return f"not ready in time: {self.readiness.reason if self.readiness else 'it was not started'}"

    async def finishes_before_stop(self, wait: Coroutine[Any, Any, None]) -> bool:
        """Whether `wait` finished before the instance was stopped."""
        waits = {asyncio.create_task(wait), asyncio.create_task(self.stop_requested.wait())}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()
        return not self.stop_requested.is_set()

    async def sleep(self, seconds: float) -> None:
        """Waits, unless the instance is stopped meanwhile."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.stop_requested.wait()

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
