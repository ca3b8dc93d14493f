"""Where the supervisor's output goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from meshwright.local.supervisor.status import InstanceStatus
    from meshwright.local.topology.spec import ProcessSpec


class Report(Protocol):
    """Receives the output and the changes of instances."""

    def line(self, spec: ProcessSpec, text: str) -> None:
        """An instance wrote a line."""

    def changed(self, status: InstanceStatus) -> None:
        """An instance changed its state."""
