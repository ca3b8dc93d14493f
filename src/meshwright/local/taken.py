"""Whether the ports that a plan needs are free, and who has those that are not."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import psutil

from meshwright import ports
from meshwright.errors import BadInputError, Problem
from meshwright.local.plan import HOST

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHOWN = 60


def check(wanted: Mapping[str, int]) -> None:
    """Raise `BadInputError` that names every wanted port that is taken, who has it, and how to use another one."""
    problems = [
        Problem(f"port {port} ({name})", f"is taken{_by(port)}; use --port {name}={_another(port, wanted)}")
        for name, port in wanted.items()
        if not ports.is_free(port, HOST)
    ]
    if problems:
        raise BadInputError("the choice of ports", problems)


def _by(port: int) -> str:
    try:
        holders = [
            connection.pid
            for connection in psutil.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
        ]
        process = next((psutil.Process(pid) for pid in holders if pid), None)
        command = shlex.join(process.cmdline()) if process else ""
    except psutil.Error:
        return ""
    if process is None:
        return " by a process of somebody else"
    return f" by pid {process.pid}: {command if len(command) <= _SHOWN else command[: _SHOWN - 3] + '...'}"


def _another(port: int, wanted: Mapping[str, int]) -> int:
    """The next port that nobody has and nobody here wants."""
    candidates = range(port + 1, min(port + 1000, 65536))
    return next((other for other in candidates if other not in wanted.values() and ports.is_free(other, HOST)), 0)
