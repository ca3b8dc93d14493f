"""Builds calls from their configuration."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshwright.config import env_field
from meshwright.errors import ValidationError, Violation
from services.gateway.http.middleware.rate_limit import RateLimiter
from services.gateway.realtime.calls.directory import CallDirectory
from services.gateway.realtime.calls.domain import CallTimes
from services.gateway.realtime.calls.events import CallEvents
from services.gateway.realtime.calls.relay import SignalRelay
from services.gateway.realtime.calls.replicas import Replicas
from services.gateway.realtime.calls.service import CallBackends, CallService, CallSettings
from services.gateway.realtime.calls.sessions import SessionRegistry
from services.gateway.realtime.calls.store import CallStore
from services.gateway.realtime.calls.watch import CallWatch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from opentelemetry.trace import Tracer

    from services.common.messaging.bus import Bus
    from services.gateway.realtime.clients import ChatClient

RING_RATE, RING_BURST = 0.2, 6
"""Rings of one user: per second, and at once."""


@dataclass(frozen=True, slots=True)
class CallConfig:
    """Times of calls."""

    ring: float = env_field("GATEWAY_CALL_RING_SECONDS", 45.0, help="seconds that a call rings before it is missed")
    grace: float = env_field(
        "GATEWAY_CALL_GRACE_SECONDS", 12.0, help="seconds that a participant whose connection is lost may stay away"
    )

    def __post_init__(self) -> None:
        values = {"GATEWAY_CALL_RING_SECONDS": self.ring, "GATEWAY_CALL_GRACE_SECONDS": self.grace}
        wrong = [Violation(name, "must be above 0") for name, value in values.items() if not 0 < value < float("inf")]
        if wrong:
            raise ValidationError("the environment", wrong)


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls of one replica."""

    service: CallService
    sessions: SessionRegistry
    store: CallStore
    relay: SignalRelay
    replicas: Replicas
    watch: CallWatch

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Runs what calls need in the background for as long as the context lasts."""
        async with self.store.running(), self.relay.running(), self.replicas.running(), self.watch.running():
            yield


def calls(config: CallConfig, bus: Bus, chat: ChatClient, clock: Callable[[], float], tracer: Tracer | None) -> Calls:
    """`clock`: seconds since 1970. `tracer`: None: no spans."""
    monotonic = asyncio.get_running_loop().time
    settings = CallSettings(CallTimes(ring=config.ring, grace=config.grace), uuid.uuid4().hex, clock)
    sessions = SessionRegistry()
    directory = CallDirectory(sessions, clock)
    store = CallStore(bus, directory.changed)
    backends = CallBackends(store, directory, sessions, CallEvents(bus, tracer, clock), chat)
    service = CallService(settings, backends, RateLimiter(RING_RATE, RING_BURST, monotonic))
    relay = SignalRelay(bus, settings.me, service.deliver)
    service.use(relay)
    replicas = Replicas(bus, settings.me, monotonic)
    return Calls(service, sessions, store, relay, replicas, CallWatch(settings, service, backends, replicas, monotonic))
