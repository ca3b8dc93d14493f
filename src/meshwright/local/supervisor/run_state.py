"""The state of a running `up` on disk: lets commands find it, rejects a second one, and cleans up after a killed one.

`<home>/<topology>/` holds `lock` (held with flock while the supervisor lives: the kernel releases it however the
supervisor ends), `state.json` (written whole and renamed into place after every change), `logs/`, and `data/` for the
services' data. A process is identified by its id together with its start time, because ids are reused; its descendants
by the run's mark in their environment. Where `state.json` lists processes and the lock is free, a supervisor was
killed: the next one ends the processes that are still alive.
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

from meshwright.config import env_field, load_config
from meshwright.errors import MeshwrightError
from meshwright.local.planner.plan import RUN_MARK
from meshwright.local.supervisor.status import InstanceStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SOCKET_LENGTH = 100
"""The maximum length of a unix socket's path (107 on Linux, 103 elsewhere)."""
_CLOCK_SLACK = 0.05
"""The tolerance between two readings of one start time, in seconds."""
_IDENTITY = ("instance", "pid", "started")
"""What `state.json` keeps of a process's status."""


@dataclass(frozen=True, slots=True)
class HomeConfig:
    """The folder in which `meshwright up` keeps its state and logs."""

    home: Path | None = env_field("MESHWRIGHT_HOME", None, help="folder for state and logs; default .meshwright here")


class AlreadyUpError(MeshwrightError):
    """A supervisor of this topology is running already."""


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
    lives: tuple[InstanceStatus, ...] = ()
    """The running processes. Each is identified by its id and start time; nothing else of the status is stored."""


class StateFolder:
    """The state folder of one topology."""

    def __init__(self, home: Path, name: str) -> None:
        self.path = home / name
        self.logs = self.path / "logs"
        self.data = self.path / "data"
        self.rollouts = self.path / "rollouts"

    @property
    def socket(self) -> Path:
        """The path of the control socket; in the temporary folder if the state folder's path is too long."""
        here = self.path.resolve() / "control.sock"
        if len(str(here)) < _SOCKET_LENGTH:
            return here
        digest = hashlib.sha256(str(here).encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"meshwright-{os.getuid()}-{digest}.sock"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the lock of this topology. Raises `AlreadyUpError` with the supervisor that holds it."""
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
        """The record of the running supervisor, or None."""
        record = self.read()
        return record if record is not None and _is(record.pid, record.started) else None

    def read(self) -> RunRecord | None:
        """The record of the last supervisor; None where it is missing or invalid."""
        try:
            document: dict[str, Any] = json.loads((self.path / "state.json").read_text())
            lives = tuple(InstanceStatus(**{key: life[key] for key in _IDENTITY}) for life in document.pop("lives"))
            return RunRecord(**document, lives=lives)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def write(self, record: RunRecord) -> None:
        draft = self.path / "state.json.new"
        lives = [{key: getattr(life, key) for key in _IDENTITY} for life in record.lives]
        draft.write_text(json.dumps({**asdict(record), "lives": lives}, indent=1))
        draft.replace(self.path / "state.json")

    def _refusal(self) -> str:
        record = self.read()
        who = f" as process {record.pid}" if record else ""
        return (
            f"{self.path.name} is up already{who}. See it with `meshwright ps`; "
            f"stop it with Ctrl-C there{f' or `kill {record.pid}`' if record else ''}."
        )


def home() -> Path:
    """The state folder of a new `up`: `MESHWRIGHT_HOME`, or `.meshwright` in the current folder."""
    return load_config(HomeConfig).home or Path.cwd() / ".meshwright"


def nearest_home() -> Path:
    """The state folder for commands on an `up`: that of the current folder, or of the nearest parent with one."""
    own = home()
    if own.exists() or load_config(HomeConfig).home:
        return own
    return next((up / ".meshwright" for up in Path.cwd().parents if (up / ".meshwright").is_dir()), own)


def start_time(pid: int) -> float:
    """The start time of a process, in seconds since the epoch; now, if it is gone."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return time.time()


def end_leftovers(record: RunRecord, timeout: float = 3.0) -> list[InstanceStatus]:
    """Ends the processes of a killed supervisor: SIGTERM, after `timeout` seconds SIGKILL. Returns their records."""
    found = _leftovers(record)
    processes = [process for process, _ in found]
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGTERM)
    _, stubborn = psutil.wait_procs(processes, timeout=timeout)
    for process in stubborn:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(stubborn, timeout=timeout)
    return [life for _, life in found]


def _is(pid: int, started: float) -> bool:
    """Whether the process with that id and start time is alive."""
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


def _leftovers(record: RunRecord) -> list[tuple[psutil.Process, InstanceStatus]]:
    known = {life.pid: life for life in record.lives}
    found: list[tuple[psutil.Process, InstanceStatus]] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.uids().real != os.getuid() or not _alive(process) or process.pid == os.getpid():
                continue
            life = known.get(process.pid)
            if life is not None and abs(process.create_time() - (life.started or 0.0)) < _CLOCK_SLACK:
                found.append((process, life))
            elif record.run and process.environ().get(RUN_MARK) == record.run:
                found.append((process, InstanceStatus(process.name(), pid=process.pid, started=process.create_time())))
    return found
