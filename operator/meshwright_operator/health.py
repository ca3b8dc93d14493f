"""The operator's pages: `/metrics`, `/healthz`, `/readyz`."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from meshwright.telemetry.metrics import CONTENT_TYPE
from meshwright_operator.lease.guard import LeaseState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from meshwright.rollout.reconciler import Reconciler
    from meshwright.telemetry import Telemetry
    from meshwright_operator.lease.guard import Guard, NamespaceLease


@dataclass(slots=True)
class OperatorState:
    """The state shown by the pages. It outlasts the operator's terms (`meshwright_operator.leadership`)."""

    guard: Guard | None = None
    reconcilers: dict[tuple[str, str], Reconciler] = field(default_factory=dict)

    @property
    def leases(self) -> dict[str, NamespaceLease]:
        return self.guard.leases if self.guard is not None else {}


class GuardMetrics(Collector):
    """`meshwright_operator_namespace`: 1 for the state of a namespace's Lease."""

    def __init__(self, operator_state: OperatorState) -> None:
        self._operator_state = operator_state

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "meshwright_operator_namespace",
            "1 for the state of a namespace's Lease for this operator.",
            labels=("namespace", "state"),
        )
        for name, lease in sorted(self._operator_state.leases.items()):
            for state in LeaseState:
                family.add_metric((name, state.value), float(lease.state is state))
        yield family


def namespaces(operator_state: OperatorState) -> dict[str, dict[str, str]]:
    """Each namespace with the state and the holder of its Lease."""
    return {
        name: {"state": lease.state.value, "holder": lease.seen.lease.holder if lease.seen else ""}
        for name, lease in sorted(operator_state.leases.items())
    }


def is_ready(operator_state: OperatorState) -> bool:
    """Whether the operator holds a Lease, or stands by for another pod of its installation.

    False where all its namespaces belong to another installation, and between two terms.
    """
    if operator_state.guard is None or operator_state.guard.is_shut:
        return False
    states = operator_state.guard.states
    return bool(states & {LeaseState.HOLDING, LeaseState.STANDING_BY}) or not states - {LeaseState.TERMINATING}


def pages(
    telemetry: Telemetry, operator_state: OperatorState, installation: str, pass_timeout: float
) -> web.Application:
    """`/healthz` fails when a pass takes more than `pass_timeout` seconds; `/readyz` also when all Leases are
    refused."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=telemetry.metrics.page(), headers={"Content-Type": CONTENT_TYPE})

    def stuck() -> list[str]:
        now = time.monotonic()
        return [
            f"{namespace}/{name} has been in one pass for {now - reconciler.pass_began:.0f} s"
            for (namespace, name), reconciler in operator_state.reconcilers.items()
            if reconciler.pass_began is not None and now - reconciler.pass_began > pass_timeout
        ]

    async def healthz(_: web.Request) -> web.Response:
        found = stuck()
        body = {"rollouts": len(operator_state.reconcilers), "stuck": found, "namespaces": namespaces(operator_state)}
        return web.json_response(body, status=503 if found else 200)

    async def readyz(_: web.Request) -> web.Response:
        found = stuck()
        body = {"installation": installation, "namespaces": namespaces(operator_state), "stuck": found}
        return web.json_response(body, status=200 if is_ready(operator_state) and not found else 503)

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    return app
