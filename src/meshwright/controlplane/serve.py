"""The control plane as a process: Consul in, xDS out.

Ports open at once, and everything that depends on the state of the mesh waits for it: health is NOT_SERVING,
`/readyz` is 503, and streams that connect early are answered when the first whole state is known. At the end clients
are told to go elsewhere before connections close.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from meshwright import http, logs
from meshwright.consul import Consul
from meshwright.controlplane.admin import debug
from meshwright.controlplane.consul_source.source import Source
from meshwright.controlplane.metrics import Metrics
from meshwright.controlplane.problems import say_changes
from meshwright.controlplane.translation.translator import Translator
from meshwright.controlplane.xds import server
from meshwright.errors import ValidationError, Violation
from meshwright.model import Address
from meshwright.process import stop_event
from meshwright.server.admin import add_admin_services

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from meshwright.controlplane.model.snapshot import Snapshot
    from meshwright.controlplane.settings import ControlPlaneConfig

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_HEALTH_NAMES = (health.OVERALL_HEALTH, server.SERVICE)
_OPTIONS = [
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),
    ("grpc.keepalive_time_ms", 20_000),  # a peer that is gone leaves within half a minute
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),  # clients may look after us as often
]
_GRACE = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Bound:
    """Where a control plane listens."""

    xds: Address
    debug: Address


async def run(config: ControlPlaneConfig) -> None:
    """Serve until SIGINT or SIGTERM."""
    logs.configure("controlplane", level=config.log_level)
    with stop_event() as stop:
        async with serving(config) as bound:
            log.info("xDS on %s, debug and metrics on %s", bound.xds, bound.debug)
            await stop.wait()


@contextlib.asynccontextmanager
async def serving(config: ControlPlaneConfig) -> AsyncIterator[Bound]:
    """A control plane in this loop, for as long as the context lasts.

    Raises `ValidationError` naming the address that cannot be bound. If following Consul fails by a bug of ours, the
    context's body is cancelled and the failure raised: a control plane that follows nothing must not look alive.
    """
    metrics = Metrics()
    async with Consul(config.consul) as consul, contextlib.AsyncExitStack() as stack:
        source = Source(consul, metrics, debounce=config.debounce_ms / 1000, recovery=config.recovery_seconds)
        plane = _Plane(source, metrics, config.recovery_seconds)
        xds = await plane.start(config)
        stack.push_async_callback(plane.stop)
        pages = debug.application(source, plane.ads, metrics, consul.address)
        address = await stack.enter_async_context(http.serving(pages, config.debug_host, config.debug_port))
        async with _beside(plane.follow()):
            yield Bound(xds, address)


@contextlib.asynccontextmanager
async def _beside(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Do work that never ends beside the context's body; if it fails, the body is cancelled and the failure raised."""
    body = asyncio.current_task()
    assert body is not None
    task = asyncio.create_task(work)
    task.add_done_callback(lambda done: None if done.cancelled() or done.exception() is None else body.cancel())
    try:
        yield
    except asyncio.CancelledError:
        if task.done() and not task.cancelled() and (failure := task.exception()) is not None:
            body.uncancel()
            raise failure from None
        raise
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task


class _Plane:
    """The gRPC server, and what feeds it."""

    def __init__(self, source: Source, metrics: Metrics, warm_up: float) -> None:
        self.ads = server.Ads(metrics)
        self.ads.cache.warming_up = True
        self._warm_up = warm_up
        self._source = source
        self._metrics = metrics
        self._health = health.aio.HealthServicer()
        self._server = grpc.aio.server(options=_OPTIONS)
        self._said: frozenset[Violation] = frozenset()
        metrics.problems.set_function(self._count_problems)

    async def start(self, config: ControlPlaneConfig) -> Address:
        await self._set_health(_NOT_SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (server.SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        add_admin_services(self._server)
        self._server.add_generic_rpc_handlers(self.ads.handlers())
        wanted = Address(config.host, config.port)
        try:
            port = self._server.add_insecure_port(str(wanted))
        except RuntimeError as error:
            raise ValidationError(f"address {wanted}", [Violation("", f"cannot listen: {error}")]) from error
        await self._server.start()
        return Address(config.host, port)

    async def follow(self) -> None:
        """Publish the mesh as it changes."""
        translator = Translator()
        version = ""
        async for catalog in self._source.catalogs():
            with self._metrics.translate.time():
                snapshot = translator.translate(catalog)
            self._source.uphold(translator.targets_in_force)
            self._said = say_changes(self._said, snapshot.problems)
            self.ads.publish(snapshot)
            if snapshot.version != version:
                self._count(snapshot, version)
                if not version:
                    await self._set_health(_SERVING)
                    asyncio.get_running_loop().call_later(self._warm_up, self.ads.end_warm_up)
                version = snapshot.version

    def _count_problems(self) -> int:
        snapshot = self.ads.cache.snapshot
        return len(self._source.problems.all) + (len(snapshot.problems) if snapshot else 0)

    def _count(self, snapshot: Snapshot, before: str) -> None:
        self._metrics.snapshots.inc()
        self._metrics.snapshot_time.set(time.time())
        if before:
            self._metrics.snapshot.remove(before)
        self._metrics.snapshot.labels(snapshot.version).set(1)

    async def stop(self) -> None:
        await self._health.enter_graceful_shutdown()
        closing = asyncio.create_task(self._server.stop(_GRACE))
        await asyncio.sleep(0)  # the server refuses new streams before the old ones end
        await self.ads.stop()
        await closing

    async def _set_health(self, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        for name in _HEALTH_NAMES:
            await self._health.set(name, status)
