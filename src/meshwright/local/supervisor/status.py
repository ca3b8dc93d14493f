"""What `up` tells of an instance: an immutable document for the control API, the command line and dashboards."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


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
    """The status of an instance at one moment. The one in `state.json` has its name, process id and start time only."""

    instance: str
    process: str = ""
    service: str = ""
    version: str = ""
    state: InstanceState = InstanceState.WAITING
    detail: str = ""
    pid: int | None = None
    address: str = ""
    restarts: int = 0
    started: float | None = None
    """Seconds since the epoch."""
