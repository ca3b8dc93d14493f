"""The operator's process: `meshwright-operator`, configured by the environment."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, cast

import kopf
from aiohttp import web

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
from meshwright.telemetry.metrics import CONTENT_TYPE
from meshwright_operator.announcing import Announcements
from meshwright_operator.cluster import Cluster
from meshwright_operator.config import OperatorConfig
from meshwright_operator.deployments import Deployments
from meshwright_operator.handlers import Handlers
from meshwright_operator.metrics import show_followers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshwright.rollout.following import Follower

log = logging.getLogger("meshwright_operator")
NAME = "meshwright-operator"
_PRIORITIES = 2**15


async def run(config: OperatorConfig) -> None:
    """Look after rollouts until SIGTERM or SIGINT."""
    async with contextlib.AsyncExitStack() as stack:
        telemetry = Telemetry(load(ServiceConfig, service=NAME))
        stack.push_async_callback(telemetry.close)
        telemetry.metrics.describe_process()
        traces = await stack.enter_async_context(Traces(telemetry, config.traces))
        cluster = await stack.enter_async_context(Cluster())
        consul = await stack.enter_async_context(Consul(config.consul))
        deployments = Deployments(cluster)
        engine = Engine(
            deployments,
            ConsulTraffic(consul),
            ConsulMeasurements(consul),
            Announcements(traces),
        )
        figures = Figures(telemetry.metrics.registry)
        handlers = Handlers(engine, cluster, deployments, figures, clusterwide=not config.namespaces)
        show_followers(telemetry.metrics.registry, handlers.followers)
        app = pages(telemetry, handlers.followers, config.patience)
        address = await stack.enter_async_context(http.serving(app, config.host, config.port))
        log.info("health and metrics at http://%s", address)
        await _operate(config, handlers)


async def _operate(config: OperatorConfig, handlers: Handlers) -> None:
    with stop_event() as stopping:
        stop = asyncio.Event()
        operating = asyncio.create_task(
            kopf.operator(
                registry=handlers.registry(),
                clusterwide=not config.namespaces,
                namespaces=config.namespaces,
                # kopf would ask for the user's name, and a container's user has none.
                identity=cast("Any", f"{socket.gethostname()}-{os.getpid()}"),
                standalone=not config.peering,
                peering_name=config.peering or None,
                # Of several replicas the one with the highest priority works; equal ones would all stand back.
                priority=random.randrange(1, _PRIORITIES) if config.peering else 0,  # noqa: S311 - not a secret
                stop_flag=stop,
            )
        )
        signalled = asyncio.create_task(stopping.wait())
        await asyncio.wait({operating, signalled}, return_when=asyncio.FIRST_COMPLETED)
        signalled.cancel()
        stop.set()
        await operating


def pages(telemetry: Telemetry, followers: Mapping[tuple[str, str], Follower], patience: float) -> web.Application:
    """`/metrics`, and `/healthz`, which fails when a pass has been running for more than `patience` seconds."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=telemetry.metrics.page(), headers={"Content-Type": CONTENT_TYPE})

    async def healthz(_: web.Request) -> web.Response:
        now = time.monotonic()
        stuck = [
            f"{namespace}/{name} has been in one pass for {now - follower.pass_began:.0f} s"
            for (namespace, name), follower in followers.items()
            if follower.pass_began is not None and now - follower.pass_began > patience
        ]
        return web.json_response({"rollouts": len(followers), "stuck": stuck}, status=503 if stuck else 200)

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/healthz", healthz)
    return app


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
