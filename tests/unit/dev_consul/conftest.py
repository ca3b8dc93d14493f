"""The registry's core without sockets: a runner that records, and a clock that is a number."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from meshwright.dev.consul.state import State, new_identity

if TYPE_CHECKING:
    from meshwright.dev.consul.catalog.agent import CheckSpec


@dataclass
class RecordingRunner:
    """Which checks run, in the order in which they began."""

    started: list[str] = field(default_factory=list)
    at_once: list[bool] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)

    def start(self, spec: CheckSpec, *, at_once: bool) -> None:
        self.started.append(spec.id)
        self.at_once.append(at_once)

    def stop(self, check_id: str) -> None:
        self.stopped.append(check_id)


@pytest.fixture
def runner() -> RecordingRunner:
    """What the agent asked to be run."""
    return RecordingRunner()


@pytest.fixture
def state(runner: RecordingRunner) -> State:
    """A registry's state, fresh."""
    return State(new_identity("here", "dc1", "127.0.0.1", 8500), runner, min_deregister=60.0)
