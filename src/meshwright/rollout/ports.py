"""What the engine needs of the world: four small ports that a shell fills.

`meshwright.rollout.adapters` fills two of them for every shell, because Consul is the same everywhere: `ConsulTraffic`
(Traffic) and `ConsulMeasurements` (Measurements, scraping what Consul lists, or asking Prometheus). Workloads and
Announcer are the shell's own: Deployments and Kubernetes Events, or processes and lines on the terminal.

Every method is idempotent and may be called again after a crash. One that cannot reach its side raises
`meshwright.errors.UnreachableError`; another `MeshwrightError` counts as a failed action. Both are tried again in the
next pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from meshwright.rollout.decision import Event, FinishedSpan
    from meshwright.rollout.observed import ApiUse, Demand, Measurement, TrafficState, Workload
    from meshwright.rollout.routing import Routing
    from meshwright.rollout.spec import Rollout


class Workloads(Protocol):
    """The versions' processes or Deployments."""

    async def observe(self, rollout: Rollout) -> Mapping[str, Workload]:
        """Every version that this rollout has, by version, scaled-down ones included."""

    async def ensure(self, rollout: Rollout, version: str, replicas: int) -> None:
        """Make the version exist with so many instances. Its template is the rollout's where `version` is the one that
        the rollout asks for; that of another version stays as it was."""

    async def scale(self, rollout: Rollout, version: str, replicas: int) -> None:
        """Scale a version that exists; nothing where it does not."""

    async def delete(self, rollout: Rollout, version: str) -> None:
        """Remove a version's workload; nothing where there is none."""


class Traffic(Protocol):
    """Consul's view of the service's instances, and the config entries that spread the calls."""

    async def observe(self, rollout: Rollout) -> TrafficState:
        """What is healthy, and what the entries say now."""

    async def route(self, rollout: Rollout, routing: Routing) -> None:
        """Make the entries say it, keeping what others wrote in them."""

    async def release(self, rollout: Rollout) -> None:
        """Take this rollout's part out of the entries."""


class Measurements(Protocol):
    """Figures of calls."""

    async def measure(self, rollout: Rollout, demands: Sequence[Demand]) -> tuple[Measurement, ...]:
        """One answer to each demand; a source that does not answer is an answer with `error`."""

    async def callers(self, rollout: Rollout, apis: Sequence[str], seconds: float) -> tuple[ApiUse, ...] | None:
        """Who called these APIs of the service within the last seconds; None while that is not known yet."""


class Announcer(Protocol):
    """Told after the status was written: events and finished spans. What it raises is logged and lost."""

    async def events(self, rollout: Rollout, events: Sequence[Event]) -> None:
        """Kubernetes Events, log lines, notifications."""

    async def spans(self, rollout: Rollout, spans: Sequence[FinishedSpan]) -> None:
        """The rollout's trace; links to failing requests may be added to the spans that are not `ok`."""
