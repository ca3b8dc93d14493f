"""A telephone exchange: the voice service's signalling and its use cases over a database of the test's own."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshwright.config import ServiceConfig, load_config
from meshwright.telemetry import Telemetry
from meshwright.testing import SpanRecorder
from services.voice.app import Identity, Telephony
from services.voice.sip.authentication import Authenticator, Clocks
from services.voice.sip.calls.forwarding import Hop
from services.voice.sip.calls.proxy import Proxy
from services.voice.sip.calls.routing import Router
from services.voice.sip.calls.timers import TimerValues
from services.voice.sip.digest import Algorithm, Nonces
from services.voice.sip.front import SipFront
from services.voice.sip.guard import Guard, Limits
from services.voice.sip.metrics import CallMetrics, SipMetrics
from services.voice.sip.registrar import Registrar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from services.voice.adapters import DatabaseStore
    from services.voice.sip.calls.proxy import Target

REALM = "tests"
ADA, BOB = "01890000-0000-7000-8000-000000000001", "01890000-0000-7000-8000-000000000002"


@dataclass
class Time:
    """The exchange's clocks, which a test may put forward."""

    ahead: float = 0.0

    def wall(self) -> float:
        return time.time() + self.ahead

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead


@dataclass
class Exchange:
    telephony: Telephony
    front: SipFront
    time: Time
    proxy: Proxy
    telemetry: Telemetry
    recorder: SpanRecorder

    @property
    def port(self) -> int:
        return self.front.transports.port

    def metric(self, name: str, **labels: str) -> float:
        return self.telemetry.metrics.registry.get_sample_value(name, labels) or 0.0

    async def spans(self) -> list[ReadableSpan]:
        """The spans of requests, in the order of their ends."""
        await self.telemetry.flush()
        return self.recorder.servers

    async def device(self, user_id: str = ADA, account: str = "ada", label: str = "desk") -> str:
        """The password of a new device."""
        _, password = await self.telephony.create_device(user_id, account, label)
        return password


@contextlib.asynccontextmanager
async def exchange(
    store: DatabaseStore,
    limits: Limits | None = None,
    algorithms: Sequence[Algorithm] = tuple(Algorithm),
    extensions: Mapping[str, Target] | None = None,
) -> AsyncIterator[Exchange]:
    """An exchange on a free port of the loopback address, while the context lasts."""
    guard, clock, spans = Guard(limits or Limits(1e6, 1e6)), Time(), SpanRecorder()
    telemetry = Telemetry(load_config(ServiceConfig, {}, service="voice"), exporter=spans)
    telephony = Telephony(store, Identity("127.0.0.1", REALM), entropy=os.urandom)
    metrics = SipMetrics(telemetry.metrics.registry, lambda: guard.banned(clock.monotonic()))
    clocks = Clocks(clock.wall, clock.monotonic)
    authenticator = Authenticator(
        telephony,
        Nonces(os.urandom(32), os.urandom),
        guard,
        clocks=clocks,
        algorithms=algorithms,
        on_failure=metrics.failures.inc,
    )
    registrar = Registrar(telephony, authenticator)
    front = SipFront("127.0.0.1", 0, registrar, guard, metrics=metrics, clocks=clocks, tracer=telemetry.tracer)
    await front.start()
    calls = CallMetrics(telemetry.metrics.registry, metrics)
    proxy = Proxy(
        front.transports,
        Hop("127.0.0.1", front.transports.port, os.urandom(32)),
        authenticator,
        Router(telephony, {} if extensions is None else extensions).targets,
        metrics=calls,
        clocks=clocks,
        tracer=telemetry.tracer,
        timers=TimerValues(t1=0.1, t2=0.4, t4=0.5),
    )
    calls.talking.set_function(proxy.calls.talking)
    front.serve_calls(proxy)
    try:
        yield Exchange(telephony, front, clock, proxy, telemetry, spans)
    finally:
        await front.stop()
        await telemetry.close()
