"""Traces, metrics and identity: of a server, or of a program that only calls.

A `Telemetry` is an explicit object: tests make as many as they like. Elsewhere each server has its own, and the
channels of the same configuration share it (`shared.py`): `acquire` and `acquire_for_server` give it, `release` ends
it, flushed, when its last user has gone. Nothing happens on import.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from meshwright.config import load_config
from meshwright.telemetry.identity import Identity, library_version
from meshwright.telemetry.metrics import Metrics
from meshwright.telemetry.shared import CURRENT, Shared, own_config
from meshwright.telemetry.tracing import SCOPE, Sampling, TracingConfig, make_provider, shut_down

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

    from meshwright.config import ServiceConfig

__all__ = [
    "CURRENT",
    "Identity",
    "Metrics",
    "Telemetry",
    "acquire",
    "acquire_for_server",
    "current",
    "own_config",
]

FLUSH_SECONDS = 3.0


class Telemetry:
    """The tracer, the metrics and the identity of a server, or of a program that only calls.

    `exporter` takes the spans instead of the one that the environment describes; `provider` makes them instead of one
    that the environment describes at all (`OTEL_*`).
    """

    def __init__(
        self,
        config: ServiceConfig,
        *,
        exporter: SpanExporter | None = None,
        metrics: Metrics | None = None,
        provider: TracerProvider | None = None,
    ) -> None:
        self.config = config
        self.identity = Identity.of(config)
        self.metrics = metrics or Metrics()
        self.provider = provider or make_provider(self.identity, exporter)
        self.tracer = self.provider.get_tracer(SCOPE, library_version())
        self.sampling = Sampling(self.provider, disabled=provider is None and load_config(TracingConfig).disabled)
        self.closed = False

    async def flush(self) -> None:
        """Wait until the spans ended so far are with the collector, or given up."""
        await asyncio.to_thread(self.provider.force_flush, int(FLUSH_SECONDS * 1000))

    async def close(self) -> None:
        """Flush and end."""
        await asyncio.to_thread(self.close_now)

    def close_now(self) -> None:
        """`close`, for code without an event loop."""
        self.closed = True
        shut_down(self.provider, FLUSH_SECONDS)

    async def release(self) -> None:
        """Give back what `acquire` gave; the last user closes it."""
        if _SHARED.give_back(self):
            await self.close()

    def release_now(self) -> None:
        """`release`, for code without an event loop."""
        if _SHARED.give_back(self):
            self.close_now()


_SHARED: Shared[Telemetry] = Shared(Telemetry)
acquire = _SHARED.acquire
acquire_for_server = _SHARED.acquire_for_server
current = _SHARED.current
