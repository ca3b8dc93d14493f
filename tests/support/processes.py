"""Child processes of tests: started with an environment of their own, logged to a file, never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from meshwright.free_ports import is_free

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence


TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent


class Process:
    """One child and its log."""

    def __init__(self, child: asyncio.subprocess.Process, log: Path) -> None:
        self.child = child
        self.log = log

    @property
    def running(self) -> bool:
        return self.child.returncode is None

    async def kill(self) -> None:
        """kill -9, and wait for the end."""
        await self.end(signal.SIGKILL)

    async def terminate(self) -> int:
        """SIGTERM, and wait for the orderly end; returns the exit code."""
        return await self.end(signal.SIGTERM)

    async def end(self, number: signal.Signals) -> int:
        if self.running:
            self.child.send_signal(number)
        return await asyncio.wait_for(self.child.wait(), 30)

    def tail(self, lines: int = 20) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


@contextlib.asynccontextmanager
async def running(
    command: Sequence[str],
    log: Path,
    environ: Mapping[str, str] | None = None,
    *,
    pipes: bool = False,
    cwd: Path | None = None,
) -> AsyncIterator[Process]:
    """Run `command` (Python modules of tests/ included) for as long as the context lasts. stderr goes to `log`."""
    outer = {name: value for name, value in os.environ.items() if not name.startswith("GRPC_XDS_BOOTSTRAP")}
    env = {**outer, "PYTHONPATH": str(TESTS), "OTEL_SDK_DISABLED": "true", **(environ or {})}
    with log.open("ab") as sink:
        pipe = asyncio.subprocess.PIPE if pipes else asyncio.subprocess.DEVNULL
        child = await asyncio.create_subprocess_exec(
            *command, cwd=cwd, env=env, stderr=sink, stdin=pipe, stdout=pipe if pipes else sink, limit=2**26
        )
    process = Process(child, log)
    try:
        yield process
    finally:
        if process.running:
            child.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(child.wait(), 15)
            except TimeoutError:
                child.kill()
                await child.wait()


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]


def run_pytest(folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Runs the tests in a folder in a process of its own, without the settings of this run; it has to be passed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run(
        python("-m", "pytest", "-q", "-p", "no:cacheprovider"),
        cwd=folder,
        env=kept | environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@contextlib.contextmanager
def frozen(*pids: int) -> Iterator[None]:
    """Stops the processes, as a machine that hangs would, and lets them go on at the end.

    SIGSTOP takes effect thread by thread, some time after `kill` has returned: until then a process still answers.
    """
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        deadline = time.monotonic() + 10
        while not all(_is_stopped(pid) for pid in pids):
            assert time.monotonic() < deadline, f"{pids} did not stop"
            time.sleep(0.001)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _is_stopped(pid: int) -> bool:
    stats = [stat.read_text() for stat in Path(f"/proc/{pid}/task").glob("*/stat")]
    return all(text.rpartition(")")[2].split()[0] in "TtZX" for text in stats)


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
