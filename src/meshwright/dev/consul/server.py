"""The process: configuration, the application, and the loop that lets time pass."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from meshwright import http, process
from meshwright.config import env_field
from meshwright.dev.consul.api.agent_info import PAGE
from meshwright.dev.consul.api.routes_agent import AgentRoutes
from meshwright.dev.consul.api.routes_catalog import CatalogRoutes
from meshwright.dev.consul.api.routes_config import ConfigRoutes
from meshwright.dev.consul.api.routes_kv import KvRoutes
from meshwright.dev.consul.api.routing import application
from meshwright.dev.consul.api.txn import transact
from meshwright.dev.consul.health_checks.runner import TICK, ChecksRunner
from meshwright.dev.consul.query import as_json, check_datacenter
from meshwright.dev.consul.state import State, new_identity

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from meshwright.dev.consul.api.routing import Route
    from meshwright.model import Address

log = logging.getLogger(__name__)

MAX_BODY = 512 * 1024
"""Bytes of a request's body: Consul's limit for a value."""


@dataclass(frozen=True, slots=True)
class RegistryConfig:
    """Where the dev Consul listens and who it says it is."""

    host: str = env_field("MESHWRIGHT_REGISTRY_HOST", "127.0.0.1", help="address to bind")
    port: int = env_field("MESHWRIGHT_REGISTRY_PORT", 8500, help="HTTP port; 0: any free one")
    datacenter: str = env_field("MESHWRIGHT_REGISTRY_DATACENTER", "dc1")
    node: str = env_field("MESHWRIGHT_REGISTRY_NODE", "meshwright", help="name of the one node")
    min_deregister: float = env_field(
        "MESHWRIGHT_REGISTRY_MIN_DEREGISTER",
        60.0,
        help="seconds: the least DeregisterCriticalServiceAfter, one minute in Consul",
    )
    reap_interval: float = env_field(
        "MESHWRIGHT_REGISTRY_REAP_INTERVAL", 30.0, help="seconds between two looks for services critical for too long"
    )


@contextlib.asynccontextmanager
async def serving(config: RegistryConfig) -> AsyncIterator[Address]:
    """Serve the registry in the running loop for as long as the context lasts; yields the address bound."""
    runner = ChecksRunner()
    state = State(
        new_identity(config.node, config.datacenter, config.host, config.port),
        runner,
        min_deregister=config.min_deregister,
    )
    runner.agent = state.agent
    clock = asyncio.create_task(_let_time_pass(state, config.reap_interval))
    try:
        # A blocking read whose client went away ends at once, not when its wait does.
        app = application_of(state)
        async with http.serving(app, config.host, config.port, handler_cancellation=True) as address:
            yield address
    finally:
        clock.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await clock
        await runner.close()


async def run(config: RegistryConfig) -> None:
    """Serve until SIGINT or SIGTERM."""
    with process.stop_event() as stop:
        async with serving(config) as address:
            log.info("dev Consul on http://%s, everything in memory", address)
            await stop.wait()


def application_of(state: State) -> web.Application:
    """Consul's HTTP API over that state. Writes outlive their clients; reads may be cancelled."""
    parts = (AgentRoutes(state), CatalogRoutes(state), KvRoutes(state), ConfigRoutes(state))
    routes: list[Route] = [route for part in parts for route in part.routes()]
    app = application([*routes, *_status_routes(state)], MAX_BODY)

    async def stop(app: web.Application) -> None:
        del app
        state.waiting.stop()

    app.on_shutdown.append(stop)
    return app


def _status_routes(state: State) -> list[Route]:
    async def leader(request: web.Request) -> web.Response:
        check_datacenter(request, state.datacenter)
        return as_json(request, state.server_address)

    async def peers(request: web.Request) -> web.Response:
        check_datacenter(request, state.datacenter)
        return as_json(request, [state.server_address])

    async def txn(request: web.Request) -> web.Response:
        check_datacenter(request, state.datacenter)
        status, value = transact(state.kv, await request.read(), time.monotonic())
        return as_json(request, value, status=status)

    async def page(request: web.Request) -> web.Response:
        del request
        return web.Response(text=PAGE, content_type="text/html")

    return [
        ("GET", "/v1/status/leader", leader),
        ("GET", "/v1/status/peers", peers),
        ("PUT", "/v1/txn", txn),
        ("GET", "/", page),
    ]


async def _let_time_pass(state: State, reap_interval: float) -> None:
    reaped = time.monotonic()
    while True:
        await asyncio.sleep(TICK)
        now = time.monotonic()
        state.agent.expire(now)
        state.kv.expire(now)
        if now - reaped >= reap_interval:
            reaped = now
            for service_id in state.agent.reap(now):
                log.info("%s was critical for too long and is deregistered", service_id)
