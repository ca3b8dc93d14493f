"""Builds the real-time API from its configuration, for `__main__` and tests."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from meshwright.config import env_field
from meshwright.errors import ValidationError, Violation
from services.gateway.realtime.calls.wiring import CallConfig, calls
from services.gateway.realtime.clients import ChatClient
from services.gateway.realtime.connections import ConnectionManager, SocketLimits
from services.gateway.realtime.event_streams import event_router
from services.gateway.realtime.ice import IceConfig, ice_router, stun_url
from services.gateway.realtime.live_events import LiveEvents
from services.gateway.realtime.routes import socket_router
from services.gateway.realtime.stun import stun_server

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable

    import grpc
    from fastapi import APIRouter
    from opentelemetry.trace import Tracer

    from services.common.messaging.bus import Bus
    from services.gateway.api.dependencies import GatewayDependencies

MAX_MESSAGE = 65536
"""Maximum bytes of a client's message."""


@dataclass(frozen=True, slots=True)
class RealtimeConfig:
    """Limits of the real-time API that depend on a deployment's size."""

    sockets: int = env_field("GATEWAY_SOCKETS", 10_000, help="WebSockets and event streams of one instance")
    per_user: int = env_field("GATEWAY_SOCKETS_PER_USER", 20, help="WebSockets of one user")
    rate: float = env_field("GATEWAY_SOCKET_RATE", 20.0, help="messages a second that a socket may send")
    calls: CallConfig = field(default_factory=CallConfig)
    ice: IceConfig = field(default_factory=IceConfig)

    def __post_init__(self) -> None:
        values = {
            "GATEWAY_SOCKETS": self.sockets,
            "GATEWAY_SOCKETS_PER_USER": self.per_user,
            "GATEWAY_SOCKET_RATE": self.rate,
        }
        wrong = [Violation(name, "must be above 0") for name, value in values.items() if not 0 < value < float("inf")]
        if wrong:
            raise ValidationError("the environment", wrong)


@contextlib.asynccontextmanager
async def realtime(
    config: RealtimeConfig,
    dependencies: GatewayDependencies,
    bus: Bus,
    *,
    chat: grpc.aio.Channel,
    notification: grpc.aio.Channel,
    draining: asyncio.Event,
    clock: Callable[[], float],
    tracer: Tracer | None = None,
    host: str = "127.0.0.1",
) -> AsyncIterator[list[APIRouter]]:
    """Yields the routers, and runs their background tasks for as long as the context lasts. `clock`: since 1970.
    `tracer`: of the spans of calls. `host`: address to bind for STUN."""
    limits = SocketLimits(
        sockets=config.sockets,
        sockets_per_user=config.per_user,
        rate=config.rate,
        burst=max(1, int(config.rate * 2)),
        origins=dependencies.limits.origins,
    )
    client = ChatClient(chat, notification)
    handling = calls(config.calls, bus, client, clock, tracer)
    connections = ConnectionManager(
        dependencies.callers,
        client,
        handling,
        limits,
        draining,
        clock,
        rate_limiter=dependencies.rate_limiter,
        proxies=dependencies.limits.proxies,
    )
    live = LiveEvents(bus, clock)
    async with live.running(), handling.running(), own_stun(config.ice, host, dependencies.public_url) as stun:
        yield [
            socket_router(connections),
            event_router(connections, live),
            ice_router(config.ice, stun, clock),
        ]


@contextlib.asynccontextmanager
async def own_stun(config: IceConfig, host: str, public_url: str) -> AsyncIterator[str]:
    """The URL of the gateway's own STUN server, which serves for as long as the context lasts; empty: none."""
    if not config.port:
        yield ""
        return
    async with stun_server(host, config.port) as port:
        yield stun_url(public_url, port) if port else ""
