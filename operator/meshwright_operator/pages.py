"""The operator's pages: `/metrics`, `/healthz`, `/readyz`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from meshwright.telemetry.metrics import CONTENT_TYPE
from meshwright_operator.guard import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client import Metric

    from meshwright.rollout.following import Follower
    from meshwright.telemetry import Telemetry
    from meshwright_operator.guard import Guard


class GuardMetrics(Collector):
    """`meshwright_operator_namespace`: 1 for the state in which this operator is to a namespace."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "meshwright_operator_namespace",
            "1 for how this operator stands to a namespace and its Lease.",
            labels=("namespace", "state"),
        )
        for name, place in sorted(self._guard.places.items()):
            for state in State:
                family.add_metric((name, state.value), float(place.state is state))
        yield family


def namespaces(guard: Guard) -> dict[str, dict[str, str]]:
    """Each namespace, how this operator stands to it, and who holds its Lease."""
    return {
        name: {"state": place.state.value, "holder": place.seen.lease.holder if place.seen else ""}
        for name, place in sorted(guard.places.items())
    }


def is_ready(guard: Guard) -> bool:
    """Whether it works somewhere, or stands by for one of its own; not, where all that it is for is another's."""
    states = {place.state for place in guard.places.values()}
    return bool(states & {State.HOLDING, State.STANDING_BY}) or not states - {State.TERMINATING}


def pages(
    telemetry: Telemetry, followers: Mapping[tuple[str, str], Follower], guard: Guard, patience: float
) -> web.Application:
    """`/healthz` fails when a pass has been running for more than `patience` seconds; `/readyz` also when refused."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=telemetry.metrics.page(), headers={"Content-Type": CONTENT_TYPE})

    def stuck() -> list[str]:
        now = time.monotonic()
        return [
            f"{namespace}/{name} has been in one pass for {now - follower.pass_began:.0f} s"
            for (namespace, name), follower in followers.items()
            if follower.pass_began is not None and now - follower.pass_began > patience
        ]

    async def healthz(_: web.Request) -> web.Response:
        found = stuck()
        body = {"rollouts": len(followers), "stuck": found, "namespaces": namespaces(guard)}
        return web.json_response(body, status=503 if found else 200)

    async def readyz(_: web.Request) -> web.Response:
        found = stuck()
        body = {"installation": guard.me.installation, "namespaces": namespaces(guard), "stuck": found}
        return web.json_response(body, status=200 if is_ready(guard) and not found else 503)

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    return app
