"""An instance: one process, running or to be started again, and the supervisor's state of it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from signal import SIGKILL, Signals
from typing import TYPE_CHECKING, Any

from meshwright.local.supervisor.child_process import read_lines, signal_group, spawn
from meshwright.local.supervisor.restarts import Restarts
from meshwright.local.supervisor.run_state import start_time
from meshwright.local.supervisor.status import InstanceState, InstanceStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from meshwright.local.supervisor.readiness import Readiness
    from meshwright.local.topology.spec import ProcessSpec


class Instance:
    """One instance: mutable, changed by the supervisor only. Its process may end and be started again."""

    def __init__(self, spec: ProcessSpec, *, on_trial: bool = False) -> None:
        self.spec = spec
        self.on_trial = on_trial
        """Started to see whether it becomes ready: it is not restarted before that, and counts for nothing."""
        self.state = InstanceState.WAITING
        self.detail = ""
        self.since = time.time()
        self.resolved: ProcessSpec | None = None
        """As it was started last."""
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
        self._process: asyncio.subprocess.Process | None = None
        self._started = 0.0
        self._reading: asyncio.Task[None] | None = None

    # Its process

    async def start(self, resolved: ProcessSpec, on_line: Callable[[str], None]) -> None:
        """Starts the process. Raises `ValidationError` for a missing program or folder, OSError without resources."""
        self.resolved = resolved
        self._process = await spawn(resolved)
        self._started = start_time(self._process.pid)
        self._reading = asyncio.create_task(read_lines(self._process, on_line), name=f"log of {self._process.pid}")

    @property
    def pid(self) -> int | None:
        """The id of the running process; None where none runs."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def wait(self) -> int:
        """Waits for the end, kills the rest of the process group, and reads the last lines; returns the exit code.

        The code is negative for a signal.
        """
        assert self._process is not None
        assert self._reading is not None
        code = await self._process.wait()
        signal_group(self._process.pid, SIGKILL)
        # A descendant outside the group may keep the pipe open.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._reading, 1.0)
        return code

    def signal(self, number: Signals) -> None:
        """Sends a signal to the process group; does nothing if the process has ended."""
        if self.pid is not None:
            signal_group(self.pid, number)

    # Its state

    @property
    def counts(self) -> bool:
        """Whether it is one of the instances that its process or version should have."""
        return not self.stopping and not self.on_trial

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
        pid = self.pid
        return InstanceStatus(
            instance=self.spec.instance,
            process=self.spec.name,
            service=self.spec.service,
            version=self.spec.version,
            state=self.state,
            detail=self.detail,
            pid=pid,
            address=self.resolved.address if self.resolved else "",
            restarts=self.restarts.total,
            started=self._started if pid is not None else None,
        )
