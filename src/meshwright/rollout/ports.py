"""What the engine needs of the world: four small ports that a shell fills.

`meshwright.rollout.adapters` fills two of them for every shell, because Consul is the same everywhere: `ConsulTraffic`
(Traffic) and `ConsulMetricSource` (Measurements, scraping what Consul lists, or asking Prometheus). Workloads and
Announcer are the shell's own: Deployments and Kubernetes Events, or processes and lines on the terminal.

Every method is idempotent and may be called again after a crash. One that cannot reach its side raises
`meshwright.errors.UnreachableError`; another `MeshwrightError` counts as a failed action. Both are tried again in the
next pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from meshwright.rollout.api.observed import (
        ApiUse,
        Explanation,
        Measurement,
        MetricQuery,
        TrafficState,
        Trouble,
        Workload,
    )
    from meshwright.rollout.api.routing import Routing
    from meshwright.rollout.api.spec import Rollout
    from meshwright.rollout.reconcile.decision import Event, FinishedSpan


class Workloads(Protocol):
    """The versions' processes or Deployments."""

    async def observe(self, rollout: Rollout) -> Mapping[str, Workload]:
        """Every version that this rollout has, by version, scaled-down ones included."""

    async def version(self, rollout: Rollout) -> str:
        """The version that the referenced workload says, where the rollout names none; empty where there is no such
        workload. Raises `BadInputError` where it says none that can be used."""

    async def template(self, rollout: Rollout) -> str:
        """A digest of the template that the rollout asks for; empty where there is none, or it cannot be found."""

    async def ensure(self, rollout: Rollout, version: str, replicas: int) -> None:
        """Make the version exist with so many instances, as it was last told to be: what others changed is put back.

        Its template is the rollout's where `version` is the one that the rollout asks for and the rollout is not
        paused; that of another version stays. A changed template replaces instances one after another, so that never
        fewer than `replicas` serve."""

    async def scale(self, rollout: Rollout, version: str, replicas: int) -> None:
        """Scale a version that exists; nothing where it does not."""

    async def delete(self, rollout: Rollout, version: str) -> None:
        """Remove a version's workload; nothing where there is none."""

    async def explain(self, rollout: Rollout, versions: Sequence[str]) -> Explanation:
        """Why these versions have fewer healthy instances than they should."""


class Traffic(Protocol):
    """Consul's view of the service's instances, and the config entries that spread the calls."""

    async def observe(self, rollout: Rollout) -> TrafficState:
        """What is healthy, and what the entries say now."""

    async def explain(self, rollout: Rollout, version: str, addresses: Sequence[str]) -> tuple[Trouble, ...]:
        """Why Consul does not call instances of the version at these addresses healthy, which say that they are."""

    async def route(self, rollout: Rollout, routing: Routing) -> None:
        """Make the entries say it, keeping what others wrote in them."""

    async def release(self, rollout: Rollout) -> None:
        """Take this rollout's part out of the entries."""


class MetricSource(Protocol):
    """Figures of calls."""

    async def measure(self, rollout: Rollout, queries: Sequence[MetricQuery]) -> tuple[Measurement, ...]:
        """One answer to each demand; a source that does not answer is an answer with `error`."""

    async def callers(self, rollout: Rollout, apis: Sequence[str], seconds: float) -> tuple[ApiUse, ...] | None:
        """Who called these APIs of the service within the last seconds; None while that is not known yet."""


class EventRecorder(Protocol):
    """Told after the status was written: events and finished spans. What it raises is logged and lost."""

    async def events(self, rollout: Rollout, events: Sequence[Event]) -> None:
        """Kubernetes Events, log lines, notifications."""

    async def spans(self, rollout: Rollout, spans: Sequence[FinishedSpan]) -> None:
        """The rollout's trace; links to failing requests may be added to the spans that are not `ok`."""
