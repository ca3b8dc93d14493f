"""Traces and metrics of this process, set up once.

A `Telemetry` is an explicit object: tests make as many as they like. A process usually wants one, shared by its server
and all its channels, whoever comes first; `acquire` gives that one and `release` ends it, flushed, when the last user
has gone. Nothing happens on import.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from opentelemetry import trace

from meshwright.config import load
from meshwright.telemetry.identity import Identity
from meshwright.telemetry.metrics import Metrics
from meshwright.telemetry.tracing import Sampling, TracingConfig, make_provider, shut_down

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

    from meshwright.config import ServiceConfig

__all__ = ["Identity", "Metrics", "Telemetry", "acquire", "current"]

FLUSH_SECONDS = 3.0


class Telemetry:
    """The tracer, the metrics and the identity of a process.

    `exporter` takes the spans instead of the one that the environment describes.
    """

    def __init__(
        self, config: ServiceConfig, *, exporter: SpanExporter | None = None, metrics: Metrics | None = None
    ) -> None:
        self.config = config
        self.identity = Identity.of(config)
        self.metrics = metrics or Metrics()
        self.provider = make_provider(self.identity, exporter)
        self.tracer = self.provider.get_tracer("meshwright", self.identity.version)
        self.sampling = Sampling(self.provider, disabled=load(TracingConfig).disabled)
        self.users = 0

    async def flush(self) -> None:
        """Wait until the spans ended so far are with the collector, or given up."""
        await asyncio.to_thread(self.provider.force_flush, int(FLUSH_SECONDS * 1000))

    async def close(self) -> None:
        """Flush and end."""
        await asyncio.to_thread(shut_down, self.provider, FLUSH_SECONDS)

    async def release(self) -> None:
        """Give back what `acquire` gave; the last user closes it."""
        with _LOCK:
            self.users -= 1
            last = self.users == 0
            if last:
                _CURRENT.pop("telemetry", None)
        if last:
            await self.close()


_LOCK = threading.Lock()
_CURRENT: dict[str, Telemetry] = {}


def current() -> Telemetry | None:
    """The telemetry of this process, if anything has set it up."""
    return _CURRENT.get("telemetry")


def acquire(config: ServiceConfig) -> Telemetry:
    """The telemetry of this process, made from `config` if there is none yet; `release` it when done.

    The first one becomes OpenTelemetry's global tracer provider, so that a service's own spans go the same way.
    """
    with _LOCK:
        telemetry = _CURRENT.get("telemetry")
        if telemetry is None:
            telemetry = _CURRENT["telemetry"] = Telemetry(config)
            telemetry.metrics.describe_process()
            _install(telemetry)
        telemetry.users += 1
        return telemetry


def _install(telemetry: Telemetry) -> None:
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        trace.set_tracer_provider(telemetry.provider)
