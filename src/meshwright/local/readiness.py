"""When a process is ready: not when it runs, but when it does what others need it for.

Each kind is one question with a yes or no as its answer, asked again every few milliseconds. Registration is the
exception: Consul's blocking queries answer the moment that something changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from meshwright.config import ConsulConfig, load
from meshwright.errors import MeshwrightError
from meshwright.local.plan import HOST
from meshwright.model import Health

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from meshwright.local.plan import Launch
    from meshwright.model import Instance

EVERY = 0.02
"""Seconds between two questions."""
PATIENCE = 2.0
"""Seconds that one answer may take."""
_FIRST_ERROR = 400


async def until_ready(kind: str, launch: Launch) -> None:
    """Return when the instance is ready in the sense of `kind` (see meshwright.local.topology)."""
    if kind == "started":
        return
    if kind == "consul":
        await _until_registered(launch)
        return
    ask = _question(kind, launch)
    while not await _answer(ask):  # noqa: ASYNC110 - another process cannot set an event here
        await asyncio.sleep(EVERY)


async def answers_http(url: str) -> bool:
    """Whether a GET of `url` is answered with a status below 400."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    context = ssl.create_default_context() if secure else None
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=context)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        writer.write(f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
        status = (await reader.readline()).split()
        return len(status) > 1 and status[1].isdigit() and int(status[1]) < _FIRST_ERROR
    finally:
        writer.close()


def _question(kind: str, launch: Launch) -> Callable[[], Awaitable[bool]]:
    if kind == "tcp":
        return lambda: _accepts(launch.port)
    if kind == "grpc":
        return lambda: _serves(launch.port)
    url = f"http://{HOST}:{launch.port}{kind.removeprefix('http:')}" if kind.startswith("http:/") else kind
    if kind.startswith(("http://", "https://")):
        url = kind
    return lambda: answers_http(url)


async def _answer(ask: Callable[[], Awaitable[bool]]) -> bool:
    with contextlib.suppress(OSError, ValueError, asyncio.IncompleteReadError):
        return await asyncio.wait_for(ask(), PATIENCE)
    return False


async def _accepts(port: int) -> bool:
    _, writer = await asyncio.open_connection(HOST, port)
    writer.close()
    return True


async def _serves(port: int) -> bool:
    import grpc  # noqa: PLC0415 - most topologies do not need it here, and it takes a while
    from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: PLC0415

    if not await _accepts(port):
        return False
    async with grpc.aio.insecure_channel(f"{HOST}:{port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def _until_registered(launch: Launch) -> None:
    """Wait until Consul calls the instance passing, at the port that this process was given."""
    from meshwright.consul import Blocking, Consul  # noqa: PLC0415 - processes start while this is imported

    config = load(ConsulConfig, launch.environment)
    index = 0
    async with Consul(config) as consul:
        while True:
            try:
                found = await consul.instances(launch.process.service, blocking=Blocking(index, wait=10.0))
            except MeshwrightError:
                index = 0
                await asyncio.sleep(EVERY)
                continue
            for instance in found.value:
                if instance.id == launch.seat.instance and _is_this_one(instance, launch):
                    return
            index = found.index if found.index >= index else 0


def _is_this_one(instance: Instance, launch: Launch) -> bool:
    """Passing, and not what is left of an earlier process with that name: its port says which one it is."""
    moved = bool(launch.environment.get("MESHWRIGHT_ADVERTISE"))
    return instance.health is Health.PASSING and (moved or instance.address.port == launch.port)
