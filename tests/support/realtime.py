"""Replicas of the services that hold streams open, on a real NATS: in this process, or as processes to be killed."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import grpc

import meshwright
from meshwright.config import ServiceConfig, load_config
from meshwright.model import Address
from meshwright.telemetry import Telemetry
from meshwright.testing import SpanRecorder
from support.mesh import serving
from support.ports import promised_port
from support.processes import python, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from support.nats import NatsServer
    from support.processes import Process


L = TypeVar("L", bound="Listener")


@dataclass
class Replica:
    """One replica in this process: its server, a channel to it, and what wiring it returned."""

    server: meshwright.Server
    channel: grpc.aio.Channel
    wired: Any
    spans: SpanRecorder


@contextlib.asynccontextmanager
async def replica(
    service: str, errors: Any, wire: Callable[[meshwright.Server], Awaitable[Any]], **config: Any
) -> AsyncIterator[Replica]:
    """Serve what `wire` adds, without Consul."""
    settings = {"register": False, "propagation": 0.0, "grace": 2.0} | config
    chosen = load_config(ServiceConfig, {}, service=service, **settings)
    spans = SpanRecorder()
    telemetry = Telemetry(chosen, exporter=spans)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(telemetry.close)
        server = await stack.enter_async_context(meshwright.Server(chosen, errors=errors, telemetry=telemetry))
        wired = await wire(server)
        await server.start()
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(str(server.address)))
        yield Replica(server, channel, wired, spans)


def narrow(replica: Replica) -> grpc.aio.Channel:
    """A channel that takes no more than 64 KiB ahead of its reader."""
    options = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65536))
    return grpc.aio.insecure_channel(str(replica.server.address), options=options)


@contextlib.asynccontextmanager
async def process(
    service: str, nats: NatsServer, folder: Path, **environ: str
) -> AsyncIterator[tuple[Process, grpc.aio.Channel]]:
    """One replica as a process of its own, and a channel to it."""
    address = Address("127.0.0.1", promised_port())
    given = {
        "MESHWRIGHT_PORT": str(address.port),
        "MESHWRIGHT_REGISTER": "false",
        "MESHWRIGHT_PROPAGATION": "0",
        "NATS_URL": nats.url,
        **environ,
    }
    command = python("-m", f"services.{service}")
    async with (
        running(command, folder / f"{service}-{address.port}.log", given) as child,
        grpc.aio.insecure_channel(str(address)) as channel,
    ):
        await serving(address, "", child)
        yield child, channel


@dataclass
class Listener:
    """Takes everything that a stream brings, until it ends."""

    call: Any
    got: list[Any] = field(default_factory=list)
    error: grpc.aio.AioRpcError | None = None

    async def run(self) -> None:
        try:
            async for item in self.call:
                self.got.append(item)
        except grpc.aio.AioRpcError as error:
            self.error = error


@contextlib.asynccontextmanager
async def listening(call: Any, kind: type[L] = Listener) -> AsyncIterator[L]:
    """A listener for as long as the context lasts; the call is cancelled then."""
    listener = kind(call)
    task = asyncio.create_task(listener.run())
    try:
        yield listener
    finally:
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
