"""Child processes: started in their own process group, read line by line, ended with their descendants.

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
from signal import Signals
from typing import TYPE_CHECKING

from meshwright.errors import ValidationError, Violation

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshwright.local.topology.spec import ProcessSpec

log = logging.getLogger(__name__)

_CHUNK = 2**16
_LONGEST = 2**16
"""Bytes after which a line is split, which bounds the memory for a child without newlines."""


async def spawn(spec: ProcessSpec) -> asyncio.subprocess.Process:
    """Starts the process of a resolved spec. Raises `ValidationError` for a missing program or folder."""
    setpriv = shutil.which("setpriv")
    tied = (setpriv, "--pdeathsig", "KILL", "--") if setpriv else ()
    _check(spec)
    return await asyncio.create_subprocess_exec(
        *tied,
        *spec.command,
        cwd=spec.folder,
        env=spec.environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )


def signal_group(pid: int, number: Signals) -> None:
    """Sends a signal to a child's process group; does nothing if the group is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


async def read_lines(process: asyncio.subprocess.Process, on_line: Callable[[str], None]) -> None:
    """Passes on each line of a child's output, until its end."""
    stream = process.stdout
    assert stream is not None
    say = _lenient(process.pid, on_line)
    rest = b""
    while chunk := await stream.read(_CHUNK):
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            say(line.decode(errors="replace").rstrip("\r"))
        if len(rest) > _LONGEST:
            say(rest.decode(errors="replace"))
            rest = b""
    if rest:
        say(rest.decode(errors="replace"))


def _lenient(pid: int, on_line: Callable[[str], None]) -> Callable[[str], None]:
    """Passes lines on. Errors are logged and reading continues, because a full pipe would block the child."""
    complained = False

    def say(line: str) -> None:
        nonlocal complained
        try:
            on_line(line)
        except Exception as error:  # noqa: BLE001 - any error, such as a full disk
            if not complained:
                complained = True
                log.warning("a line of process %d is lost, and others may be: %s", pid, error)

    return say


def _check(spec: ProcessSpec) -> None:
    """Checks for the folder and, relative to it, the program."""
    folder, program = spec.folder, spec.command[0]
    problems = []
    if folder is not None and not folder.is_dir():
        problems.append(Violation(f"processes.{spec.name}.folder", f"{folder} is not a folder"))
    found = str((folder or Path()).absolute() / program) if "/" in program else program
    if not problems and shutil.which(found, path=spec.environment.get("PATH")) is None:
        problems.append(Violation(f"processes.{spec.name}.command", f"there is no program {program!r}"))
    if problems:
        raise ValidationError(spec.instance, problems)


def describe_end(code: int) -> str:
    """A description of an exit code."""
    if code >= 0:
        return f"exited with code {code}"
    with contextlib.suppress(ValueError):
        return f"was ended by {Signals(-code).name}"
    return f"was ended by signal {-code}"
