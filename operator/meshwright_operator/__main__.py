"""The operator's process: `meshwright-operator`, configured by the environment."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from typing import TYPE_CHECKING, Any, cast

import kopf

from meshwright import http, logs
from meshwright.config import ServiceConfig, load
from meshwright.consul import Consul
from meshwright.errors import MeshwrightError
from meshwright.process import stop_event
from meshwright.rollout.adapters import ConsulMeasurements, ConsulTraffic
from meshwright.rollout.engine import Engine
from meshwright.rollout.figures import Figures
from meshwright.rollout.spanexport import Traces
from meshwright.telemetry import Telemetry
from meshwright_operator.announcing import Announcements
from meshwright_operator.cluster import Cluster
from meshwright_operator.config import OperatorConfig
from meshwright_operator.deployments import Deployments
from meshwright_operator.finalize import Finalizer
from meshwright_operator.gated import GatedTraffic
from meshwright_operator.guard import Guard
from meshwright_operator.handlers import Handlers
from meshwright_operator.leaserequests import LeaseRequests
from meshwright_operator.leases import Timing
from meshwright_operator.metrics import show_followers
from meshwright_operator.pages import GuardMetrics, pages
from meshwright_operator.reach import Reach

if TYPE_CHECKING:
    from collections.abc import Coroutine

log = logging.getLogger("meshwright_operator")
NAME = "meshwright-operator"
_RELIST = 90.0
"""Seconds after which a watch for namespaces starts over, whatever it says: watches fall silent without an error."""
_AGAIN = 5.0


async def run(config: OperatorConfig) -> None:
    """Look after rollouts until SIGTERM or SIGINT. Raises `LeaseLostError` where another may begin."""
    async with contextlib.AsyncExitStack() as stack:
        telemetry = Telemetry(load(ServiceConfig, service=NAME))
        stack.push_async_callback(telemetry.close)
        telemetry.metrics.describe_process()
        traces = await stack.enter_async_context(Traces(telemetry, config.traces))
        cluster = await stack.enter_async_context(Cluster())
        consul = await stack.enter_async_context(Consul(config.consul))
        requests = LeaseRequests(cluster.client)
        guard = Guard(requests, config.identity(cluster.namespace), Timing(config.lease_seconds))
        cluster.acting = guard.acting
        guard.want(config.namespaces or {cluster.namespace})
        reach = Reach(cluster, requests, guard)
        deployments = Deployments(cluster)
        engine = Engine(
            deployments,
            GatedTraffic(ConsulTraffic(consul), guard.acting),
            ConsulMeasurements(consul),
            Announcements(traces),
        )
        figures = Figures(telemetry.metrics.registry)
        finalizer = Finalizer(cluster, config.finalizer_deadline)
        handlers = Handlers(engine, cluster, deployments, figures, reach=reach, finalizer=finalizer)
        show_followers(telemetry.metrics.registry, handlers.followers)
        telemetry.metrics.registry.register(GuardMetrics(guard))
        app = pages(telemetry, handlers.followers, guard, config.patience)
        address = await stack.enter_async_context(http.serving(app, config.host, config.port))
        log.info("health and metrics at http://%s, %s", address, _scope(config, cluster))
        working = [guard.run(reach)]
        if config.clusterwide:
            working.append(_discover(cluster, guard))
        try:
            await _operate(handlers, reach, working)
        finally:
            await reach.take_back()
            await guard.close()


def _scope(config: OperatorConfig, cluster: Cluster) -> str:
    if config.clusterwide:
        return "for all namespaces that have rollouts"
    return f"for namespace {', '.join(config.namespaces or (cluster.namespace,))}"


async def _operate(handlers: Handlers, reach: Reach, working: list[Coroutine[Any, Any, None]]) -> None:
    with stop_event() as stopping:
        stop = asyncio.Event()
        # Before kopf's tasks: at its end kopf cancels every task that began after it.
        guarding = [asyncio.create_task(each) for each in working]
        operating = asyncio.create_task(
            kopf.operator(
                registry=handlers.registry(),
                # A pattern, and no scanning: what is watched is the reach's to say.
                namespaces=["*"],
                insights=reach.insights,
                # kopf would ask for the user's name, and a container's user has none.
                identity=cast("Any", NAME),
                standalone=True,
                stop_flag=stop,
            )
        )
        signalled = asyncio.create_task(stopping.wait())
        await asyncio.wait({operating, signalled, *guarding}, return_when=asyncio.FIRST_COMPLETED)
        signalled.cancel()
        stop.set()
        try:
            await operating
        finally:
            for task in guarding:
                task.cancel()
            ended = await asyncio.gather(*guarding, return_exceptions=True)
        for outcome in ended:
            if isinstance(outcome, Exception):
                raise outcome


async def _discover(cluster: Cluster, guard: Guard) -> None:
    """The namespaces that have rollouts, and the operator's own."""
    while True:
        try:
            async with asyncio.timeout(_RELIST), contextlib.aclosing(cluster.rollout_namespaces()) as found:
                async for namespaces in found:
                    guard.want(namespaces | {cluster.namespace})
        except TimeoutError:
            continue
        except MeshwrightError as error:
            log.warning("%s", error)
        await asyncio.sleep(_AGAIN)


def main() -> None:
    """The console script."""
    try:
        config = load(OperatorConfig)
        identity = load(ServiceConfig, service=NAME)
        logs.configure(NAME, identity.version, identity.instance or "", config.log_level)
        for chatty in ("httpx2", "kopf"):  # each request of each pass, each event of each handler
            logging.getLogger(chatty).setLevel(logging.WARNING)
        asyncio.run(run(config))
    except MeshwrightError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
