"""What is known on disk of a running `up`, so that other commands find it, a second one is refused, and a killed one
leaves nothing behind.

`<home>/<topology>/` holds `lock` (held with flock for as long as the supervisor lives: the kernel lets go of it
whatever kills the supervisor), `state.json` (written whole and renamed into place after every change), `logs/`, and
`data/` for what services keep. A process is known by its id together with its start time, because ids are reused; and
whatever it started in turn, by the mark of the run in its environment. Where `state.json` names processes and nobody
holds the lock, a supervisor was killed: the next one ends what is still alive.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import signal
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from meshwright.config import load, setting
from meshwright.errors import MeshwrightError
from meshwright.local.planner.plan import RUN_MARK

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SOCKET_LENGTH = 100
"""Characters that a unix socket's path may have (107 on Linux, 103 elsewhere)."""
_CLOCK_SLACK = 0.05
"""Seconds by which two readings of one start time may differ."""


@dataclass(frozen=True, slots=True)
class HomeConfig:
    home: Path | None = setting("MESHWRIGHT_HOME", None, help="folder for state and logs; default .meshwright here")


class AlreadyUpError(MeshwrightError):
    """A supervisor of this topology is running already."""


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """A process, beyond the reuse of its id."""

    instance: str
    pid: int
    started: float
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """The content of `state.json`."""

    pid: int
    started: float
    run: str
    topology: str
    socket: str
    environment: Mapping[str, str] = field(default_factory=dict)
    """The variables by which a client finds the mesh."""
    addresses: Mapping[str, str] = field(default_factory=dict)
    lives: tuple[ProcessRecord, ...] = ()


class StateFolder:
    """The state folder of one topology."""

    def __init__(self, home: Path, name: str) -> None:
        self.path = home / name
        self.logs = self.path / "logs"
        self.data = self.path / "data"
        self.rollouts = self.path / "rollouts"

    @property
    def socket(self) -> Path:
        """Where the supervisor listens; elsewhere if the folder lies too deep for a socket's path."""
        here = self.path.resolve() / "control.sock"
        if len(str(here)) < _SOCKET_LENGTH:
            return here
        digest = hashlib.sha256(str(here).encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"meshwright-{os.getuid()}-{digest}.sock"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Be the one supervisor of this topology; raises `AlreadyUpError` that names the other one."""
        self.logs.mkdir(parents=True, exist_ok=True)
        self.data.mkdir(exist_ok=True)
        ignore = self.path.parent / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
        with (self.path / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AlreadyUpError(self._refusal()) from None
            yield

    def running(self) -> RunRecord | None:
        """The record of the supervisor that runs now, or None."""
        record = self.read()
        return record if record is not None and _is(record.pid, record.started) else None

    def read(self) -> RunRecord | None:
        """What the last supervisor wrote; None where there is nothing, or nothing that makes sense."""
        try:
            document: dict[str, Any] = json.loads((self.path / "state.json").read_text())
            lives = tuple(ProcessRecord(**life) for life in document.pop("lives"))
            return RunRecord(**document, lives=lives)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def write(self, record: RunRecord) -> None:
        draft = self.path / "state.json.new"
        draft.write_text(json.dumps(asdict(record), indent=1))
        draft.replace(self.path / "state.json")

    def _refusal(self) -> str:
        record = self.read()
        who = f" as process {record.pid}" if record else ""
        return (
            f"{self.path.name} is up already{who}. See it with `meshwright ps`; "
            f"stop it with Ctrl-C there{f' or `kill {record.pid}`' if record else ''}."
        )


def home() -> Path:
    """The folder of all state for a new `up`: `MESHWRIGHT_HOME`, or `.meshwright` where we are."""
    return load(HomeConfig).home or Path.cwd() / ".meshwright"


def nearest_home() -> Path:
    """The folder of all state for commands that act on an `up`: ours, or that of the nearest parent that has one."""
    own = home()
    if own.exists() or load(HomeConfig).home:
        return own
    return next((up / ".meshwright" for up in Path.cwd().parents if (up / ".meshwright").is_dir()), own)


def start_time(pid: int) -> float:
    """When a process started, in seconds since the epoch; now, if it is gone already."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return time.time()


def end_leftovers(record: RunRecord, patience: float = 3.0) -> list[ProcessRecord]:
    """End what a killed supervisor left alive: SIGTERM, after `patience` seconds SIGKILL. Returns what there was."""
    found = _leftovers(record)
    processes = [process for process, _ in found]
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGTERM)
    _, stubborn = psutil.wait_procs(processes, timeout=patience)
    for process in stubborn:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(stubborn, timeout=patience)
    return [life for _, life in found]


def _is(pid: int, started: float) -> bool:
    """Whether the process of that id is alive and the one that started then."""
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started) < _CLOCK_SLACK and _alive(process)
    except psutil.Error:
        return False


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _leftovers(record: RunRecord) -> list[tuple[psutil.Process, ProcessRecord]]:
    known = {life.pid: life for life in record.lives}
    found: list[tuple[psutil.Process, ProcessRecord]] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.uids().real != os.getuid() or not _alive(process) or process.pid == os.getpid():
                continue
            life = known.get(process.pid)
            if life is not None and abs(process.create_time() - life.started) < _CLOCK_SLACK:
                found.append((process, life))
            elif record.run and process.environ().get(RUN_MARK) == record.run:
                found.append((process, ProcessRecord(process.name(), process.pid, process.create_time())))
    return found
