"""The engine's four ports.

`meshwright.rollout.adapters` implements two of them for operator and laptop: `ConsulTraffic`
(Traffic) and `ConsulMetricSource` (MetricSource, scraping what Consul lists, or asking Prometheus). Workloads and
EventRecorder differ: Deployments and Kubernetes Events, or processes and lines on the terminal.

Every method is idempotent and may be called again after a crash. An unreachable side raises
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
    """The Deployments or processes of the versions."""

    async def observe(self, rollout: Rollout) -> Mapping[str, Workload]:
        """The rollout's workloads by version, including those scaled to 0."""

    async def version(self, rollout: Rollout) -> str:
        """The version of the referenced workload, where the rollout has none; empty without such a workload.

        Raises `ValidationError` where the workload has no valid version.
        """

    async def template(self, rollout: Rollout) -> str:
        """A digest of the rollout's template; empty without a template, or where it is not found."""

    async def ensure(self, rollout: Rollout, version: str, replicas: int) -> None:
        """Creates or updates the version with this number of instances; corrects drift.

        The requested version gets the rollout's template unless the rollout is paused; other versions keep theirs. A
        changed template replaces the instances one after another, so that at least `replicas` serve.
        """

    async def scale(self, rollout: Rollout, version: str, replicas: int) -> None:
        """Scales an existing version; does nothing without one."""

    async def delete(self, rollout: Rollout, version: str) -> None:
        """Deletes a version's workload; does nothing without one."""

    async def explain(self, rollout: Rollout, versions: Sequence[str]) -> Explanation:
        """The causes of missing healthy instances of these versions."""


class Traffic(Protocol):
    """Health of the service's instances in Consul, and the config entries that route calls."""

    async def observe(self, rollout: Rollout) -> TrafficState:
        """The healthy instances and the routing in the config entries."""

    async def explain(self, rollout: Rollout, version: str, addresses: Sequence[str]) -> tuple[Trouble, ...]:
        """Why instances of the version at these addresses, ready by their own status, are not healthy in Consul."""

    async def route(self, rollout: Rollout, routing: Routing) -> None:
        """Writes the routing to the config entries; keeps the parts of other writers."""

    async def release(self, rollout: Rollout) -> None:
        """Removes this rollout's part from the config entries."""


class MetricSource(Protocol):
    """Metrics of calls."""

    async def measure(self, rollout: Rollout, queries: Sequence[MetricQuery]) -> tuple[Measurement, ...]:
        """One measurement for each query; with `error` where the source does not answer."""

    async def callers(self, rollout: Rollout, apis: Sequence[str], seconds: float) -> tuple[ApiUse, ...] | None:
        """The callers of these APIs of the service within the last `seconds`; None while unknown."""


class EventRecorder(Protocol):
    """Records events and finished spans after the status was written. Its errors are logged and dropped."""

    async def events(self, rollout: Rollout, events: Sequence[Event]) -> None:
        """Kubernetes Events, log lines, notifications."""

    async def spans(self, rollout: Rollout, spans: Sequence[FinishedSpan]) -> None:
        """The rollout's trace; spans that are not `ok` may get links to failed requests."""
