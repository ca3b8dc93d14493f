"""A child process: started in its own process group, read line by line, ended with its descendants.

On Linux the kernel kills the child when the supervisor dies, for any reason (PR_SET_PDEATHSIG, set by util-linux's
`setpriv`, because Python code between fork and exec would not be safe). Elsewhere, and for the child's descendants,
`state.json` lists the processes to end at the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
from pathlib import Path
from signal import SIGKILL, Signals
from typing import TYPE_CHECKING

from meshwright.errors import ValidationError, Violation
from meshwright.local.supervisor.run_state import start_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshwright.local.planner.plan import LaunchSpec

log = logging.getLogger(__name__)

_CHUNK = 2**16
_LONGEST = 2**16
"""Bytes after which a line is split, which bounds the memory for a child without newlines."""


class ChildProcess:
    """A running or ended process."""

    def __init__(self, process: asyncio.subprocess.Process, on_line: Callable[[str], None]) -> None:
        self._process = process
        self._on_line = on_line
        self.pid = process.pid
        self.started = start_time(process.pid)
        self._complained = False
        self._reading = asyncio.create_task(self._read(), name=f"log of {process.pid}")

    @classmethod
    async def start(cls, launch: LaunchSpec, on_line: Callable[[str], None]) -> ChildProcess:
        """Starts the process. Raises `ValidationError` for a missing program or folder."""
        setpriv = shutil.which("setpriv")
        tied = (setpriv, "--pdeathsig", "KILL", "--") if setpriv else ()
        _check(launch)
        process = await asyncio.create_subprocess_exec(
            *tied,
            *launch.argv,
            cwd=launch.process.folder,
            env=launch.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        return cls(process, on_line)

    @property
    def code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._process.returncode

    async def wait(self) -> int:
        """Waits for the end, kills the rest of the process group, and reads the last lines."""
        code = await self._process.wait()
        self._signal_group(SIGKILL)
        # A descendant outside the group may keep the pipe open.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._reading, 1.0)
        return code

    def signal(self, number: Signals) -> None:
        """Sends a signal to the process group; does nothing if the process has ended."""
        if self.code is None:
            self._signal_group(number)

    def _signal_group(self, number: Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    async def _read(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        rest = b""
        while chunk := await stream.read(_CHUNK):
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                self._say(line.decode(errors="replace").rstrip("\r"))
            if len(rest) > _LONGEST:
                self._say(rest.decode(errors="replace"))
                rest = b""
        if rest:
            self._say(rest.decode(errors="replace"))

    def _say(self, line: str) -> None:
        """Passes a line on. Errors are logged and reading continues, because a full pipe would block the child."""
        try:
            self._on_line(line)
        except Exception as error:  # noqa: BLE001 - any error, such as a full disk
            if not self._complained:
                self._complained = True
                log.warning("a line of process %d is lost, and others may be: %s", self.pid, error)


def _check(launch: LaunchSpec) -> None:
    """Checks for the folder and, relative to it, the program."""
    name, folder, program = launch.process.name, launch.process.folder, launch.argv[0]
    problems = []
    if folder is not None and not folder.is_dir():
        problems.append(Violation(f"processes.{name}.folder", f"{folder} is not a folder"))
    found = str((folder or Path()).absolute() / program) if "/" in program else program
    if not problems and shutil.which(found, path=launch.environment.get("PATH")) is None:
        problems.append(Violation(f"processes.{name}.command", f"there is no program {program!r}"))
    if problems:
        raise ValidationError(launch.spec.name, problems)


def describe_end(code: int) -> str:
    """A description of an exit code."""
    if code >= 0:
        return f"exited with code {code}"
    with contextlib.suppress(ValueError):
        return f"was ended by {Signals(-code).name}"
    return f"was ended by signal {-code}"
